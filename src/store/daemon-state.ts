// Where the daemon is: daemon/state.json, which clients read, and the kernel lock that says whether its writer is
// alive (contracts/daemon-v3.md section 1). A pid proves nothing: it may be another program's by now.
import { lstatSync, mkdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../base/atomic-file.ts";
import {
  acquireFileLock,
  type FileLock,
  isFileLockHeld,
  readFileLockHolder,
} from "../base/file-lock.ts";
import { toStorageError } from "../base/storage-error.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";

const daemonStateSchema = z.object({
  pid: z.number(),
  daemonId: z.string(),
  host: z.string(),
  port: z.number(),
  /** New at every start; only here, never in arguments, logs or URLs. */
  token: z.string().min(1),
  /** ISO 8601, UTC. */
  startedAt: z.string(),
  logsPath: z.string(),
});

export type DaemonState = z.infer<typeof daemonStateSchema>;

const daemonOwnerSchema = z.object({ pid: z.number(), since: z.string() });

/** Who holds the daemon's place. */
export type DaemonOwner = z.infer<typeof daemonOwnerSchema>;

export interface DaemonPaths {
  /** <root>/daemon, 0700. */
  readonly directory: string;
  readonly state: string;
  readonly lock: string;
  readonly log: string;
  readonly events: string;
  readonly reserve: string;
}

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
  };
}

/** Undefined when there is none, or none that can be read: then no daemon of ours is there. */
export function readDaemonState(paths: DaemonPaths): DaemonState | undefined {
  try {
    return daemonStateSchema.safeParse(JSON.parse(readFileSync(paths.state, "utf8"))).data;
  } catch {
    return undefined;
  }
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

export function removeDaemonState(paths: DaemonPaths): void {
  rmSync(paths.state, { force: true });
}

export function isDaemonAlive(paths: DaemonPaths): boolean {
  return isFileLockHeld(paths.lock);
}

/** Who holds the daemon's place, as the holder wrote it; undefined while nobody does. */
export function daemonOwner(paths: DaemonPaths): DaemonOwner | undefined {
  if (!isDaemonAlive(paths)) return undefined;
  return daemonOwnerSchema.safeParse(readFileLockHolder(paths.lock)).data;
}

/** Those who only ask whether the lock is held hold it for less than a millisecond. */
const lockAttempts = 20;
const lockWaitMs = 5;

/**
 * Takes the daemon's place: one per directory, freed by the kernel when the process dies (promises D1).
 * @throws OptaError daemon-running, naming the owner | unsafe-directory | storage-full | storage-failed
 */
export async function takeDaemonPlace(root: string): Promise<FileLock> {
  const paths = daemonPaths(root);
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 });
    mkdirSync(paths.directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw toOptaError(toStorageError(error, `make ${paths.directory}`));
  }
  refuseOpenDirectory(realpathSync(root), "settings directory", 0o022);
  refuseOpenDirectory(paths.directory, "daemon directory", 0o077);
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
  const pid = daemonOwnerSchema.safeParse(heldBy).data?.pid;
  const state = readDaemonState(paths);
  const where = state !== undefined && state.pid === pid ? ` on port ${state.port}` : "";
  return new OptaError(
    "daemon-running",
    `a daemon is running already${pid === undefined ? "" : ` (pid ${pid})`}${where}`,
    "opta daemon status",
  );
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
