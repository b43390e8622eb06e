// `opta daemon …` and what changes for other commands when a daemon runs, on the built binary: every output, text and
// JSON, with ids and times replaced; sessions that go to and fro between the daemon and `opta do` by itself.
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { completeHistory } from "../../src/engine/message-history.ts";
import type { OptaEvent } from "../../src/protocol/event.ts";
import { daemonPaths } from "../../src/store/daemon-place.ts";
import { readDaemonState } from "../../src/store/daemon-state.ts";
import { builtOpta, opta, type OptaRun, startOpta, type StartedOpta } from "../support/binary.ts";
import {
  commandOptions,
  createSession,
  type DaemonWhere,
  eventsOnDisk,
  freePort,
  guardDaemon,
  isEndOf,
  rootOf,
  type RunningDaemon,
  startDaemon,
  storedEvents,
  submitTurn,
  turnEnd,
  until,
} from "../support/daemon.ts";
import { startScripted } from "../support/lmx.ts";
import { runningWith, uniqueSleep } from "../support/processes.ts";
import { createPlace } from "../support/workspace.ts";

interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

function run(where: DaemonWhere, words: readonly string[], options: RunOptions = {}) {
  return opta(words, optionsOf(where, options));
}

function start(where: DaemonWhere, words: readonly string[]): Promise<StartedOpta> {
  return startOpta(words, optionsOf(where, {}));
}

function optionsOf(where: DaemonWhere, { cwd, env }: RunOptions) {
  const usual = commandOptions(where);
  return { ...usual, cwd: cwd ?? where.place.workspace, env: { ...usual.env, ...env } };
}

