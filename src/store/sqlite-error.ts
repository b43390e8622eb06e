// Failures of the disk as a person reads them: those of SQLite (the event log, and file locks, which are made of it)
// and those of system calls, in the codes of the one error table. Knows nothing of what was being stored.
import { SQLiteError } from "bun:sqlite";
import { toStorageError } from "../base/storage-error.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";

/** Runs `work`; its failures become OptaError. `doing` is what was attempted, as in "open the event log". */
export function storing<T>(doing: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw toStoreError(error, doing);
  }
}

/** storage-full | storage-failed; whatever else was thrown keeps its own code. */
export function toStoreError(thrown: unknown, doing: string): OptaError {
  if (isDatabaseFull(thrown)) return storageFull(doing);
  if (thrown instanceof SQLiteError) {
    return new OptaError("storage-failed", `cannot ${doing}: ${thrown.message}`);
  }
  return toOptaError(toStorageError(thrown, doing));
}

/** In the words that a full disk has everywhere (base/storage-error.ts). */
export function storageFull(doing: string): OptaError {
  return toOptaError(toStorageError(Object.assign(new Error(), { code: "ENOSPC" }), doing));
}

export function isDatabaseFull(thrown: unknown): boolean {
  return thrown instanceof SQLiteError && thrown.code === "SQLITE_FULL";
}

/** What is no database, or was one. */
export function isDatabaseCorrupt(thrown: unknown): boolean {
  if (!(thrown instanceof SQLiteError)) return false;
  const { code = "" } = thrown;
  return code === "SQLITE_NOTADB" || code.startsWith("SQLITE_CORRUPT");
}
