// The token stays in state.json (promises S1): it is looked for in everything that the daemon, its children and its
// clients leave or say, after work, errors and attempts to make it show up; and state.json is private from its first
// moment. Linux only, as /proc and strace are.
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ApiDescription } from "../../src/protocol/openapi.ts";
import { opta } from "../support/binary.ts";
import {
  createSession,
  daemonEnvironment,
  type RunningDaemon,
  startDaemon,
  submitTurn,
  turnEnd,
  until,
} from "../support/daemon.ts";
import { startScripted } from "../support/lmx.ts";
import { openRawSocket } from "../support/raw-socket.ts";
import { createPlace, type Place } from "../support/workspace.ts";

/** The token as it might be written down. */
function spellings(token: string): readonly Buffer[] {
  const texts = [
    token,
    token.toUpperCase(),
    btoa(token).replace(/=+$/, ""),
    Buffer.from(token, "hex").toString("base64url"),
  ];
  // A part of it would be as bad; the first half is in the whole, too.
  return [...texts, token.slice(0, 32), token.slice(32)].map((text) => Buffer.from(text));
}

function holds(content: Buffer | string, needles: readonly Buffer[]): boolean {
  const bytes = Buffer.from(content as string);
  return needles.some((needle) => bytes.includes(needle));
}

function filesWith(needles: readonly Buffer[], ...roots: readonly string[]): readonly string[] {
  return roots.flatMap((root) =>
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => holds(readFileSync(path), needles)),
  );
}

/** A process and all below it. */
function familyOf(pid: number): readonly number[] {
  const parents = new Map(
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((name) => [Number(name), parentOf(name)] as const),
  );
  const family = [pid];
  for (const member of family) {
    for (const [child, parent] of parents) if (parent === member) family.push(child);
  }
  return family;
}

function parentOf(pid: string): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold anything.
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return 0; // ended meanwhile
  }
}

/** Arguments and environment, as others on this machine may see them. */
function visibleOf(pid: number): string {
  return ["cmdline", "environ"].map((name) => readFileSync(`/proc/${pid}/${name}`)).join("\0");
}

interface Said {
  readonly by: string;
  readonly text: string;
}

async function sayingOf(by: string, response: Response | Promise<Response>): Promise<Said> {
  const { status, headers, body } = await response;
  const lines = [...headers].map((pair) => pair.join(": "));
  // A stream goes on for ever: what it says at first is enough.
  const isStream = headers.get("content-type")?.startsWith("text/event-stream") === true;
  const content = isStream ? await firstChunk(body) : await new Response(body).text();
  return { by, text: [status, ...lines, content].join("\n") };
}

async function firstChunk(body: ReadableStream<Uint8Array> | null): Promise<string> {
  const reader = body?.getReader();
  const chunk = await reader?.read();
  await reader?.cancel();
  return new TextDecoder().decode(chunk?.value);
}

/** Every route that can be read, with ids that are there, and with ids that are not. */
async function readRoutes(daemon: RunningDaemon, ids: Readonly<Record<string, string>>) {
  const api = await daemon.json<ApiDescription>("/v3/openapi.json");
  const paths = Object.entries(api.paths).flatMap(([path, methods]) =>
    methods["get"] === undefined || path === "/v3/ws" ? [] : [path],
  );
  expect(paths.length).toBeGreaterThan(15);
  const said: Said[] = [];
  for (const path of paths) {
    for (const known of [ids, {} as typeof ids]) {
      const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => known[name] ?? "none");
      const query = `?sessionId=${known["sessionId"] ?? "none"}&workspace=%2F`;
      said.push(await sayingOf(`GET ${filled}`, daemon.fetch(filled + query)));
    }
  }
  return said;
}

/** Every operation that clients call by name, without input: some work, some complain. None that would stop the test. */
async function callOperations(daemon: RunningDaemon): Promise<readonly Said[]> {
  const { operations } = await daemon.json<{ operations: { id: string }[] }>("/v3/operations");
  expect(operations.length).toBeGreaterThan(15);
  return Promise.all(
    operations.map(({ id }) => sayingOf(id, daemon.fetch(`/v3/operations/${id}`, {}))),
  );
}