/** What a command printed, with what differs from run to run replaced. */
function shown({ exitCode, stdout, stderr }: OptaRun, where: DaemonWhere, port: number) {
  const plain = (text: string) =>
    text
      .replaceAll(where.place.home, "$HOME")
      .replaceAll(String(port), "$PORT")
      .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, "$TIME")
      .replaceAll(/daemon_[\w-]{8}/g, "$DAEMON")
      .replaceAll(/((?:^|[( ])pid"?:? +|"pid":)\d+/gm, "$1$PID")
      .replaceAll(/\(\d+(\.\d+)? s\)/g, "($AGE)")
      .replaceAll(/(version"?:? *"?)\d+\.\d+\.\d+/g, "$1$VERSION");
  return { exitCode, stdout: plain(stdout), stderr: plain(stderr) };
}

const silent = { exitCode: 0, stdout: "", stderr: "" };

describe("start, stop, restart, status and logs", () => {
  test("as text", async () => {
    using place = createPlace();
    const where = { place };
    await using _ = guardDaemon(where);
    const port = freePort();
    const ask = async (...words: readonly string[]) =>
      shown(await run(where, ["daemon", ...words]), where, port);
    const isNotRunning = {
      exitCode: 0,
      stdout: "daemon not running\n",
      stderr: "  opta daemon start\n",
    };
    expect(await ask()).toEqual(isNotRunning);
    expect(await ask("status")).toEqual(isNotRunning);
    expect(await ask("stop")).toEqual({ ...silent, stdout: "daemon not running\n" });
    expect(await ask("logs")).toEqual({ ...silent, stderr: "no log yet: opta daemon start\n" });
    // Asking makes nothing.
    expect(existsSync(rootOf(where))).toBe(false);

    const at = "http://127.0.0.1:$PORT (pid $PID)\n";
    expect(await ask("start", "--port", String(port))).toEqual({
      ...silent,
      stdout: `daemon started, ${at}`,
    });
    expect(await ask("start")).toEqual({ ...silent, stdout: `daemon already running, ${at}` });
    expect(await ask("start", "--port", "1")).toEqual({
      exitCode: 0,
      stdout: `daemon already running, ${at}`,
      stderr: "  it keeps its port; to change it: opta daemon restart --port 1\n",
    });
    const status = {
      exitCode: 0,
      stdout: `daemon   running, 127.0.0.1:$PORT
pid      $PID
version  $VERSION
since    $TIME ($AGE)
turns    0 running, 0 waiting
readers  0
log      $HOME/.config/opta/daemon/daemon.log
`,
      stderr: "",
    };
    expect(await ask("status")).toEqual(status);
    expect(await ask()).toEqual(status);
    const first = readDaemonState(daemonPaths(rootOf(where)))!;
    // The port that was chosen for it stays.
    expect(await ask("restart")).toEqual({
      ...silent,
      stdout: `daemon started, ${at}`,
    });
    expect(readDaemonState(daemonPaths(rootOf(where)))?.pid).not.toBe(first.pid);
    const own = `daemon run --port ${port}`;
    await until(async () => (await runningWith(own)).length === 1, "the first one's end");
    expect(await ask("logs")).toEqual({
      ...silent,
      stdout: `$TIME info  started {"version":"$VERSION","port":$PORT,"pid":$PID}
$TIME info  stopping {"reason":"the daemon is stopping"}
$TIME info  stopped
$TIME info  started {"version":"$VERSION","port":$PORT,"pid":$PID}
`,
    });
    expect((await ask("logs", "-n", "1")).stdout).toMatch(/^\$TIME info {2}started .*\n$/);
    expect(await ask("stop")).toEqual({ ...silent, stdout: "daemon stopped\n" });
    expect(await ask("stop")).toEqual({ ...silent, stdout: "daemon not running\n" });
    expect(await ask("status")).toEqual(isNotRunning);
  });

  test("as JSON, and the token in none of it", async () => {
    using place = createPlace();
    const where = { place };
    await using _ = guardDaemon(where);
    const port = freePort();
    const printed: string[] = [];
    const tokens: string[] = [];
    const ask = async (...words: readonly string[]): Promise<unknown> => {
      const answer = await run(where, ["daemon", ...words]);
      printed.push(answer.stdout, answer.stderr);
      const state = readDaemonState(daemonPaths(rootOf(where)));
      if (state !== undefined) tokens.push(state.token);
      expect(answer).toMatchObject({ exitCode: 0, stderr: "" });
      return JSON.parse(answer.stdout);
    };
    const logsPath = join(rootOf(where), "daemon/daemon.log");
    const nobody = { running: false, state: null, runtime: null, logsPath };
    expect(await ask("status", "--json")).toEqual(nobody);
    expect(await ask("stop", "--json")).toEqual({ outcome: "not running" });
    const state = {
      pid: expect.any(Number),
      daemonId: expect.stringMatching(/^daemon_[\w-]{8}$/),
      host: "127.0.0.1",
      port,
      startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      logsPath,
    };
    const first = await ask("start", "--json", "--port", String(port));
    expect(first).toEqual(state);
    expect(await ask("start", "--json")).toEqual(first);
    const status = await ask("status", "--json");
    expect(status).toEqual({
      running: true,
      state: first,
      logsPath,
      runtime: expect.objectContaining({
        sessionCount: 0,
        activeTurnCount: 0,
        queuedTurnCount: 0,
        subscriberCount: 0,
      }),
    });
    const second = (await ask("restart", "--json", "--port", String(port))) as { pid: number };
    expect(second).toEqual(state);
    expect(second.pid).not.toBe((first as { pid: number }).pid);
    expect(await ask("stop", "--json")).toEqual({ outcome: "stopped" });
    expect(await ask("status", "--json")).toEqual(nobody);

    const logs = await run(where, ["daemon", "logs", "--json"]);
    const lines = logs.stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line) as object)).toEqual(
      ["started", "stopping", "stopped", "started", "stopping", "stopped"].map((msg) =>
        expect.objectContaining({ msg, level: "info" }),
      ),
    );
    printed.push(logs.stdout, readFileSync(logsPath, "utf8"));
    expect(new Set(tokens).size).toBe(2);
    for (const token of tokens) expect(printed.filter((text) => text.includes(token))).toEqual([]);
  });

  test("logs -f tells what is written from then on, until Ctrl+C", async () => {
    using place = createPlace();
    const where = { place };
    await using _ = guardDaemon(where);
    const words = ["--port", String(freePort())];
    await run(where, ["daemon", "start", ...words]);
    await using following = await start(where, ["daemon", "logs", "-f", "--json"]);
    const said = gather(following.process.stdout);
    await until(() => said().includes('"started"'), "what was there");
    await run(where, ["daemon", "restart", ...words]);
    await until(() => said().split('"started"').length === 3, "the next start");
    following.process.kill("SIGINT");
    expect(await following.process.exited).toBe(0);
    const lines = said().trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
      "started",
      "stopping",
      "stopped",
      "started",
    ]);
  });
});

