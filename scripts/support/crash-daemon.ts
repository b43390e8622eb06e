// A daemon to be killed: a home of its own, the built executable, the time from its start to its first answer.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Random } from "../../test/support/command-lines.ts";

export interface CrashPlace extends Disposable {
  readonly executable: string;
  readonly home: string;
  /** opta's own directory. */
  readonly directory: string;
  readonly port: number;
  /** A directory for a session, made when it is missing. */
  workspace(name: string): string;
  /** The same place with a copy of the home: what was done there is done in both, from here on apart. */
  copy(): CrashPlace;
}

/** The part of state.json that is needed here. */
interface DaemonState {
  readonly pid: number;
  readonly daemonId: string;
  readonly port: number;
  readonly token: string;
}

export interface StartedDaemon {
  readonly url: string;
  readonly state: DaemonState;
  /** From spawning the process to its first successful health. */
  readonly readyMs: number;
  /** Resolves when the process is gone, whoever killed it. */
  readonly gone: Promise<unknown>;
  /** kill -9, at once. */
  kill(): void;
}

export interface DaemonProcess {
  readonly gone: Promise<unknown>;
  kill(): void;
  /** @throws Error when the process ends before, or takes longer than any healthy one */
  ready(): Promise<StartedDaemon>;
}

/** A healthy daemon needs a hundredth of this. */
const readyLimitMs = 20_000;

export function createCrashPlace(options: {
  readonly executable: string;
  readonly modelPort: number;
  /** Chooses the port. */
  readonly random: Random;
}): CrashPlace {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "opta-daemon-crash-")));
  const { executable } = options;
  const port = freePort(options.random);
  const placeIn = (home: string, dispose: () => void): CrashPlace => ({
    executable,
    home,
    directory: join(home, ".config/opta"),
    port,
    workspace(name) {
      const path = join(root, "workspaces", name);
      mkdirSync(path, { recursive: true });
      return path;
    },
    copy() {
      const copied = join(mkdtempSync(join(root, "copy-")), "home");
      cpSync(home, copied, { recursive: true, preserveTimestamps: true });
      return placeIn(copied, () => rmSync(dirname(copied), { recursive: true, force: true }));
    },
    [Symbol.dispose]: dispose,
  });
  const home = join(root, "home");
  const place = placeIn(home, () => rmSync(root, { recursive: true, force: true }));
  mkdirSync(place.directory, { recursive: true, mode: 0o700 });
  const settings = { connection: { host: "127.0.0.1", port: options.modelPort } };
  writeFileSync(join(place.directory, "config.json"), JSON.stringify(settings), { mode: 0o600 });
  return place;
}

/** Below the ports that outgoing connections get, which could take it while the daemon is down. */
function freePort(random: Random): number {
  for (;;) {
    const port = 15_000 + random.below(15_000);
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
      return port;
    } catch {
      continue; // somebody has it
    }
  }
}

/** @param prefix words put before the executable, such as those of strace */
export function spawnDaemon(place: CrashPlace, prefix: readonly string[] = []): DaemonProcess {
  const { home, directory, executable, port } = place;
  const startedMs = performance.now();
  const child = Bun.spawn([...prefix, executable, "daemon", "run", "--port", String(port)], {
    cwd: "/",
    env: { HOME: home, PATH: process.env["PATH"] ?? "/usr/bin:/bin" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const gone = child.exited;
  const pid = prefix.length === 0 ? () => child.pid : () => firstChildOf(child.pid);
  const statePath = join(directory, "daemon/state.json");
  return {
    gone,
    kill: () => endProcess(pid()),
    async ready() {
      const said = await within(readyLimitMs, firstWords(child.stdout));
      if (said === "" || !existsSync(statePath)) {
        throw new Error(`the daemon did not start: ${said}${await child.stderr.text()}`);
      }
      const state = JSON.parse(readFileSync(statePath, "utf8")) as DaemonState;
      const url = `http://127.0.0.1:${state.port}`;
      const response = await fetch(`${url}/v3/health`, {
        headers: { authorization: `Bearer ${state.token}` },
        keepalive: false,
      });
      if (!response.ok) throw new Error(`health answered ${response.status}`);
      await response.arrayBuffer();
      const readyMs = performance.now() - startedMs;
      return { url, state, readyMs, gone, kill: () => endProcess(state.pid) };
    },
  };
}

export async function startDaemon(place: CrashPlace): Promise<StartedDaemon> {
  const spawned = spawnDaemon(place);
  try {
    return await spawned.ready();
  } catch (thrown) {
    spawned.kill();
    throw thrown;
  }
}

/** The last daemon of a place is gone, even one that was never ready. */
export async function endDaemon(daemon: { readonly gone: Promise<unknown>; kill(): void }) {
  daemon.kill();
  await daemon.gone;
}

/** The daemon that strace runs (Linux): killed alone, strace would leave it without its system calls. */
function firstChildOf(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ")[0]);
  } catch {
    return undefined; // both are gone
  }
}

/** kill -9, where there is still such a process. */
export function endProcess(pid: number | undefined): void {
  if (!pid) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch (thrown) {
    if (!(thrown instanceof Error) || !("code" in thrown) || thrown.code !== "ESRCH") throw thrown;
  }
}

async function firstWords(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return value === undefined ? "" : new TextDecoder().decode(value);
}

async function within<T>(limitMs: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`not ready after ${limitMs} ms`)), limitMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