/** Requests that carry the token where it does not belong, or are refused with it. */
async function provoke(daemon: RunningDaemon, sessionId: string): Promise<readonly Said[]> {
  const { token, port } = daemon.state;
  const base = `http://127.0.0.1:${port}`;
  const authorization = `Bearer ${token}`;
  const ask = (by: string, path: string, init: RequestInit = {}) =>
    sayingOf(by, fetch(base + path, init));
  return [
    await ask("token in the URL", `/v3/sessions?token=${token}`),
    await ask("token in an unknown path", "/v3/none", { headers: { authorization } }),
    await ask("no JSON", "/v3/sessions", { method: "POST", headers: { authorization }, body: "{" }),
    await ask("foreign Host", "/v3/health", { headers: { authorization, host: "evil.example" } }),
    await ask("foreign Origin", "/v3/health", {
      headers: { authorization, origin: `http://${sessionId}.evil` },
    }),
    await ask("half a token", "/v3/health", {
      headers: { authorization: `Bearer ${token.slice(0, 40)}` },
    }),
    await ask("unknown method", "/v3/sessions", { method: "PUT", headers: { authorization } }),
  ];
}

const commands = [
  ["daemon", "start"],
  ["daemon", "start", "--json"],
  ["daemon", "status"],
  ["daemon", "status", "--json"],
  ["daemon", "logs"],
  ["daemon", "logs", "--json"],
  ["doctor"],
  ["config", "list"],
  ["sessions", "list"],
  ["status"],
];

async function runCommands(place: Place, modelPort: number): Promise<readonly Said[]> {
  const env = daemonEnvironment({ place, modelPort });
  const options = { cwd: place.workspace, home: place.home, env };
  const said: Said[] = [];
  for (const words of [...commands, ["do", "--attach", "-f", "json", "--dangerous", "hi"]]) {
    const { stdout, stderr } = await opta(words, options);
    said.push({ by: words.join(" "), text: stdout + stderr });
  }
  return said;
}