test("wrong flags and words are refused before anything is done", async () => {
  using place = createPlace();
  const where = { place };
  const cases: readonly (readonly [words: string, stderr: RegExp])[] = [
    ["daemon strat", /^opta: opta daemon has no command "strat"; did you mean start\?\n/],
    ["daemon start --port 0", /--port/],
    ["daemon start --port 65536", /--port/],
    ["daemon run --port http", /--port/],
    ["daemon stop --now", /--now/],
    ["daemon status extra", /extra/],
    ["daemon logs -n 0", /lines|-n/],
    ["daemon events", /session/],
    ["daemon events x --after -1", /after/],
    ["daemon events x --after many", /--after/],
    ["do --attach --embedded hi", /^opta: choose one of --embedded and --attach\n/],
  ];
  for (const [words, stderr] of cases) {
    const refused = await run(where, words.split(" "));
    expect({ words, exitCode: refused.exitCode, stdout: refused.stdout }).toEqual({
      words,
      exitCode: 2,
      stdout: "",
    });
    expect(refused.stderr).toMatch(stderr);
    expect(refused.stderr).toMatch(/\n {2}opta help /);
  }
  expect(existsSync(rootOf(where))).toBe(false);
});

describe("daemon events", () => {
  test("prints the envelopes as they are stored, from where it is told", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "one two three\u001b[31m" }] });
    const where = { place, modelPort: lmx.port };
    await using daemon = await startDaemon(where);
    const sessionId = await createSession(daemon, place.workspace);
    const turnId = await submitTurn(daemon, sessionId, { content: "hi" });
    const events = await turnEnd(daemon, sessionId, turnId);
    const all = await run(where, ["daemon", "events", sessionId]);
    expect(all).toMatchObject({ exitCode: 0, stderr: "" });
    expect(toEvents(all)).toEqual(events);
    expect(Object.keys(toEvents(all)[0]!)).toEqual([
      "v",
      "event",
      "daemonId",
      "sessionId",
      "seq",
      "ts",
      "payload",
    ]);
    // What a model says must not steer a terminal.
    expect(all.stdout).not.toContain("\u001b");
    const head = events.at(-1)!.seq;
    const after = (seq: number) =>
      run(where, ["daemon", "events", sessionId, "--after", String(seq)]);
    expect(toEvents(await after(3))).toEqual(events.slice(3));
    expect(await after(head)).toMatchObject(silent);
    expect(await after(head + 1)).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: `opta: session ${sessionId} has events up to ${head}; there is nothing after ${head + 1} to wait for\n  opta daemon events ${sessionId} --after ${head}\n`,
    });
    expect(await run(where, ["daemon", "events", "nobody"])).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: "opta: there is no session nobody\n  opta sessions list\n",
    });
    expect(await run(where, ["daemon", "events", "../escape"])).toMatchObject({ exitCode: 2 });
  });

  test("-f goes on with what happens, also over a restart of the daemon, until Ctrl+C", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ loop: true, turns: [{ text: "one two three" }] });
    const where = { place, modelPort: lmx.port };
    await using _ = guardDaemon(where);
    const port = freePort();
    let sessionId: string;
    let events: readonly OptaEvent[];
    {
      await using daemon = await startDaemon({ ...where, port });
      sessionId = await createSession(daemon, place.workspace);
      await using following = await start(where, ["daemon", "events", sessionId, "-f"]);
      const said = gather(following.process.stdout);
      await until(() => said().includes("session.snapshot"), "the first event");
      const turnId = await submitTurn(daemon, sessionId, { content: "hi" });
      events = await turnEnd(daemon, sessionId, turnId);
      const isAll = () => said().split("\n").length > events.length;
      await until(isAll, "the turn");
      expect(await run(where, ["daemon", "restart", "--port", String(port)])).toMatchObject({
        exitCode: 0,
      });
      await run(where, ["do", "--attach", "--resume", sessionId, "again"]);
      await until(() => said().split("turn.done").length === 3, "the second turn");
      await until(() => said().trimEnd().endsWith("}"), "a whole line");
      following.process.kill("SIGINT");
      expect(await following.process.exited).toBe(0);
      const printed = said()
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as OptaEvent);
      expect(printed.slice(0, events.length)).toEqual([...events]);
      expect(printed.map(({ seq }) => seq)).toEqual(printed.map((_each, index) => index + 1));
    }
  });

  test("names the events that are too old to be kept, and where to go on", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ loop: true, turns: [{ text: "one two three" }] });
    const where = { place, modelPort: lmx.port };
    const ids: string[] = [];
    const stored: OptaEvent[][] = [];
    let path: string;
    {
      await using daemon = await startDaemon(where);
      for (const content of ["old", "new"]) {
        const sessionId = await createSession(daemon, place.workspace);
        const turnId = await submitTurn(daemon, sessionId, { content });
        stored.push(await turnEnd(daemon, sessionId, turnId));
        ids.push(sessionId);
      }
      path = daemon.paths.events;
      daemon.process.kill("SIGTERM");
      await daemon.process.exited;
    }
    const [oldId = "", newId = ""] = ids;
    using database = new Database(path);
    database.run("UPDATE sessions SET active_ms = 0 WHERE id = ?", [oldId]);
    database.close();

    await using daemon = await startDaemon(where);
    const head = stored[0]!.at(-1)!.seq;
    const oldest = () => run(where, ["daemon", "events", oldId]);
    await until(async () => (await oldest()).exitCode === 1, "the old events to be dropped");
    expect(await oldest()).toMatchObject({
      stdout: "",
      stderr: `opta: events 1 to ${head} of session ${oldId} are not in the daemon's log: dropped for their age, or another process's\n  opta daemon events ${oldId} --after ${head}\n`,
    });
    expect(toEvents(await run(where, ["daemon", "events", newId]))).toEqual(stored[1]!);
    const turnId = await submitTurn(daemon, oldId, { content: "again" });
    await until(async () => {
      const events = await storedEvents(daemon, oldId, head);
      return events.some((event) => isEndOf(event, turnId));
    }, "the turn");
    const later = await run(where, ["daemon", "events", oldId, "--after", String(head)]);
    expect(toEvents(later)[0]).toMatchObject({ event: "session.snapshot", seq: head + 1 });
  });
});

