// A daemon of the built executable for acceptance tests: in a place of its own, on a free port, gone when the test is
// over. `await using daemon = await startDaemon({ place, modelPort: lmx.port })`, then daemon.fetch("/v3/health").
import { Database } from "bun:sqlite";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { OptaEvent } from "../../src/protocol/event.ts";
import { type DaemonPaths, daemonPaths, isDaemonAlive } from "../../src/store/daemon-place.ts";
import { daemonOwner, type DaemonState, readDaemonState } from "../../src/store/daemon-state.ts";
import { builtOpta, opta, type OptaOptions, type OptaRun } from "./binary.ts";
import type { Place } from "./workspace.ts";

export interface DaemonWhere {
  readonly place: Place;
  /** The model server's; default: one where nothing listens. */
  readonly modelPort?: number | undefined;
  /** opta's own directory, given as OPTA_CONFIG_DIR; default: ~/.config/opta of the place. */
  readonly root?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
}

export interface RunningDaemon extends AsyncDisposable {
  /** `opta daemon run`, a child of the test. */
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly state: DaemonState;
  readonly paths: DaemonPaths;
  /** With the token; a plain object as body is sent as JSON. */
  fetch(path: string, body?: object): Promise<Response>;
  /** The answer's JSON. @throws Error unless the status is a success */
  json<T>(path: string, body?: object): Promise<T>;
}

/** Nothing listens on the discard port of a test machine. */
const noModelPort = 9;

/** The environment in which commands and daemon mean the same place and the same model server. */
export function daemonEnvironment(where: DaemonWhere): Record<string, string> {
  return {
    PATH: process.env["PATH"] ?? "/usr/bin:/bin",
    HOME: where.place.home,
    LANG: "C.UTF-8",
    OPTA_HOST: "127.0.0.1",
    OPTA_PORT: String(where.modelPort ?? noModelPort),
    ...(where.root === undefined ? {} : { OPTA_CONFIG_DIR: where.root }),
    ...where.env,
  };
}

/** How a command runs beside the daemon: in the workspace of its place. */
export function commandOptions(where: DaemonWhere): OptaOptions & { env: Record<string, string> } {
  return { cwd: where.place.workspace, home: where.place.home, env: daemonEnvironment(where) };
}

/** A command beside the daemon, to its end. */
export function runBeside(where: DaemonWhere, ...words: readonly string[]): Promise<OptaRun> {
  return opta(words, commandOptions(where));
}

/** opta's own directory of the place. */
export function rootOf({ place, root }: DaemonWhere): string {
  return root ?? join(place.home, ".config/opta");
}

/** Runs in the foreground, so that its end can be seen; resolves when it is ready. Disposing kills it. */
export async function startDaemon(
  where: DaemonWhere & {
    readonly port?: number;
    /** Words put before the executable. */
    readonly prefix?: readonly string[];
  },
): Promise<RunningDaemon> {
  const { prefix = [], port = freePort() } = where;
  const words = [...prefix, await builtOpta(), "daemon", "run", "--port", String(port)];
  const child = Bun.spawn(words, {
    cwd: "/",
    env: daemonEnvironment(where),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const paths = daemonPaths(rootOf(where));
  const kill = async () => {
    // Under a prefix the child is not the daemon itself.
    const owner = daemonOwner(paths);
    if (owner !== undefined) signal(owner.pid, "SIGKILL");
    child.kill("SIGKILL");
    await child.exited;
  };
  await Promise.race([child.stdout.getReader().read(), child.exited]);
  const state = readDaemonState(paths);
  if (state === undefined || child.exitCode !== null) {
    await kill();
    throw new Error(`no daemon: ${await child.stderr.text()}`);
  }
  const ask = async (path: string, body?: object) =>
    fetch(`http://${state.host}:${state.port}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${state.token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  return {
    process: child,
    state,
    paths,
    fetch: ask,
    async json(path, body) {
      const response = await ask(path, body);
      const text = await response.text();
      if (!response.ok) throw new Error(`${path}: HTTP ${response.status} ${text}`);
      return JSON.parse(text);
    },
    [Symbol.asyncDispose]: kill,
  };
}

/** For daemons that commands start: disposing kills whoever owns the directory then. */
export function guardDaemon(where: DaemonWhere): AsyncDisposable {
  const paths = daemonPaths(rootOf(where));
  return {
    async [Symbol.asyncDispose]() {
      const owner = daemonOwner(paths);
      if (owner === undefined) return;
      signal(owner.pid, "SIGKILL");
      await until(() => !isDaemonAlive(paths), "the daemon's end");
    },
  };
}

/** A session in the place's workspace. */
export async function createSession(daemon: RunningDaemon, workspace: string): Promise<string> {
  const body = { metadata: { workspace } };
  return (await daemon.json<{ sessionId: string }>("/v3/sessions", body)).sessionId;
}

/** Resolves with the accepted turn's id. */
export async function submitTurn(
  daemon: RunningDaemon,
  sessionId: string,
  turn: { readonly content: string; readonly overrides?: object },
): Promise<string> {
  const body = { clientId: "test", writerId: "test", mode: "do", ...turn };
  return (await daemon.json<{ turnId: string }>(`/v3/sessions/${sessionId}/turns`, body)).turnId;
}

export async function storedEvents(
  daemon: RunningDaemon,
  sessionId: string,
  afterSeq = 0,
): Promise<OptaEvent[]> {
  const path = `/v3/sessions/${sessionId}/events?afterSeq=${afterSeq}`;
  return (await daemon.json<{ events: OptaEvent[] }>(path)).events;
}

/** Waits for the turn's end and the session's last word on it; what was stored until then. */
export async function turnEnd(
  daemon: RunningDaemon,
  sessionId: string,
  turnId: string,
): Promise<OptaEvent[]> {
  let events: OptaEvent[] = [];
  await until(async () => {
    events = await storedEvents(daemon, sessionId);
    const end = events.findIndex((event) => isEndOf(event, turnId));
    return end >= 0 && events.slice(end).some(({ event }) => event === "session.updated");
  }, `the end of ${turnId}`);
  return events;
}

export function isEndOf({ event, payload }: OptaEvent, turnId: string): boolean {
  return (event === "turn.done" || event === "turn.error") && payload.turnId === turnId;
}

/** What a daemon that has gone left in its event log. */
export function eventsOnDisk({ directory, events }: DaemonPaths, sessionId: string): OptaEvent[] {
  const copy = mkdtempSync(join(tmpdir(), "opta-events-"));
  try {
    // Opening it takes the write-ahead log in; the next daemon is to find it as it was left.
    const name = basename(events);
    cpSync(directory, copy, { recursive: true, filter: (path) => basename(path) !== "owner" });
    using database = new Database(join(copy, name));
    return database
      .query<{ text: string }, [string]>(
        "SELECT text FROM events JOIN sessions ON session = number WHERE id = ? ORDER BY seq",
      )
      .all(sessionId)
      .map(({ text }) => JSON.parse(text) as OptaEvent);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** A port of 127.0.0.1 that nothing listened on a moment ago. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

/** Waits for something that must come; a test machine may be slow. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  const giveUpAt = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`waited in vain for ${what}`);
    await Bun.sleep(10);
  }
}

export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    return; // gone meanwhile: that is what was wanted
  }
}
