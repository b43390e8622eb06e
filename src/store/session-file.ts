// Sessions on disk: <directory>/<id>.json, one file each, replaced whole and durably, private from the first
// moment; beside it <id>/ for the lock and for long tool output. Other programs keep files in the same
// directory (index.json, backups); only names that are session ids are ours.
import { existsSync, mkdirSync, promises, readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type WrittenFile, writeFileAtomic } from "../base/atomic-file.ts";
import { acquireFileLock } from "../base/file-lock.ts";
import { removeEmptyDirectories } from "../base/held-directory.ts";
import { errnoOf, toStorageError } from "../base/storage-error.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";
import { sessionIdSchema, type SessionSummary } from "../protocol/session.ts";
import { describeThisProcess, sessionLockedError } from "./session-holder.ts";
import { sessionPath } from "./session-place.ts";
import { readSession, type SessionReading, toSummary } from "./session-shapes.ts";
import type { SessionLock, SessionStore } from "./session-store.ts";
import { setAside } from "./set-aside.ts";
import { toStoreError } from "./sqlite-error.ts";

export interface SessionStoreOptions {
  /** The sessions directory, absolute; made (0700) by the first save or lock. */
  readonly directory: string;
  /** Told of every session that is to be deleted, before its file is gone, and of every one that has a file from now on. */
  readonly deletions?: {
    note(sessionId: string): void;
    takeBack(sessionId: string): void;
  };
}

/** Reads hide the disk behind the parsing, which is one at a time anyway; more would only hold more memory. */
const parallelReads = 4;

/** How a session is listed; undefined when it went away meanwhile. */
type Listed = SessionSummary | "corrupt" | undefined;

/** Ids are checked before any path is made of them. @throws (every method that takes one) OptaError usage */
export function createSessionStore({ directory, deletions }: SessionStoreOptions): SessionStore {
  const pathOf = (sessionId: string) => sessionPath(directory, checkedId(sessionId));
  const sideDirectoryOf = (sessionId: string) => join(directory, checkedId(sessionId));

  const listed = new Map<string, { readonly stamp: string; readonly as: Listed }>();

  function lock(sessionId: string): SessionLock {
    const side = sideDirectoryOf(sessionId);
    const result = storing(
      `lock session ${sessionId} in ${directory}`,
      () => acquireFileLock(join(side, "lock"), describeThisProcess()),
      () => removeEmptyDirectories([side]),
    );
    if (!result.acquired) throw sessionLockedError(sessionId, result.heldBy);
    return {
      release() {
        result.release();
        removeEmptyDirectories([side]);
      },
    };
  }

  /** A file that nobody wrote since it was listed is not read again: clients ask for the list every few seconds. */
  async function listOne(sessionId: string): Promise<Listed> {
    const stamp = stampAt(pathOf(sessionId));
    const known = listed.get(sessionId);
    if (known !== undefined && known.stamp === stamp) return known.as;
    const reading = await tryReadSessionFile(pathOf(sessionId), sessionId);
    const as = reading?.ok ? toSummary(reading.session) : reading && ("corrupt" as const);
    if (stamp !== undefined && as !== undefined) listed.set(sessionId, { stamp, as });
    else listed.delete(sessionId);
    return as;
  }

  return {
    async load(sessionId) {
      const path = pathOf(sessionId);
      const reading = await readSessionFile(path, sessionId);
      if (reading.ok) return reading.session;
      throw corruptError(sessionId, { path, problem: reading.problem });
    },

    async save(session) {
      const path = pathOf(session.id);
      try {
        mkdirSync(directory, { recursive: true, mode: 0o700 });
        const isNew = !existsSync(path);
        const text = `${JSON.stringify(session, null, 2)}\n`;
        const written = await writeFileAtomic(path, text, { mode: 0o600 });
        if (isNew) deletions?.takeBack(session.id);
        return stampOf(written);
      } catch (error) {
        throw storageError(error, `write ${path}`);
      }
    },

    stamp: (sessionId) => stampAt(pathOf(sessionId)),

    async list() {
      const ids = sessionIdsIn(directory).values();
      const sessions: SessionSummary[] = [];
      const corrupt: string[] = [];
      const readFromQueue = async () => {
        for (const id of ids) {
          const listed = await listOne(id);
          if (listed === "corrupt") corrupt.push(pathOf(id));
          else if (listed !== undefined) sessions.push(listed);
        }
      };
      await Promise.all(Array.from({ length: parallelReads }, readFromQueue));
      sessions.sort((left, right) => timeOf(right.updatedAt) - timeOf(left.updatedAt));
      return { sessions, corrupt: corrupt.sort() };
    },

    async delete(sessionId) {
      const path = pathOf(sessionId);
      if (!existsSync(path)) throw notFoundError(sessionId);
      const held = lock(sessionId);
      try {
        deletions?.note(sessionId);
        storing(`delete session ${sessionId} in ${directory}`, () => {
          rmSync(path, { force: true });
          for (const name of readdirSync(sideDirectoryOf(sessionId))) {
            if (name === "lock" || name === "holder.json") continue;
            rmSync(join(sideDirectoryOf(sessionId), name), { recursive: true, force: true });
          }
        });
      } finally {
        held.release();
      }
    },

    async lock(sessionId) {
      return lock(sessionId);
    },

    async keep(sessionId, name, text) {
      const path = join(sideDirectoryOf(sessionId), name);
      try {
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
        await writeFileAtomic(path, text, { mode: 0o600 });
        return path;
      } catch (error) {
        throw toOptaError(toStorageError(error, `write ${path}`));
      }
    },

    outputDirectory: (sessionId) => join(sideDirectoryOf(sessionId), "output"),
  };
}

