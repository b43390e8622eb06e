// A lock on a path that the kernel frees when its holder dies, kill -9 included. It is SQLite's RESERVED lock
// (fcntl byte ranges) on an empty database: the same code on Linux and macOS, 0.5 ms, not inherited by
// children. Rejected: flock through bun:ffi (a JIT that hardened macOS builds forbid), O_EXLOCK (macOS only),
// pid files (lie after pid reuse). fcntl's trap: a process that opens and closes the lock file by other means
// frees its own lock, so nothing else may open it and the holder's facts lie in a sibling, holder.json.
import { constants as sqlite, Database } from "bun:sqlite";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

export interface FileLock {
  readonly acquired: true;
  /** Removes lock and holder file where it can, then frees the lock; a second call does nothing. */
  release(): void;
}

export interface FileLockBusy {
  readonly acquired: false;
  /** What the holder wrote about itself; undefined when it has not got to it yet. Another program's data: check it. */
  readonly heldBy: unknown;
}

/** Retries against a holder that removes the file, or its directory, between our open and our lock. */
const acquireAttempts = 20;
/** A winner writes holder.json microseconds after it locks; a loser looks for it this often, 2 ms apart. */
const holderReadAttempts = 10;

/** SQLite frees the lock when a Database is collected: those that hold one stay reachable here. */
const heldDatabases = new Set<Database>();

/**
 * Takes the lock at `path` without waiting. Its directory is made (0700) when missing; the file and the
 * holder.json beside it are 0600. One lock per directory.
 * @param holder who holds it and why (pid, since, command), for the loser to show
 * @throws the file system's error (with `code`) when the file cannot be made or opened
 */
export function acquireFileLock(path: string, holder: object): FileLock | FileLockBusy {
  const holderPath = join(dirname(path), "holder.json");
  for (let attempt = 1; attempt <= acquireAttempts; attempt++) {
    const database = openLockFile(path, attempt === acquireAttempts);
    if (database === undefined) continue;
    if (!reserve(database)) {
      database.close();
      return { acquired: false, heldBy: readHolder(holderPath) };
    }
    if (hasMoved(database)) {
      database.close();
      continue;
    }
    heldDatabases.add(database);
    const lock = createLock({ path, holderPath, database });
    try {
      writeHolder(holderPath, holder);
    } catch (error) {
      lock.release();
      throw error;
    }
    return lock;
  }
  throw new Error(`${path} was removed ${acquireAttempts} times while it was being locked`);
}

/**
 * True while some process, this one included, holds the lock; changes nothing. To ask it is held for a moment, so
 * that whoever takes a lock tries more than once where others may be asking.
 */
export function isFileLockHeld(path: string): boolean {
  for (const held of heldDatabases) if (held.filename === path && !hasMoved(held)) return true;
  let database: Database;
  try {
    database = new Database(path, { create: false, readwrite: true });
  } catch (error) {
    if (errorCode(error) === "SQLITE_CANTOPEN") return false; // no file, no holder
    throw error;
  }
  try {
    return !reserve(database);
  } finally {
    database.close();
  }
}

/** What the holder wrote about itself when it took the lock. Another program's data: check it. */
export function readFileLockHolder(path: string): unknown {
  return readHolder(join(dirname(path), "holder.json"));
}

/** Undefined when file or directory vanished under us (their last holder tidied up) and another try is due. */
function openLockFile(path: string, lastTry: boolean): Database | undefined {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    createPrivateFile(path);
    return new Database(path, { create: false, readwrite: true });
  } catch (error) {
    const code = errorCode(error) ?? "";
    // EEXIST: a recursive mkdir found the directory there, and then not any more.
    const isVanished = ["ENOENT", "EEXIST", "SQLITE_CANTOPEN"].includes(code);
    if (isVanished && !lastTry) return undefined;
    throw error;
  }
}

/** 0600 from its first moment, which SQLite would not give it. Only a file of our making is closed again. */
function createPrivateFile(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
}

/** The journal in memory keeps SQLite from leaving a lock-journal file when the holder is killed. */
function reserve(database: Database): boolean {
  try {
    database.run("PRAGMA journal_mode = MEMORY");
    database.run("BEGIN IMMEDIATE");
    return true;
  } catch (error) {
    if (errorCode(error)?.startsWith("SQLITE_BUSY")) return false;
    database.close();
    throw error;
  }
}

/** True when the path no longer leads to the file we locked: its former holder removed it meanwhile. */
function hasMoved(database: Database): boolean {
  const answer = new Int32Array([0, 0]);
  database.fileControl(sqlite.SQLITE_FCNTL_HAS_MOVED, answer);
  return answer[0] !== 0;
}

/** Both files go while the lock is still held, so that nobody else's are removed. */
function createLock(held: { path: string; holderPath: string; database: Database }): FileLock {
  return {
    acquired: true,
    release() {
      if (!heldDatabases.delete(held.database)) return;
      try {
        if (hasMoved(held.database)) return;
        rmSync(held.holderPath, { force: true });
        rmSync(held.path, { force: true });
      } catch (error) {
        // A directory that may no longer be written: files that nobody holds do no harm.
        if (errorCode(error) === undefined) throw error;
      } finally {
        held.database.close();
      }
    },
  };
}

/** Removed first: a file that a crashed holder left may have a laxer mode, which writing would keep. */
function writeHolder(path: string, holder: object): void {
  rmSync(path, { force: true });
  writeFileSync(path, `${JSON.stringify(holder)}\n`, { mode: 0o600, flag: "wx" });
}

function readHolder(path: string): unknown {
  for (let attempt = 1; attempt < holderReadAttempts; attempt++) {
    try {
      return JSON.parse(readFileSync(path, "utf8"));
    } catch {
      Bun.sleepSync(2);
    }
  }
  return undefined;
}

function errorCode(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}
