// Opening the file that was judged and no other: a regular file, not through a link that appeared since its
// path was resolved. Devices, FIFOs and sockets are refused before they are opened, because opening one can
// block or act. Every refusal says what to do instead.
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
} from "node:fs";
import { pathOfOpenFile } from "../base/held-directory.ts";
import { errnoOf } from "../base/storage-error.ts";
import { formatBytes } from "./output-spill.ts";
import { contentKind } from "./text-encoding.ts";
import type { FileLedger, FileStamp } from "./tool.ts";
import { ToolFailure } from "./tool-failure.ts";

/** Files up to here are held in memory whole: they can be edited, and reading one records its stamp. */
export const maxWholeFileBytes = 32 * 1024 * 1024;

export interface JudgedFile {
  /** Absolute, links resolved. */
  readonly path: string;
  /** For people and models (showPath). */
  readonly shown: string;
}

export interface OpenFile {
  readonly stat: BigIntStats;
  /** Everything up to the end, whatever the size says (files in /proc claim none). */
  readAll(): Uint8Array;
  /** The next bytes into `buffer`; 0 at the end. */
  read(buffer: Uint8Array): number;
}

/** Bytes and identity of a file that an edit starts from. */
export interface FileContent {
  readonly bytes: Uint8Array;
  readonly stamp: FileStamp;
  /** Permission bits. */
  readonly mode: number;
  /** More than 1: other names share these bytes. */
  readonly linkCount: number;
  /** Which file it is and when it last changed in any way, as of before its bytes were read. */
  readonly identity: string;
}

/**
 * Opens for reading, hands the file to `work`, closes it.
 * @throws ToolFailure when it is missing, no regular file, not readable, or no longer where it was judged
 */
export async function withOpenFile<T>(
  file: JudgedFile,
  work: (open: OpenFile) => T | Promise<T>,
): Promise<T> {
  const fd = openFile(file);
  try {
    return await work({
      stat: fstatSync(fd, { bigint: true }),
      readAll: () => readFileSync(fd),
      read: (buffer) => readSync(fd, buffer),
    });
  } finally {
    closeSync(fd);
  }
}

/**
 * The whole of a text file that may be edited; undefined when nothing is there.
 * @throws ToolFailure as withOpenFile, and for files that are too large or not text
 */
export function readForEdit(file: JudgedFile): FileContent | undefined {
  const content = readContent(file);
  const kind = content && contentKind(content.bytes);
  if (kind?.kind === "refused") throw new ToolFailure(`${file.shown} ${kind.reason}`);
  return content;
}

/** As readForEdit, for any bytes. */
export function readContent(file: JudgedFile): FileContent | undefined {
  if (lstatOf(file) === undefined) return undefined;
  const fd = openFile(file);
  try {
    const stat = fstatSync(fd, { bigint: true });
    if (stat.size > maxWholeFileBytes) {
      throw new ToolFailure(
        `${file.shown} is too large to edit (${formatBytes(Number(stat.size))}; the limit is ${formatBytes(maxWholeFileBytes)}); use run_command`,
      );
    }
    const bytes = readFileSync(fd);
    return {
      bytes,
      stamp: stampOf(bytes, stat.mtimeNs),
      mode: Number(stat.mode) & 0o7777,
      linkCount: Number(stat.nlink),
      identity: identityOf(stat),
    };
  } finally {
    closeSync(fd);
  }
}

/** One system call: nothing has touched the file since `content` was read. */
export function isStillThere(file: JudgedFile, content: FileContent): boolean {
  const stat = lstatSync(file.path, { bigint: true, throwIfNoEntry: false });
  return stat !== undefined && identityOf(stat) === content.identity;
}

function identityOf(stat: BigIntStats): string {
  return [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(" ");
}

export function stampOf(bytes: Uint8Array, modifiedNs: bigint): FileStamp {
  return { sizeBytes: bytes.length, modifiedNs, hash: BigInt(Bun.hash(bytes)) };
}

/**
 * The time alone proves nothing either way: clocks tick in milliseconds, and a touch changes no byte.
 * @throws ToolFailure when the model has read the file and its bytes are others now
 */
export function assertUnchangedSinceRead(
  file: JudgedFile,
  content: FileContent,
  ledger: FileLedger,
): void {
  const known = ledger.get(file.path);
  if (!known) return;
  if (known.sizeBytes === content.stamp.sizeBytes && known.hash === content.stamp.hash) return;
  throw new ToolFailure(`${file.shown} changed since you read it; read_file it again`);
}

function lstatOf(file: JudgedFile) {
  try {
    return lstatSync(file.path, { throwIfNoEntry: false });
  } catch (error) {
    throw toFailure(error, file);
  }
}

/**
 * A descriptor for reading, at the beginning; the caller closes it.
 * @throws ToolFailure as withOpenFile
 */
export function openFile(file: JudgedFile): number {
  const stat = lstatOf(file);
  if (stat === undefined) throw new ToolFailure(`${file.shown} does not exist`);
  if (stat.isDirectory()) {
    throw new ToolFailure(`${file.shown} is a directory; use list_dir`);
  }
  if (!stat.isFile()) throw new ToolFailure(`${file.shown} is ${kindOf(stat)}, not a regular file`);
  // A FIFO that took the file's place must not block us.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  let fd: number;
  try {
    fd = openSync(file.path, flags);
  } catch (error) {
    throw toFailure(error, file);
  }
  if (fstatSync(fd).isFile() && pathOfOpenFile(fd, file.path) === file.path) return fd;
  closeSync(fd);
  throw new ToolFailure(`${file.shown} was moved or replaced by a link just now; nothing was done`);
}

interface NodeKind {
  isFIFO(): boolean;
  isSocket(): boolean;
  isSymbolicLink(): boolean;
}

function kindOf(stat: NodeKind): string {
  if (stat.isFIFO()) return "a FIFO";
  if (stat.isSocket()) return "a socket";
  return stat.isSymbolicLink() ? "a symbolic link that leads nowhere" : "a device";
}

function toFailure(error: unknown, file: JudgedFile): unknown {
  const errno = errnoOf(error);
  if (errno === undefined && !file.path.includes("\0")) return error;
  const reasons: Readonly<Record<string, string>> = {
    EACCES: "permission denied",
    ELOOP: "it is a symbolic link now, or part of a loop of links",
    ENOTDIR: "a part of the path is not a directory",
    ENAMETOOLONG: "the name is too long",
    ENOENT: "it does not exist",
  };
  const why = errno === undefined ? "the path has a NUL character" : (reasons[errno] ?? errno);
  return new ToolFailure(`cannot read ${JSON.stringify(file.shown)}: ${why}`);
}
