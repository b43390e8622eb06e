// Starting and stopping the daemon's process from outside it. Who the daemon is is told by the lock and by its own
// answer, never by a recorded pid alone (promises D1, D2).
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { toStorageError } from "../base/storage-error.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";
import {
  daemonPaths,
  daemonRuntime,
  isDaemonAlive,
  makeDaemonDirectory,
  removeDaemonState,
} from "../store/daemon-place.ts";
import { daemonOwner, type DaemonState } from "../store/daemon-state.ts";
import { askDaemon, findDaemon, patientLimitMs } from "./daemon-address.ts";

export interface StartOptions {
  /** opta's own directory. */
  readonly root: string;
  /** Words that run `opta`. */
  readonly command: readonly string[];
  /** The daemon's environment; its directory is given to it in absolute form. */
  readonly environment: Readonly<Record<string, string>>;
  readonly port: number | undefined;
}

/** Until a daemon that is starting must be ready, and one that is stopping gone; then something is wrong with it. */
const startLimitMs = 10_000;
const stopLimitMs = 6_000;
const killLimitMs = 2_000;
const pollMs = 10;

/**
 * Makes sure that a daemon serves the directory; one that does already is left as it is.
 * @throws OptaError daemon-unreachable, or what the daemon said when it could not start
 */
export async function startDaemonProcess(
  options: StartOptions,
): Promise<{ readonly state: DaemonState; readonly wasRunning: boolean }> {
  const running = await findHealthy(options.root);
  if (running !== undefined) return { state: running, wasRunning: true };
  // One that holds the place is starting, or stopping: it is waited for first.
  const child = isDaemonAlive(daemonPaths(options.root)) ? undefined : spawnDaemon(options);
  const deadline = performance.now() + startLimitMs;
  if (await child?.saysReady) {
    // It has said so itself: to be asked would only make it load what serves clients.
    const state = findDaemon(options.root);
    if (state !== undefined) return { state, wasRunning: false };
  }
  for (;;) {
    const state = await findHealthy(options.root);
    if (state !== undefined) return { state, wasRunning: child?.pid !== state.pid };
    const isHeld = isDaemonAlive(daemonPaths(options.root));
    if (!isHeld && child === undefined) return startDaemonProcess(options);
    if (!isHeld && child?.hasEnded()) throw child.failure();
    if (performance.now() > deadline) throw notReady(options.root, child?.pid);
    await Bun.sleep(pollMs);
  }
}

/** @throws OptaError what the daemon says is wrong with it */
async function findHealthy(root: string): Promise<DaemonState | undefined> {
  const state = findDaemon(root);
  if (state === undefined) return undefined;
  const health = await askDaemon(state, { limitMs: patientLimitMs });
  if (!(health instanceof OptaError)) return state;
  if (health.code === "daemon-unreachable") return undefined;
  throw health;
}

function notReady(root: string, ownPid: number | undefined): OptaError {
  const owner = daemonOwner(daemonPaths(root));
  return owner === undefined || owner.pid === ownPid
    ? new OptaError(
        "daemon-unreachable",
        "the daemon did not become ready within 10 s",
        "opta daemon logs",
      )
    : new OptaError(
        "daemon-unreachable",
        `a daemon runs already (pid ${owner.pid}) and did not answer within 10 s`,
        "opta daemon restart",
      );
}

/** @throws OptaError port-taken, unless it is the running daemon that has it */
export function assertPortFree(root: string, port: number): void {
  if (findDaemon(root)?.port === port) return;
  try {
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => undefined } }).stop(true);
  } catch {
    throw new OptaError(
      "port-taken",
      `port ${port} is in use by another program`,
      "opta daemon restart   (takes a free one)",
    );
  }
}

/** Ends with this process's session only for itself: the child is its own session, in no directory of the user's. */
function spawnDaemon({ root, command, environment, port }: StartOptions) {
  const { directory } = daemonPaths(root);
  const errorsPath = join(directory, "daemon.stderr.log");
  const errors = openPrivate(root, errorsPath);
  const portFlag = port === undefined ? [] : ["--port", String(port)];
  const child = Bun.spawn([...command, "daemon", "run", ...portFlag], {
    cwd: "/",
    env: {
      ...environment,
      ...daemonRuntime,
      ...(environment["OPTA_CONFIG_DIR"] ? { OPTA_CONFIG_DIR: root } : {}),
    },
    stdio: ["ignore", "pipe", errors],
    detached: true,
  });
  closeSync(errors);
  child.unref();
  const reader = child.stdout.getReader();
  return {
    pid: child.pid,
    /** True with its first words, which it says when it can be found; false when it ends without any. */
    saysReady: Promise.race([
      reader.read().then(({ done }) => !done),
      child.exited.then(() => false),
    ]),
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    /** Why it ended, in its own words. */
    failure(): OptaError {
      const said = readFileSync(errorsPath, "utf8").trim().split("\n");
      const [message = ""] = said;
      const hint = said.slice(1).map((line) => line.trim());
      return new OptaError(
        "daemon-unreachable",
        `the daemon could not start: ${message.replace(/^opta: /, "") || "it said nothing"}`,
        hint.length > 0 ? hint.join("\n") : "opta daemon run   (shows what happens)",
      );
    },
  };
}

function openPrivate(root: string, path: string): number {
  makeDaemonDirectory(root);
  try {
    return openSync(path, "w", 0o600);
  } catch (error) {
    throw toOptaError(toStorageError(error, `write ${path}`));
  }
}

/**
 * Stops the daemon of the directory and waits until it has gone.
 * @returns what there was: "stopped" in good order, "killed" when it did not go by itself, or "not running"
 * @throws OptaError daemon-unreachable when it is still there after all
 */
export async function stopDaemonProcess(
  root: string,
): Promise<"stopped" | "killed" | "not running"> {
  const paths = daemonPaths(root);
  const owner = daemonOwner(paths);
  if (owner === undefined && !isDaemonAlive(paths)) {
    removeDaemonState(paths);
    return "not running";
  }
  if (!(await askToStop(root)) && owner !== undefined) signal(owner.pid, "SIGTERM");
  if (await hasGone(paths, stopLimitMs)) return "stopped";
  // The kernel's lock says that the holder still lives, so that the pid it wrote is its own.
  const holder = daemonOwner(paths);
  if (holder !== undefined) signal(holder.pid, "SIGKILL");
  if (!(await hasGone(paths, killLimitMs))) {
    throw new OptaError("daemon-unreachable", "the daemon does not end", "opta daemon status");
  }
  removeDaemonState(paths);
  return "killed";
}

async function askToStop(root: string): Promise<boolean> {
  const state = findDaemon(root);
  if (state === undefined) return false;
  try {
    if ((await askDaemon(state, { limitMs: patientLimitMs })) instanceof OptaError) return false;
    const response = await fetch(`http://${state.host}:${state.port}/v3/daemon/stop`, {
      method: "POST",
      headers: { authorization: `Bearer ${state.token}` },
      signal: AbortSignal.timeout(patientLimitMs),
      redirect: "error",
      proxy: "",
    });
    return response.ok;
  } catch {
    return false;
  }
}

async function hasGone(paths: ReturnType<typeof daemonPaths>, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (isDaemonAlive(paths)) {
    if (performance.now() > deadline) return false;
    await Bun.sleep(pollMs);
  }
  return true;
}

function signal(pid: number, name: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // Gone meanwhile: that is what was wanted.
    if (!(error instanceof Error) || !("code" in error) || error.code !== "ESRCH") throw error;
  }
}