describe("daemon install and uninstall", () => {
  if (process.platform !== "linux") return;

  /** A systemctl that keeps what it was asked, and fails where it is told to. */
  function fakeSystemctl(place: ReturnType<typeof createPlace>, { fails = "" } = {}) {
    const bin = join(place.home, "fake-bin");
    const asked = join(place.home, "asked");
    mkdirSync(bin, { recursive: true });
    const script = `#!/bin/sh\necho "$*" >> '${asked}'\ncase "$*" in\n*'${fails || "never"}'*) echo 'Failed to connect to bus: No medium found' >&2; exit 1;;\nesac\n`;
    writeFileSync(join(bin, "systemctl"), script);
    chmodSync(join(bin, "systemctl"), 0o755);
    return {
      env: { PATH: [bin, "/usr/bin", "/bin"].join(delimiter) },
      asked: () => (existsSync(asked) ? readFileSync(asked, "utf8").trimEnd().split("\n") : []),
    };
  }

  /** A program that stays, for one below /tmp is refused, and a checkout may lie there. */
  const lasting = mkdtempSync(join(userInfo().homedir, ".opta-test-"));
  const program = join(lasting, "opta");
  beforeAll(async () => copyFileSync(await builtOpta(), program));
  afterAll(() => rmSync(lasting, { recursive: true }));

  function runLasting(
    where: DaemonWhere,
    words: readonly string[],
    env: Required<RunOptions>["env"],
  ) {
    const prefix = ["/bin/sh", "-c", `shift; exec '${program}' "$@"`, "sh"];
    return opta(words, { ...optionsOf(where, { env }), prefix });
  }

  test("give the unit to systemd, after the daemon of the shell has gone, and take it back", async () => {
    using place = createPlace();
    const where = { place };
    const { env, asked } = fakeSystemctl(place);
    const unit = join(place.home, ".config/systemd/user/opta-daemon.service");
    const port = freePort();
    await using daemon = await startDaemon({ ...where, port });
    const ask = async (verb: string) =>
      shown(await runLasting(where, ["daemon", verb], env), where, port);
    expect(await ask("install")).toEqual({
      exitCode: 0,
      stdout:
        "installed $HOME/.config/systemd/user/opta-daemon.service: the daemon runs now and from every login on\n",
      stderr: "the running daemon was stopped first\n",
    });
    expect(await daemon.process.exited).toBe(0);
    expect(asked()).toEqual(["--user daemon-reload", "--user enable --now opta-daemon.service"]);
    const text = readFileSync(unit, "utf8");
    expect(text).toContain(`Environment="PATH=${env.PATH}`);
    expect(text).toMatch(/^ExecStart="\/\S+" daemon run$/m);
    expect(text).not.toContain(daemon.state.token);
    expect(await ask("install")).toEqual({
      ...silent,
      stdout: "already installed: $HOME/.config/systemd/user/opta-daemon.service\n",
    });
    expect(await ask("uninstall")).toEqual({
      ...silent,
      stdout: "removed $HOME/.config/systemd/user/opta-daemon.service\n",
    });
    expect(existsSync(unit)).toBe(false);
    expect(await ask("uninstall")).toEqual({
      ...silent,
      stdout: "not installed: there is no $HOME/.config/systemd/user/opta-daemon.service\n",
    });
    expect(asked().slice(-2)).toEqual([
      "--user disable --now opta-daemon.service",
      "--user daemon-reload",
    ]);
  });

  test("keep the unit where systemd does not answer, and say what to type", async () => {
    using place = createPlace();
    const where = { place };
    const { env } = fakeSystemctl(place, { fails: "daemon-reload" });
    const failed = shown(await runLasting(where, ["daemon", "install"], env), where, 0);
    expect(failed).toMatchObject({
      exitCode: 1,
      stdout:
        "wrote $HOME/.config/systemd/user/opta-daemon.service, but systemctl failed: Failed to connect to bus: No medium found\n",
      stderr:
        "  systemctl --user daemon-reload && systemctl --user enable --now opta-daemon.service\n" +
        "  until then: opta daemon start\n",
    });
    expect(existsSync(join(place.home, ".config/systemd/user/opta-daemon.service"))).toBe(true);
  });
});