function stampAt(path: string): string | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats && stampOf({ sizeBytes: Number(stats.size), modifiedNs: stats.mtimeNs });
}

function stampOf({ sizeBytes, modifiedNs }: WrittenFile): string {
  return `${modifiedNs}-${sizeBytes}`;
}

/** index.json is another program's file; some file systems ignore case. */
function isSessionId(id: string): boolean {
  return sessionIdSchema.safeParse(id).success && id.toLowerCase() !== "index";
}

/** No path is built from anything that did not pass here (lesson 31). */
function checkedId(sessionId: string): string {
  if (isSessionId(sessionId)) return sessionId;
  throw new OptaError(
    "usage",
    `${JSON.stringify(sessionId)} is not a session id: those have 1 to 64 of A-Z a-z 0-9 _ -`,
    "opta sessions list",
  );
}

function sessionIdsIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
      const id = entry.name.slice(0, -".json".length);
      const isFile = entry.isFile() || entry.isSymbolicLink();
      return isFile && entry.name.endsWith(".json") && isSessionId(id) ? [id] : [];
    });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw toOptaError(toStorageError(error, `read ${directory}`));
  }
}

/** @throws OptaError not-found | storage-failed */
async function readSessionFile(path: string, sessionId: string): Promise<SessionReading> {
  const { bytes, modifiedAt } = await readBytes(path, sessionId);
  const value = parse(bytes);
  if (value === undefined) return { ok: false, problem: "it is not valid JSON" };
  return readSession(value, { id: sessionId, modifiedAt });
}

async function readBytes(path: string, sessionId: string) {
  try {
    const { mtime } = await promises.stat(path);
    return { bytes: await promises.readFile(path), modifiedAt: mtime.toISOString() };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") throw notFoundError(sessionId);
    throw toOptaError(toStorageError(error, `read ${path}`));
  }
}

/** Undefined for what is no JSON. Invalid UTF-8 too: replaced by U+FFFD it would be lost with the next save. */
function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

/** For lists: undefined when the file was deleted meanwhile; one that cannot be read counts as corrupt. */
async function tryReadSessionFile(
  path: string,
  sessionId: string,
): Promise<SessionReading | undefined> {
  try {
    return await readSessionFile(path, sessionId);
  } catch (error) {
    const { code, message } = toOptaError(error);
    return code === "not-found" ? undefined : { ok: false, problem: message };
  }
}

function corruptError(sessionId: string, file: { path: string; problem: string }): OptaError {
  const keptAs = setAside(file.path);
  return new OptaError(
    "session-corrupt",
    `session ${sessionId} cannot be read: ${file.problem}; ` +
      (keptAs === undefined ? `its file is ${file.path}` : `its file is kept as ${keptAs}`),
    "Other sessions are not affected: opta sessions list",
  );
}

function notFoundError(sessionId: string): OptaError {
  return new OptaError("not-found", `there is no session ${sessionId}`, "opta sessions list");
}

/** Runs file system calls; their failures become OptaError storage-full | storage-failed, after `undo`. */
function storing<T>(doing: string, work: () => T, undo?: () => void): T {
  try {
    return work();
  } catch (error) {
    undo?.();
    throw storageError(error, doing);
  }
}

function storageError(thrown: unknown, doing: string): OptaError {
  const error = toStoreError(thrown, doing);
  if (error.code !== "storage-full" && error.code !== "storage-failed") return error;
  const hint = error.hint === undefined ? elsewhereHint : `${error.hint}\n${elsewhereHint}`;
  return new OptaError(error.code, error.message, hint);
}

const elsewhereHint =
  "OPTA_CONFIG_DIR=DIR opta do …   (keeps sessions and settings in another directory)";

/** Milliseconds; unreadable times sort last. */
function timeOf(iso: string): number {
  const time = Date.parse(iso);
  return Number.isNaN(time) ? 0 : time;
}
