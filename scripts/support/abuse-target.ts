// The daemon under attack: the built binary in a home of its own with a saved session and two files beside the sessions
// that no id may reach; and what must be true of it after every attack.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RecordedRequest } from "../../src/lmx-server/request-log.ts";
import { startDaemon } from "../../test/support/daemon.ts";
import { startScripted } from "../../test/support/lmx.ts";
import { createPlace } from "../../test/support/workspace.ts";
import { openWire, parseAnswers } from "./abuse-wire.ts";

/** The session that is there; no attack may change it, or make another one. */
export const keptSession = "keeper";

export interface Target extends AsyncDisposable {
  readonly port: number;
  readonly token: string;
  readonly pid: number;
  /** What reached the model server. */
  readonly upstream: readonly RecordedRequest[];
  isRunning(): boolean;
  rssBytes(): number;
  /** Sends a good request, and compares what there is with what there was. */
  inspect(): Promise<Inspection>;
  /** Takes what there is now for what there was. */
  accept(): Promise<void>;
  /** The good request alone. */
  health(): Promise<Inspection>;
  /** Ends the daemon in good order. */
  stop(): Promise<Remains>;
}

export interface Inspection {
  /** From before the connection is made to the whole answer. */
  readonly healthMs: number;
  readonly problems: readonly string[];
}

/** What a daemon that has ended leaves. */
export interface Remains {
  readonly exitCode: number | null;
  readonly stderr: string;
  readonly logLines: readonly string[];
}

export async function startTarget(): Promise<Target> {
  await using cleanup = new AsyncDisposableStack();
  const place = cleanup.use(createPlace());
  const server = cleanup.use(await startScripted({ turns: [{ text: "Hello" }], loop: true }));
  const daemon = cleanup.use(await startDaemon({ place, modelPort: server.port }));
  const { port, token } = daemon.state;
  const { pid } = daemon.process;
  const root = join(place.home, ".config/opta");
  for (const path of [join(root, "victim.json"), join(place.home, "victim.json")]) {
    writeFileSync(path, "{}", { mode: 0o600 });
  }
  const metadata = { workspace: place.workspace };
  await daemon.json("/v3/sessions", { sessionId: keptSession, title: "kept", metadata });
  const look = async () => ({
    sessions: await (await daemon.fetch("/v3/sessions")).text(),
    session: await (await daemon.fetch(`/v3/sessions/${keptSession}`)).text(),
    files: filesBelow(place.home),
  });
  let before = await look();
  const moved = cleanup.move();

  return {
    port,
    token,
    pid,
    upstream: server.traffic,
    isRunning: () => daemon.process.exitCode === null && daemon.process.signalCode === null,
    rssBytes: () => rssBytesOf(pid),
    health: () => askHealth({ port, token, pid }),
    async accept() {
      before = await look();
    },
    async inspect() {
      const { healthMs, problems } = await askHealth({ port, token, pid });
      if (problems.length > 0) return { healthMs, problems };
      const now = await look();
      const changed = (["sessions", "session", "files"] as const)
        .filter((what) => now[what] !== before[what])
        .map((what) => `${what} changed: ${differenceOf(before[what], now[what])}`);
      // What one attack did is not held against the next.
      before = now;
      return { healthMs, problems: changed };
    },
    async stop() {
      daemon.process.kill("SIGTERM");
      const exitCode = await daemon.process.exited;
      const stderr = await daemon.process.stderr.text();
      const logLines = readFileSync(daemon.paths.log, "utf8").split("\n");
      return { exitCode, stderr, logLines: logLines.filter((line) => line !== "") };
    },
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

/** A daemon that does not answer for so long has failed. */
const patienceMs = 10_000;

async function askHealth({
  port,
  token,
  pid,
}: Pick<Target, "port" | "token" | "pid">): Promise<Inspection> {
  const startedMs = performance.now();
  try {
    using wire = await openWire(port);
    const host = `Host: 127.0.0.1:${port}`;
    await wire.send(`GET /v3/health HTTP/1.1\r\n${host}\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    const isAnswered = () => parseAnswers(wire.received()).answers.length > 0;
    await wire.until(() => wire.isClosed() || isAnswered(), patienceMs);
    const healthMs = performance.now() - startedMs;
    const [answer] = parseAnswers(wire.received()).answers;
    if (answer?.status !== 200) {
      return { healthMs, problems: [`health: ${answer?.status ?? "silence"}`] };
    }
    const serving = (JSON.parse(answer.body.toString()) as { readonly pid: number }).pid;
    return { healthMs, problems: serving === pid ? [] : [`health: pid ${serving}, not ${pid}`] };
  } catch (thrown) {
    const healthMs = performance.now() - startedMs;
    return { healthMs, problems: [`health: ${thrown instanceof Error ? thrown.message : thrown}`] };
  }
}

/** Names and digests, the daemon's own directory and the directories of sessions apart: those change by themselves. */
function filesBelow(home: string): string {
  return readdirSync(home, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !/\/\.config\/opta\/(daemon|sessions\/[^/]+)\//.test(path))
    .map((path) => `${path} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`)
    .toSorted()
    .join("\n");
}

function differenceOf(before: string, now: string): string {
  const start = [...before].findIndex((letter, index) => now[index] !== letter);
  return `${JSON.stringify(before.slice(Math.max(0, start - 20), start + 60))} became ${JSON.stringify(now.slice(Math.max(0, start - 20), start + 60))}`;
}

function rssBytesOf(pid: number): number {
  const [, kilobytes] =
    /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}