test("doctor makes the same checks with and without a daemon", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [] });
  const where = { place, modelPort: lmx.port };
  place.configure({});
  const alone = await run(where, ["doctor", "--json"]);
  const report = JSON.parse(alone.stdout) as { ok: boolean; checks: { name: string }[] };
  expect(alone.exitCode).toBe(report.ok ? 0 : 1);
  await using daemon = await startDaemon(where);
  const beside = await run(where, ["doctor", "--json"]);
  const checks = (JSON.parse(beside.stdout) as typeof report).checks;
  expect(checks.map(({ name }) => name)).toEqual(report.checks.map(({ name }) => name));
  expect(checks.find(({ name }) => name === "model server")).toMatchObject({ status: "pass" });
  const text = await run(where, ["doctor"]);
  expect(text.exitCode).toBe(beside.exitCode);
  for (const { name } of checks) expect(text.stdout).toMatch(new RegExp(`^[✓!✗-] ${name} `, "m"));
  expect(text.stdout + beside.stdout).not.toContain(daemon.state.token);
});

describe("which of the two does the work", () => {
  test("--attach without a daemon is refused, and starts none", async () => {
    using place = createPlace();
    const where = { place };
    expect(await run(where, ["do", "--attach", "hi"])).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: "opta: no daemon is running\n  opta daemon start\n",
    });
    expect(existsSync(daemonPaths(rootOf(where)).directory)).toBe(false);
  });

  test("a daemon that runs, unless --embedded or other settings say otherwise", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
    await using other = await startScripted({ loop: true, turns: [{ text: "other" }] });
    const where = { place, modelPort: lmx.port };
    await using daemon = await startDaemon(where);
    const by = async (...flags: readonly string[]) => {
      const done = await run(where, ["do", ...flags, "-f", "json", "hi"]);
      expect(done).toMatchObject({ exitCode: 0, stderr: "" });
      const ids = new Set(toEvents(done).map(({ daemonId }) => daemonId));
      expect(ids.size).toBe(1);
      return [...ids][0]!;
    };
    expect(await by()).toBe(daemon.state.daemonId);
    expect(await by("--attach")).toBe(daemon.state.daemonId);
    expect(await by("--embedded")).toStartWith("embedded_");
    const device = `127.0.0.1:${other.port}`;
    expect(await by("--device", device)).toStartWith("embedded_");
    expect(await run(where, ["do", "--attach", "--device", device, "hi"])).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: expect.stringContaining("the daemon works with other settings than this command"),
    });
    expect(other.requests).toHaveLength(1);
    // Each side shows the sessions of both.
    for (const modelPort of [lmx.port, other.port]) {
      const listed = await run({ place, modelPort }, ["sessions", "list", "--json"]);
      expect((JSON.parse(listed.stdout) as { sessions: object[] }).sessions).toHaveLength(4);
    }
  });

  test("settings that are changed while the daemon runs hold for the next turn", async () => {
    using place = createPlace();
    const write = (path: string) => ({
      toolCalls: [{ name: "write_file", arguments: { path, content: "x" } }],
    });
    await using lmx = await startScripted({
      turns: [
        write("a.txt"),
        { text: "no" },
        write("b.txt"),
        { text: "yes" },
        write("c.txt"),
        { text: "no" },
      ],
    });
    const where = { place, modelPort: lmx.port };
    await using daemon = await startDaemon(where);
    const attached = async () => {
      const done = await run(where, ["do", "--attach", "-f", "json", "write it"]);
      expect(toEvents(done)[0]).toMatchObject({ daemonId: daemon.state.daemonId });
      return done.exitCode;
    };
    expect(await attached()).toBe(6);
    expect(await run(where, ["config", "set", "permissions.mode", "auto"])).toMatchObject({
      exitCode: 0,
    });
    expect(await attached()).toBe(0);
    expect(place.read("b.txt")).toBe("x");
    expect(await run(where, ["config", "unset", "permissions.mode"])).toMatchObject({
      exitCode: 0,
    });
    expect(await attached()).toBe(6);
    expect(["a.txt", "c.txt"].filter((name) => existsSync(join(place.workspace, name)))).toEqual(
      [],
    );
  });

  test("PATH and directory are those of the shell that asks, not the daemon's", async () => {
    using place = createPlace({ "mine/marker.txt": "" });
    const bin = join(place.home, "my-bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "my-tool"), "#!/bin/sh\necho from my own tool\n");
    chmodSync(join(bin, "my-tool"), 0o755);
    const command = "my-tool; pwd; ls";
    await using lmx = await startScripted({
      loop: true,
      turns: [{ toolCalls: [{ name: "run_command", arguments: { command } }] }, { text: "done" }],
    });
    const where = { place, modelPort: lmx.port };
    await using _daemon = await startDaemon({ ...where, env: { PATH: "/usr/bin:/bin" } });
    const cwd = join(place.workspace, "mine");
    const resultOf = async (words: readonly string[], path: string) => {
      const env = { PATH: path };
      const done = await run(where, ["do", "--attach", "--dangerous", "-f", "json", ...words], {
        env,
        cwd,
      });
      const result = toEvents(done).find(({ event }) => event === "tool.result");
      return String((result?.payload as { readonly result?: string } | undefined)?.result);
    };
    const withTool = `${bin}:/usr/bin:/bin`;
    expect(await resultOf(["go"], withTool)).toContain(`from my own tool\n${cwd}\nmarker.txt`);
    // The next turn's shell may have another one.
    expect(await resultOf(["--continue", "go"], "/usr/bin:/bin")).toContain(
      "my-tool: command not found",
    );
    expect(await resultOf(["--continue", "go"], withTool)).toContain("from my own tool");
  });
});

