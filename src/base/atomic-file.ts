// Replacing a file so that a kill, a full disk or a power cut leaves the old bytes or the new ones: a temporary
// file beside it, fsync, rename, fsync of the directory. All calls are synchronous: a save is 0.3 ms of CPU,
// and a chain without awaits can be cut at every system call by scripts/file-crash.ts.
//
// Litter: a failed write removes its temporary file. kill -9 between its creation and the rename leaves one
// `.<pid>-<id>.opta-tmp`; the next write into that directory by any opta process removes it once that pid is
// dead. (Linux could hide it until the rename with O_TMPFILE + linkat, but link(2) in Bun cannot follow
// /proc/self/fd, and the window would stay open by one call.)
// Not kept, for want of system calls in Bun: extended attributes and ACLs.
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  type Stats,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { type HeldDirectory, holdDirectory } from "./held-directory.ts";
import { createId } from "./ids.ts";
import { errnoOf, StorageError, toStorageError } from "./storage-error.ts";

export interface AtomicWriteOptions {
  /** Exact permission bits. Default: those of the file that is replaced, else 0666 less umask. */
  readonly mode?: number;
  /**
   * A symbolic link at `path`: "follow" (default) replaces the file it leads to and keeps the link; "refuse"
   * demands that `path` has no link in any of its parts, for paths that were resolved and judged before.
   */
  readonly links?: "follow" | "refuse";
  /** Called last before the rename; what it throws aborts the write and comes through unchanged. */
  readonly beforeRename?: () => void;
}

/** What lies at the path after the write; equal to what fstat says of it. */
export interface WrittenFile {
  readonly sizeBytes: number;
  readonly modifiedNs: bigint;
}

/** New content on disk beside its target, waiting. Exactly one of the two ends it. */
export interface StagedFile {
  /**
   * @throws StorageError, what beforeRename threw; after either only the old file is there, except when the
   *   disk fails to confirm the finished rename ("cannot confirm on disk")
   */
  commit(): WrittenFile;
  discard(): void;
}

/**
 * Old or new content, never a mix; durable when it returns. Mode and owner stay as far as allowed.
 * @throws StorageError storage-full (ENOSPC, EDQUOT) | storage-failed
 */
export function writeFileAtomic(
  path: string,
  content: Uint8Array | string,
  options: AtomicWriteOptions = {},
): Promise<WrittenFile> {
  return Promise.try(() => stageFile(path, content, options).commit());
}

/** The first half of writeFileAtomic, for callers that replace several files together. Errors as there. */
export function stageFile(
  path: string,
  content: Uint8Array | string,
  options: AtomicWriteOptions = {},
): StagedFile {
  return explained(path, () => {
    const target = openTarget(path, options.links ?? "follow");
    const temporary = { name: `.${process.pid}-${createId()}${temporarySuffix}`, target };
    try {
      sweepStaleTemporaries(target);
      inFlight.add(temporary.name);
      const written = writeTemporary(temporary, content, options.mode);
      return {
        commit: () => explained(path, () => commit(temporary, written, options)),
        discard: () => discard(temporary),
      };
    } catch (error) {
      discard(temporary);
      throw error;
    }
  });
}

interface Target {
  readonly directory: HeldDirectory;
  readonly directoryPath: string;
  readonly name: string;
  readonly existing: Stats | undefined;
  readonly links: "follow" | "refuse";
}

interface Temporary {
  readonly name: string;
  readonly target: Target;
}

const temporarySuffix = ".opta-tmp";
const temporaryPattern = /^\.(\d+)-[\w-]{12}\.opta-tmp$/;
/** As many as Linux follows before it says ELOOP. */
const maxLinks = 40;
/** A long-lived process looks again for what others left; reading 1,000 names costs 0.4 ms. */
const sweepIntervalMs = 600_000;

/** Names of this process's own temporary files that are still needed. */
const inFlight = new Set<string>();
/** Directory -> when it was last swept (performance.now). */
const lastSweeps = new Map<string, number>();

function openTarget(path: string, links: "follow" | "refuse", followed = 0): Target {
  const directoryPath = dirname(path);
  const name = basename(path);
  const directory = holdDirectory(directoryPath);
  const next = closingOnError(directory, () => {
    const existing = lstatSync(directory.at(name), { throwIfNoEntry: false });
    const target = { directory, directoryPath, name, existing, links };
    assertInPlace(target);
    if (existing === undefined || existing.isFile()) return target;
    if (!existing.isSymbolicLink() || links === "refuse" || followed === maxLinks) {
      throw new StorageError("storage-failed", `cannot write ${path}: it is not a regular file`);
    }
    return resolve(directoryPath, readlinkSync(directory.at(name)));
  });
  if (typeof next !== "string") return next;
  directory.close();
  return openTarget(next, links, followed + 1);
}

function closingOnError<T>(directory: HeldDirectory, work: () => T): T {
  try {
    return work();
  } catch (error) {
    closeQuietly(directory.fd);
    throw error;
  }
}

