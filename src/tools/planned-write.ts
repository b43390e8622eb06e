// Changes to files, computed first and then made: all of them or none. Between the two a preview can show them.
// Everything is on disk beside its target before the first file is replaced, and each target is compared byte
// for byte with what the change was computed from right before its rename (promises F1, F3). A kill between
// two renames leaves each file old or new, but some of either.
import { unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { type StagedFile, stageFile } from "../base/atomic-file.ts";
import { makeDirectories, removeEmptyDirectories } from "../base/held-directory.ts";
import { StorageError, toStorageError } from "../base/storage-error.ts";
import {
  type FileContent,
  isStillThere,
  type JudgedFile,
  readContent,
  stampOf,
} from "./file-content.ts";
import type { FileLedger } from "./tool.ts";
import { ToolFailure } from "./tool-failure.ts";

export interface PlannedWrite {
  readonly file: JudgedFile;
  /** Undefined: the file is to be created, with its missing parent directories. */
  readonly before: FileContent | undefined;
  readonly after: Uint8Array;
  /** For the model: `edited a.ts: 1 replacement at line 3`. */
  readonly summary: string;
}

export function isChange({ before, after }: PlannedWrite): boolean {
  return before === undefined || Buffer.compare(before.bytes, after) !== 0;
}

export function unchangedText({ shown }: JudgedFile): string {
  return `${shown} already has exactly this content`;
}

/**
 * Makes the changes and records the new contents in the ledger.
 * @throws ToolFailure (a file changed meanwhile, is write-protected), StorageError; nothing is changed then,
 *   unless the message names files that could not be put back
 */
export function commitWrites(writes: readonly PlannedWrite[], ledger: FileLedger): void {
  for (const write of writes) assertWritable(write);
  const made = makeParents(writes);
  const staged: StagedFile[] = [];
  const done: PlannedWrite[] = [];
  try {
    for (const write of writes) staged.push(stage(write));
    if (writes.length > 1) for (const write of writes) assertUntouched(write);
    for (const write of writes) {
      done.push(write);
      const written = staged.shift()?.commit();
      if (written) ledger.set(write.file.path, stampOf(write.after, written.modifiedNs));
    }
  } catch (error) {
    for (const waiting of staged) waiting.discard();
    rollBack(done, ledger, error);
    removeEmptyDirectories(made);
    throw error instanceof StorageError ? unchanged(error) : error;
  }
}

function unchanged(error: StorageError): StorageError {
  return new StorageError(error.code, `${error.message}; nothing was changed`, error.hint);
}

/** Rename would get past a write protection that an editor heeds; so for root too. @throws ToolFailure */
export function assertWritable({ file, before }: PlannedWrite): void {
  if (!before || (before.mode & 0o222) !== 0) return;
  const mode = before.mode.toString(8).padStart(4, "0");
  throw new ToolFailure(`${file.shown} is write-protected (mode ${mode}); nothing was changed`);
}

function makeParents(writes: readonly PlannedWrite[]): readonly string[] {
  return writes.flatMap(({ file, before }) => {
    if (before) return [];
    try {
      return makeDirectories(dirname(file.path));
    } catch (error) {
      throw toStorageError(error, `create ${dirname(file.path)}`);
    }
  });
}

function stage(write: PlannedWrite): StagedFile {
  return stageFile(write.file.path, write.after, {
    links: "refuse",
    beforeRename: () => assertUntouched(write),
  });
}

/**
 * The bytes the change was computed from are still there, or still nothing is. Rename cannot compare and swap:
 * what remains open to another program is the instant between the last lstat and the rename.
 */
function assertUntouched({ file, before }: PlannedWrite): void {
  const now = readContent(file);
  if (now === undefined && before === undefined) return;
  const isSame = now && before && Buffer.compare(now.bytes, before.bytes) === 0;
  if (isSame && isStillThere(file, now)) return;
  throw new ToolFailure(
    `${file.shown} was changed by somebody else just now; nothing was changed; read_file it again`,
  );
}

/** @throws ToolFailure naming the files that stay changed, when a file cannot be put back */
function rollBack(done: readonly PlannedWrite[], ledger: FileLedger, cause: unknown): void {
  const stuck: string[] = [];
  for (const write of done.toReversed()) {
    try {
      putBack(write, ledger);
    } catch {
      // Whatever stopped it, the model must know that this file stays changed.
      stuck.push(write.file.shown);
    }
  }
  if (stuck.length === 0) return;
  const why = cause instanceof Error ? cause.message : String(cause);
  throw new ToolFailure(`${why}. Could not be put back and stay changed: ${stuck.join(", ")}`);
}

/** The last of those done may not have come as far as its rename. */
function putBack(write: PlannedWrite, ledger: FileLedger): void {
  const { file, before, after } = write;
  const now = readContent(file);
  if (!now || (before && Buffer.compare(now.bytes, before.bytes) === 0)) return;
  if (Buffer.compare(now.bytes, after) !== 0) return;
  if (!before) return unlinkSync(file.path);
  const undo = { file, before: { ...before, bytes: after }, after: before.bytes, summary: "" };
  const written = stage(undo).commit();
  ledger.set(file.path, stampOf(before.bytes, written.modifiedNs));
}