describe("a session goes to and fro:", () => {
  interface Gone {
    readonly where: DaemonWhere;
    readonly sessionId: string;
    /** Of every turn so far, as its client got them. */
    readonly told: OptaEvent[];
  }

  async function turn(gone: Gone, flag: "--embedded" | "--attach", task: string): Promise<void> {
    const words = ["do", flag, "--resume", gone.sessionId, "-f", "json", task];
    const done = await run(gone.where, words);
    expect(done).toMatchObject({ exitCode: 0, stderr: "" });
    gone.told.push(...toEvents(done));
  }

  /** No number is used twice, whoever counts; the history is whole. */
  async function expectWhole({ where, sessionId, told }: Gone, tasks: readonly string[]) {
    const seqs = told.map(({ seq }) => seq);
    expect(seqs).toEqual([...new Set(seqs)].toSorted((a, b) => a - b));
    const shownSession = await run(where, ["sessions", "show", sessionId, "--json"]);
    const { messages, seq } = JSON.parse(shownSession.stdout) as {
      messages: { role: string; content: unknown }[];
      seq: number;
    };
    expect(completeHistory(messages as never)).toEqual(messages as never);
    const roles = messages.map(({ role }) => role).filter((role) => role !== "system");
    expect(roles).toEqual(tasks.flatMap(() => ["user", "assistant"]));
    const said = messages
      .filter(({ role }) => role === "user")
      .map(({ content }) => String(content));
    tasks.forEach((task, index) => expect(said[index]).toStartWith(task));
    expect(seq).toBeGreaterThanOrEqual(seqs.at(-1)!);
  }

  test("begun by itself, continued in the daemon, and back", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
    const where = { place, modelPort: lmx.port };
    const first = await run(where, ["do", "-f", "json", "one"]);
    const told = toEvents(first);
    const { sessionId } = told[0]!;
    const gone = { where, sessionId, told };
    const firstHead = told.at(-1)!.seq;
    await using daemon = await startDaemon(where);
    // Its events were never the daemon's: that is said, not passed over.
    expect(await run(where, ["daemon", "events", sessionId])).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: `opta: events 1 to ${firstHead} of session ${sessionId} are not in the daemon's log\n  opta daemon events ${sessionId} --after ${firstHead}\n`,
    });
    const nothing = ["daemon", "events", sessionId, "--after", String(firstHead)];
    expect(await run(where, nothing)).toMatchObject(silent);

    await turn(gone, "--attach", "two");
    expect(
      told.every(({ daemonId }, index) => index < firstHead || daemonId === daemon.state.daemonId),
    ).toBe(true);
    const second = toEvents(await run(where, nothing));
    expect(second[0]).toMatchObject({ event: "session.snapshot", seq: firstHead + 1 });
    expect(second.slice(1)).toEqual(told.slice(firstHead));
    expect(await run(where, ["daemon", "events", sessionId])).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: `opta: events 1 to ${firstHead} of session ${sessionId} are not in the daemon's log: dropped for their age, or another process's\n  opta daemon events ${sessionId} --after ${firstHead}\n`,
    });

    await turn(gone, "--embedded", "three");
    const secondHead = second.at(-1)!.seq;
    const thirdHead = told.at(-1)!.seq;
    const behind = await run(where, nothing);
    expect(behind).toMatchObject({
      exitCode: 1,
      stderr: `opta: events ${secondHead + 1} to ${thirdHead} of session ${sessionId} are not in the daemon's log\n  opta daemon events ${sessionId} --after ${thirdHead}\n`,
    });
    expect(toEvents(behind)).toEqual(second);
    await turn(gone, "--attach", "four");
    await expectWhole(gone, ["one", "two", "three", "four"]);
    // A reader of the whole is told of the gap where it is.
    const page = await daemon.fetch(`/v3/sessions/${sessionId}/events?afterSeq=${firstHead}`);
    expect(await page.json()).toMatchObject({ events: second, code: "before-retention" });
    const last = await storedEvents(daemon, sessionId, thirdHead);
    expect(last[0]).toMatchObject({ event: "session.snapshot", seq: thirdHead + 1 });
  });

  test("begun in the daemon, continued by itself, and back", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
    const where = { place, modelPort: lmx.port };
    let gone: Gone;
    {
      await using daemon = await startDaemon(where);
      const told = toEvents(await run(where, ["do", "--attach", "-f", "json", "one"]));
      gone = { where, sessionId: told[0]!.sessionId, told };
      await turn(gone, "--embedded", "two");
      await turn(gone, "--attach", "three");
      daemon.process.kill("SIGTERM");
      await daemon.process.exited;
    }
    await turn(gone, "--embedded", "four");
    await using next = await startDaemon(where);
    await turn(gone, "--attach", "five");
    await expectWhole(gone, ["one", "two", "three", "four", "five"]);
    // The daemon has its own turns, in order; each time it takes over it says what it begins with.
    next.process.kill("SIGTERM");
    await next.process.exited;
    const kept = eventsOnDisk(next.paths, gone.sessionId);
    expect(kept.filter(({ event }) => event === "session.snapshot")).toHaveLength(3);
    expect(kept.filter(({ event }) => event === "turn.done")).toHaveLength(3);
    expect(kept.map(({ seq }) => seq)).toEqual(
      kept.map(({ seq }) => seq).toSorted((left, right) => left - right),
    );
  });

  test("a turn that runs in the daemon keeps everybody else out, who is told who has it", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [{ repeat: { text: "word ", times: 100_000 }, delays: { betweenChunksMs: 5 } }],
    });
    const where = { place, modelPort: lmx.port };
    await using daemon = await startDaemon(where);
    const sessionId = await createSession(daemon, place.workspace);
    await submitTurn(daemon, sessionId, { content: "go" });
    await until(() => lmx.requests.length === 1, "the request");
    const refused = await run(where, ["do", "--embedded", "--resume", sessionId, "me too"]);
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toMatch(
      new RegExp(
        `^opta: session ${sessionId} is in use by pid ${daemon.process.pid} \\(opta daemon\\) since [\\d:]+\\n  Wait until it is done, or .*opta do --attach --resume ${sessionId} `,
      ),
    );
  });
});

