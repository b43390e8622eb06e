// The daemon's place in opta's own directory: its files, the kernel lock that only one process holds, and writing where
// it is. Kept free of schemas: a daemon that only waits stays small. Reading is daemon-state.ts.
import { existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { acquireFileLock, type FileLock, isFileLockHeld } from "../base/file-lock.ts";
import { errnoOf, toStorageError } from "../base/storage-error.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";
import type { DaemonOwner, DaemonState } from "./daemon-shapes.ts";

export interface DaemonPaths {
  /** <root>/daemon, 0700. */
  readonly directory: string;
  readonly state: string;
  readonly lock: string;
  readonly log: string;
  readonly events: string;
  readonly reserve: string;
  /** See deleted-sessions.ts. */
  readonly deleted: string;
}

/**
 * Variables that a daemon is started with. It waits most of its life, and moves bytes the rest of it: compiled code
 * would save little time and cost 9 MB after 100 turns; the runtime's collection timer would wake it every second
 * (daemon/idle-memory.ts collects instead). Commands that tools start never see them (tools/command-environment.ts).
 */
export const daemonRuntime = { BUN_JSC_useJIT: "0", BUN_GC_TIMER_DISABLE: "1" } as const;

/** Where clients expect the daemon (contracts/daemon-v3.md section 1). */
export const usualPort = 9999;
/** Tried in this order where nobody names a port. */
export const usualPorts: readonly number[] = [
  usualPort,
  ...Array.from({ length: 21 }, (_, index) => 10_000 + index),
];

/** @param root opta's own directory */
export function daemonPaths(root: string): DaemonPaths {
  const directory = join(root, "daemon");
  return {
    directory,
    state: join(directory, "state.json"),
    lock: join(directory, "owner", "lock"),
    log: join(directory, "daemon.log"),
    events: join(directory, "events.sqlite"),
    reserve: join(directory, "reserve"),
    deleted: join(directory, "deleted"),
  };
}

/** 0600 from its first moment, never through a link. @throws OptaError storage-full | storage-failed */
export async function writeDaemonState(paths: DaemonPaths, state: DaemonState): Promise<void> {
  const path = join(realpathSync(paths.directory), "state.json");
  try {
    rmSync(path, { force: true });
    const text = `${JSON.stringify(state, null, 2)}\n`;
    await writeFileAtomic(path, text, { mode: 0o600, links: "refuse" });
  } catch (error) {
    throw toOptaError(toStorageError(error, `write ${path}`));
  }
}

/** As far as that can be done: where it stays (a read-only disk), the lock still says that nobody is there. */
export function removeDaemonState(paths: DaemonPaths): void {
  try {
    rmSync(paths.state, { force: true });
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

export function isDaemonAlive(paths: DaemonPaths): boolean {
  return isFileLockHeld(paths.lock);
}

/**
 * Makes the daemon's directory where it is missing. To be called before anything in it is opened for writing: in a
 * directory that others can write, a name may be a link to any file of the user's.
 * @throws OptaError unsafe-directory | storage-full | storage-failed
 */
export function makeDaemonDirectory(root: string): void {
  const { directory } = daemonPaths(root);
  makeDirectory(root);
  refuseOpenDirectory(realpathSync(root), "settings directory", 0o022);
  makeDirectory(directory);
  refuseOpenDirectory(directory, "daemon directory", 0o077);
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    // Something else of that name: what it is gets told by the one who looks.
    if (errnoOf(error) === "EEXIST" && existsSync(path)) return;
    const { code, message, hint } = toOptaError(toStorageError(error, `make ${path}`));
    throw new OptaError(code, message, hint ?? elsewhereHint);
  }
}

const elsewhereHint =
  "OPTA_CONFIG_DIR=DIR opta daemon start   (keeps everything in another directory)";

/** Those who only ask whether the lock is held hold it for less than a millisecond. */
const lockAttempts = 20;
const lockWaitMs = 5;

/**
 * Takes the daemon's place: one per directory, freed by the kernel when the process dies (promises D1).
 * @throws OptaError daemon-running, naming the owner | unsafe-directory | storage-full | storage-failed
 */
export async function takeDaemonPlace(root: string): Promise<FileLock> {
  const paths = daemonPaths(root);
  makeDaemonDirectory(root);
  const owner: DaemonOwner = { pid: process.pid, since: new Date().toISOString() };
  for (let attempt = 1; ; attempt++) {
    const lock = take(paths, owner);
    if (lock.acquired) return lock;
    if (attempt === lockAttempts) throw daemonRunning(paths, lock.heldBy);
    await Bun.sleep(lockWaitMs);
  }
}

function take(paths: DaemonPaths, owner: DaemonOwner) {
  try {
    return acquireFileLock(paths.lock, owner);
  } catch (error) {
    throw toOptaError(toStorageError(error, `lock ${paths.directory}`));
  }
}

function daemonRunning(paths: DaemonPaths, heldBy: unknown): OptaError {
  const { pid } = (heldBy ?? {}) as Partial<DaemonOwner>;
  const state = readLoosely(paths.state);
  const where = state?.pid === pid && state?.port ? ` on port ${state.port}` : "";
  return new OptaError(
    "daemon-running",
    `a daemon is running already${pid === undefined ? "" : ` (pid ${pid})`}${where}`,
    "opta daemon status",
  );
}

/** For a message only: what is not there is not said. */
function readLoosely(path: string): Partial<DaemonState> | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Partial<DaemonState>;
  } catch {
    return undefined;
  }
}

/**
 * Refuses what others could have written or may read (promises S2), as ssh does with its files.
 * @throws OptaError unsafe-directory
 */
function refuseOpenDirectory(path: string, what: string, forbiddenBits: number): void {
  const stats = lstatSync(path);
  const refuse = (problem: string, mend: string) => {
    throw new OptaError("unsafe-directory", `the ${what} ${path} ${problem}`, mend);
  };
  if (stats.isSymbolicLink()) refuse("is a symbolic link", `rm ${path}   (opta makes its own)`);
  if (!stats.isDirectory()) refuse("is not a directory", `mv ${path} ${path}.old`);
  const user = process.geteuid?.();
  if (user !== undefined && stats.uid !== user) {
    refuse("belongs to another user", `sudo chown -R "$USER" ${path}`);
  }
  if ((stats.mode & forbiddenBits) !== 0) refuse("is open to other users", `chmod go-rwx ${path}`);
}
