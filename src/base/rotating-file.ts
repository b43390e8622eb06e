// A file that grows by whole lines and is renamed when it is full: x, x.1, x.2, the highest number being the oldest.
// Written by one process, read by any. Knows nothing of what the lines say.
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from "node:fs";
import { errnoOf } from "./storage-error.ts";

export interface RotatingFile {
  /**
   * One write(2); the line (its line feed included) is whole in one file when it returns.
   * @throws the file system's error: then nothing of the line is there
   */
  append(line: Uint8Array): void;
  close(): void;
}

/** Made with mode 0600 at the first line, in a directory that exists. `keep` counts all files. */
export function createRotatingFile(options: {
  readonly path: string;
  readonly maxBytes: number;
  readonly keep: number;
}): RotatingFile {
  const { path, maxBytes, keep } = options;
  let fd: number | undefined;
  let closed = false;
  /** Whether the last byte may be something else than a line feed: a power cut's or a full disk's. */
  let mayBeTorn = true;

  const reopen = () => {
    const next = openForAppend(path);
    if (fd !== undefined) closeQuietly(fd);
    fd = next;
    mayBeTorn = true;
    return next;
  };
  /** The file for `length` more bytes. */
  const choose = (length: number) => {
    const current = fd ?? reopen();
    const { nlink, size } = fstatSync(current);
    // Somebody removed it.
    if (nlink === 0) return reopen();
    if (size === 0 || size + length <= maxBytes) return current;
    try {
      shift(path, keep);
      return reopen();
    } catch (error) {
      // Better too long a file than a lost line, within bounds: the old one is still open.
      if (size + length > maxBytes * 2) throw error;
      return current;
    }
  };
  return {
    append(line) {
      if (closed) throw new Error(`${path} is closed`);
      const target = choose(line.length);
      const { size } = fstatSync(target);
      const isTorn = mayBeTorn && size > 0 && lastByte(target, size) !== lineFeed;
      const bytes = isTorn ? Buffer.from([lineFeed, ...line]) : line;
      mayBeTorn = true;
      if (writeSync(target, bytes) < bytes.length) {
        ftruncateSync(target, size);
        throw new Error(`${path} took a part of a line: the disk is full`);
      }
      mayBeTorn = false;
    },
    close() {
      closed = true;
      if (fd !== undefined) closeQuietly(fd);
      fd = undefined;
    },
  };
}

const lineFeed = 0x0a;

function lastByte(fd: number, sizeBytes: number): number | undefined {
  return readAt(fd, { start: sizeBytes - 1, length: 1 })[0];
}

/** Of the user alone, whatever it was; never through a link at its end. */
function openForAppend(path: string): number {
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
  const fd = openSync(path, flags, 0o600);
  try {
    if ((fstatSync(fd).mode & 0o777) !== 0o600) fchmodSync(fd, 0o600);
    return fd;
  } catch (error) {
    closeQuietly(fd);
    throw error;
  }
}

/** Ages every file by one. Without a newest one it was done before, and only the opening after it failed. */
function shift(path: string, keep: number): void {
  if (!existsSync(path)) return;
  for (let age = keep - 1; age >= 1; age--) {
    renameIfThere(generationPath(path, age - 1), generationPath(path, age));
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** Age 0 is the file that is written. */
function generationPath(path: string, age: number): string {
  return age === 0 ? path : `${path}.${age}`;
}

/** One of the files, open for reading. */
export interface Generation {
  readonly fd: number;
  readonly inode: bigint;
  readonly age: number;
}

/**
 * The files that are there, newest first, open for reading. In this order a rotation meanwhile shows one file
 * under two names, never none; the second is left out. The caller closes them. @throws the file system's error, ENOENT apart
 */
export function openGenerations(path: string, count: number): readonly Generation[] {
  const found: Generation[] = [];
  for (let age = 0; age < count; age++) {
    const fd = openIfThere(generationPath(path, age));
    if (fd === undefined) continue;
    const inode = fstatSync(fd, { bigint: true }).ino;
    if (found.some((known) => known.inode === inode)) closeQuietly(fd);
    else found.push({ fd, inode, age });
  }
  return found;
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** What is there of the range: fewer bytes at the end of the file. */
export function readAt(
  fd: number,
  range: { readonly start: number; readonly length: number },
): Buffer {
  const buffer = Buffer.alloc(range.length);
  return buffer.subarray(0, readSync(fd, buffer, 0, range.length, range.start));
}

/** What a failing close would say is of no use to anybody here. */
export function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}