describe("the token", () => {
  test("is in state.json and nowhere else, whatever the daemon did", async () => {
    using place = createPlace({ "a.txt": "hello\n" });
    const spy = 'env; cat /proc/$$/environ; cat /proc/$PPID/cmdline; sed "s/x/x/" a.txt';
    const turns = [
      { toolCalls: [{ name: "run_command", arguments: { command: spy } }] },
      { toolCalls: [{ name: "read_file", arguments: { path: "a.txt" } }] },
      { text: "done" },
      { fault: { kind: "http", status: 500 } as const },
    ];
    await using model = await startScripted({ turns, loop: true });
    await using daemon = await startDaemon({ place, modelPort: model.port });
    const { token, port } = daemon.state;
    const needles = spellings(token);
    const { state: statePath } = daemon.paths;
    const said: Said[] = [];

    const sessionId = await createSession(daemon, place.workspace);
    for (const content of ["first", "second"]) {
      const overrides = { permissionMode: "dangerous" };
      const turnId = await submitTurn(daemon, sessionId, { content, overrides });
      const events = await turnEnd(daemon, sessionId, turnId);
      said.push({ by: `turn ${content}`, text: JSON.stringify(events) });
    }
    // The command has run and said what it saw.
    expect(said.map(({ text }) => text).join()).toContain(`HOME=${place.home}`);

    const command = `env; sleep 60`;
    const { process: background } = await daemon.json<{
      process: { processId: string; pid: number };
    }>("/v3/background/start", { sessionId, command });
    await until(async () => {
      const path = `/v3/background/${background.processId}/output`;
      return (await (await daemon.fetch(path)).text()).includes("HOME=");
    }, "the background process");
    const family = familyOf(daemon.process.pid);
    expect(family).toContain(background.pid);
    for (const pid of family) {
      const visible = visibleOf(pid);
      expect(visible).toContain("HOME=");
      expect({ pid, leaks: holds(visible, needles) }).toEqual({ pid, leaks: false });
    }

    const { ticket } = await daemon.json<{ ticket: string }>("/v3/ws-ticket", {});
    {
      using socket = await openRawSocket(
        `ws://127.0.0.1:${port}/v3/ws?sessionId=${sessionId}&ticket=${ticket}`,
      );
      socket.send({ type: "turn.submit" });
      socket.send({ type: "permission.resolve", requestId: "none" });
      const frames = await socket.until((all) => all.some(({ error }) => error !== undefined));
      said.push({ by: "socket", text: JSON.stringify(frames) });
    }
    said.push(...(await readRoutes(daemon, { sessionId, processId: background.processId })));
    said.push(...(await callOperations(daemon)));
    said.push(...(await provoke(daemon, sessionId)));
    said.push(...(await runCommands(place, model.port)));
    expect(said.filter(({ text }) => holds(text, needles)).map(({ by }) => by)).toEqual([]);
    const traffic = JSON.stringify(model.traffic);
    expect(holds(traffic, needles)).toBe(false);

    // The search finds it where it is, so that it would find it elsewhere.
    expect(filesWith(needles, place.home, place.workspace)).toEqual([statePath]);
    expect(statSync(statePath).mode & 0o777).toBe(0o600);

    daemon.process.kill("SIGTERM");
    await daemon.process.exited;
    const spoken = [await daemon.process.stderr.text()];
    expect(holds(spoken.join(), needles)).toBe(false);
    expect(existsSync(statePath)).toBe(false);
    expect(filesWith(needles, place.home, place.workspace)).toEqual([]);
  }, 120_000);

  test("is another one after a restart, and the old one opens nothing", async () => {
    using place = createPlace();
    let old = "";
    {
      await using first = await startDaemon({ place });
      old = first.state.token;
      expect((await first.fetch("/v3/health")).status).toBe(200);
    }
    await using second = await startDaemon({ place });
    expect(second.state.token).not.toBe(old);
    const health = (token: string) =>
      fetch(`http://127.0.0.1:${second.state.port}/v3/health`, {
        headers: { authorization: `Bearer ${token}` },
      });
    expect((await health(old)).status).toBe(401);
    expect((await health(second.state.token)).status).toBe(200);
  });
});

test("state.json is made with its final mode, whatever the umask, and never changed", async () => {
  using place = createPlace();
  const scratch = mkdtempSync(join(tmpdir(), "opta-state-"));
  try {
    const trace = join(scratch, "calls");
    const calls = "open,openat,creat,chmod,fchmod,fchmodat,rename,renameat,renameat2,link,linkat";
    const strace = ["strace", "-f", "-qq", "-s", "4096", "-e", `trace=${calls}`, "-o", trace];
    const prefix = ["sh", "-c", 'umask 0; exec "$@"', "sh", ...strace];
    await using daemon = await startDaemon({ place, prefix });
    const { directory, state } = daemon.paths;
    const lines = readFileSync(trace, "utf8").split("\n");

    const renames = / rename\w*\((?:AT_FDCWD, )?"([^"]+)", .*"[^"]*\/state\.json"/;
    const arrival = lines.findIndex((line) => renames.test(line));
    const temporary =
      renames
        .exec(lines[arrival] ?? "")?.[1]
        ?.split("/")
        .at(-1) ?? "none";
    expect(temporary).toEndWith(".opta-tmp");
    const touching = lines.filter((line) =>
      [temporary, "/state.json"].some((name) => line.includes(name)),
    );
    const made = touching.filter((line) => line.includes("O_CREAT"));
    expect(made.length).toBe(1);
    expect(made[0]).toMatch(/O_CREAT.*O_EXCL.*, 0600\)/);
    expect(touching.filter((line) => /\b(f?chmod\w*|link\w*)\(/.test(line))).toEqual([]);
    // By its descriptor, too, nothing happens to it between its making and its arrival.
    const [, fd = ""] = /\) = (\d+)$/.exec(made[0] ?? "") ?? [];
    const between = lines.slice(lines.indexOf(made[0] ?? ""), arrival);
    expect(between.filter((line) => line.includes(`fchmod(${fd},`))).toEqual([]);
    expect(statSync(state).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}, 60_000);