/** The path that was judged is the path that is touched (promises F4). */
function assertInPlace({ links, directory, directoryPath, name }: Target): void {
  if (links === "follow" || directory.currentPath() === directoryPath) return;
  throw new StorageError(
    "storage-failed",
    `cannot write ${directoryPath}/${name}: ${directoryPath} has moved or become a symbolic link`,
  );
}

function writeTemporary(
  { name, target }: Temporary,
  content: Uint8Array | string,
  givenMode: number | undefined,
): WrittenFile {
  const { existing, directory } = target;
  const mode = givenMode ?? (existing && existing.mode & 0o7777);
  // Never more open than the file will be in the end: foreign owners get theirs before the wider mode.
  const creationMode = existing && !isOwn(existing) ? 0o600 : (mode ?? 0o666) & 0o777;
  const fd = openSync(
    directory.at(name),
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    creationMode,
  );
  try {
    writeAll(fd, typeof content === "string" ? new TextEncoder().encode(content) : content);
    const created = fstatSync(fd, { bigint: true });
    if (mode !== undefined) {
      const kept = existing === undefined || keepOwner(fd, created, existing);
      const finalMode = kept ? mode : withoutGroup(mode);
      // After the chown, because that clears the set-user-id bits.
      if ((Number(created.mode) & 0o7777) !== finalMode || !isSameOwner(created, existing)) {
        fchmodSync(fd, finalMode);
      }
    }
    fsyncSync(fd);
    return { sizeBytes: Number(created.size), modifiedNs: created.mtimeNs };
  } finally {
    closeSync(fd);
  }
}

function isOwn(existing: Stats): boolean {
  return existing.uid === process.geteuid?.() && existing.gid === process.getegid?.();
}

interface Owner {
  readonly uid: number | bigint;
  readonly gid: number | bigint;
}

function isSameOwner(one: Owner, other: Owner | undefined): boolean {
  if (other === undefined) return true;
  return Number(one.uid) === Number(other.uid) && Number(one.gid) === Number(other.gid);
}

/** @returns whether user and group are those of the file that is replaced */
function keepOwner(fd: number, created: Owner, existing: Stats): boolean {
  if (isSameOwner(created, existing)) return true;
  try {
    fchownSync(fd, existing.uid, existing.gid);
    return true;
  } catch (error) {
    if (errnoOf(error) !== "EPERM") throw error;
    return false;
  }
}

/** A file that changed hands must not open itself to our group, nor run with our rights. */
function withoutGroup(mode: number): number {
  const others = mode & 0o007;
  return (mode & 0o700) | (others << 3) | others;
}

function writeAll(fd: number, bytes: Uint8Array): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(fd, bytes, written);
}

function commit(
  temporary: Temporary,
  written: WrittenFile,
  options: AtomicWriteOptions,
): WrittenFile {
  const { target, name } = temporary;
  const { directory } = target;
  try {
    assertInPlace(target);
    options.beforeRename?.();
    renameSync(directory.at(name), directory.at(target.name));
  } catch (error) {
    discard(temporary);
    throw error;
  }
  inFlight.delete(name);
  try {
    syncDirectory(target);
  } finally {
    closeQuietly(directory.fd);
  }
  return written;
}

/** Makes the rename itself durable. Some file systems (FUSE, SMB) cannot and say EINVAL. */
function syncDirectory({ directory, directoryPath, name }: Target): void {
  try {
    fsyncSync(directory.fd);
  } catch (error) {
    if (errnoOf(error) === "EINVAL" || errnoOf(error) === "ENOTSUP") return;
    throw toStorageError(error, `confirm on disk the new content of ${directoryPath}/${name}`);
  }
}

function discard({ name, target }: Temporary): void {
  inFlight.delete(name);
  try {
    unlinkSync(target.directory.at(name));
  } catch (error) {
    // Not created yet, or a disk too broken to unlink: a later sweep finds it.
    if (errnoOf(error) === undefined) throw error;
  } finally {
    closeQuietly(target.directory.fd);
  }
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch (error) {
    // The failure on its way up says more than this one.
    if (errnoOf(error) === undefined) throw error;
  }
}

/** Removes temporary files of dead processes. Best effort: it must never make a write fail. */
function sweepStaleTemporaries({ directory, directoryPath }: Target): void {
  const now = performance.now();
  const last = lastSweeps.get(directoryPath);
  if (last !== undefined && now - last < sweepIntervalMs) return;
  lastSweeps.set(directoryPath, now);
  try {
    for (const name of readdirSync(directory.at("."))) {
      if (isStaleTemporary(name)) unlinkSync(directory.at(name));
    }
  } catch (error) {
    // Unreadable, or another process swept at the same time.
    if (errnoOf(error) === undefined) throw error;
  }
}

/** An own pid with a name not in flight is a dead predecessor's: containers give pid 1 to everyone. */
function isStaleTemporary(name: string): boolean {
  const pid = temporaryPattern.exec(name)?.[1];
  if (pid === undefined || inFlight.has(name)) return false;
  return Number(pid) === process.pid || !isAlive(Number(pid));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== "ESRCH";
  }
}

function explained<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw toStorageError(error, `write ${path}`);
  }
}