test("what is no session id is refused in the same words with and without a daemon", async () => {
  using place = createPlace();
  const where = { place };
  const ask = async () => {
    const answers = [];
    for (const id of ["", ".", "..", "a/b"]) {
      for (const words of [
        ["sessions", "show"],
        ["sessions", "delete"],
        ["do", "--resume"],
      ]) {
        const { exitCode, stdout, stderr } = await run(where, [...words, id]);
        answers.push({ words, id, exitCode, stdout, stderr });
      }
    }
    return answers;
  };
  const embedded = await ask();
  expect(embedded[0]).toMatchObject({ exitCode: 2, stdout: "" });
  await using daemon = await startDaemon(where);
  expect(await ask()).toEqual(embedded);
  const long = await run(where, ["sessions", "search", "x".repeat(20_000)]);
  expect(long).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("at most 16 KB") });
  expect((await daemon.fetch("/v3/health")).status).toBe(200);
});

describe("sessions delete of one that is open in the daemon", () => {
  test("deletes what rests there, and its events", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
    const where = { place, modelPort: lmx.port };
    await using daemon = await startDaemon(where);
    const { sessionId } = toEvents(await run(where, ["do", "--attach", "-f", "json", "hi"]))[0]!;
    expect(await run(where, ["sessions", "delete", sessionId])).toMatchObject({
      exitCode: 0,
      stdout: `deleted ${sessionId}\n`,
      stderr: "",
    });
    await expectDeleted(daemon, where, sessionId);
    expect(await run(where, ["sessions", "delete", sessionId])).toMatchObject({
      exitCode: 1,
      stderr: `opta: there is no session ${sessionId}\n  opta sessions list\n`,
    });
  });

  test("ends the turn that runs there, and what that started", async () => {
    using place = createPlace();
    const marker = uniqueSleep();
    const command = `touch started; sleep ${marker}`;
    await using lmx = await startScripted({
      turns: [{ toolCalls: [{ name: "run_command", arguments: { command } }] }, { text: "no" }],
    });
    const where = { place, modelPort: lmx.port };
    await using daemon = await startDaemon(where);
    const sessionId = await createSession(daemon, place.workspace);
    const overrides = { dangerous: true };
    await submitTurn(daemon, sessionId, { content: "go", overrides });
    await until(() => existsSync(join(place.workspace, "started")), "the command");
    // Not by a process of its own: the session is the daemon's.
    const elsewhere = { place, modelPort: 9 };
    expect(await run(elsewhere, ["sessions", "delete", sessionId])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining(`in use by pid ${daemon.process.pid} (opta daemon)`),
    });
    expect(await run(where, ["sessions", "delete", sessionId])).toMatchObject({
      exitCode: 0,
      stdout: `deleted ${sessionId}\n`,
    });
    await until(async () => (await runningWith(marker)).length === 0, "the command's end");
    await expectDeleted(daemon, where, sessionId);
    // Nothing that ended late brought it back.
    daemon.process.kill("SIGTERM");
    expect(await daemon.process.exited).toBe(0);
    expect(place.sessionEntries()).toEqual([]);
    expect(eventsOnDisk(daemon.paths, sessionId)).toEqual([]);
  });

  test("tells who waits for a turn of it why that ended", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [{ text: "a", fault: { kind: "silence" } }],
    });
    const where = { place, modelPort: lmx.port };
    await using daemon = await startDaemon(where);
    const sessionId = await createSession(daemon, place.workspace);
    const waiting = run(where, ["do", "--attach", "--resume", sessionId, "hi"]);
    await until(() => lmx.requests.length === 1, "the request");
    expect((await run(where, ["sessions", "delete", sessionId])).exitCode).toBe(0);
    expect(await waiting).toMatchObject({
      exitCode: 1,
      stderr: "opta: the session was deleted\n  opta sessions list\n",
    });
  });

  async function expectDeleted(
    daemon: RunningDaemon,
    where: DaemonWhere,
    sessionId: string,
  ): Promise<void> {
    expect((await daemon.fetch(`/v3/sessions/${sessionId}`)).status).toBe(404);
    expect(await storedEvents(daemon, sessionId)).toEqual([]);
    expect(where.place.sessions()).toEqual([]);
    expect(await run(where, ["daemon", "events", sessionId])).toMatchObject({
      exitCode: 1,
      stderr: `opta: there is no session ${sessionId}\n  opta sessions list\n`,
    });
    // Its id is free again.
    const again = await daemon.json<{ sessionId: string }>("/v3/sessions", {
      sessionId,
      metadata: { workspace: where.place.workspace },
    });
    expect(again.sessionId).toBe(sessionId);
    expect(await storedEvents(daemon, sessionId)).toMatchObject([
      { event: "session.snapshot", seq: 1, payload: { messages: [] } },
    ]);
    expect((await run(where, ["sessions", "delete", sessionId])).exitCode).toBe(0);
  }
});

function toEvents({ stdout }: OptaRun): OptaEvent[] {
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as OptaEvent);
}

/** What a command has printed so far. */
function gather(stream: ReadableStream<Uint8Array>): () => string {
  let text = "";
  const read = async () => {
    const decoder = new TextDecoder();
    for await (const bytes of stream) text += decoder.decode(bytes, { stream: true });
  };
  read().catch(() => undefined); // the command is killed with the test
  return () => text;
}
