// The daemon's log: JSON lines in daemon.log, at most three files of 5 MB, no secrets, no timer. Writing is one
// write(2) per line, and a log that cannot be written never stops what it tells about. Reading (`opta daemon logs`)
// looks at the files only, so that it works without a daemon.
import { fstatSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { sleep, systemClock } from "../base/clock.ts";
import { createRedact, type Redact, redactValue } from "../base/redact.ts";
import {
  closeQuietly,
  createRotatingFile,
  type Generation,
  openGenerations,
  readAt,
} from "../base/rotating-file.ts";
import { escapeForTerminal } from "../base/terminal-json.ts";

/** Name of the newest file; older ones are daemon.log.1 and daemon.log.2. */
export const logFileName = "daemon.log";

const maxFileBytes = 5 * 1024 * 1024;
const keptFiles = 3;
/** With its line feed. */
const maxLineBytes = 16 * 1024;
/** What a reader holds of a file at a time; four of the longest lines. */
const blockBytes = 4 * maxLineBytes;
/** More than a person or a console asks for; reading them takes some 10 ms. */
const maxTailLines = 10_000;
/** How late `logs -f` may show a line. */
const followPauseMs = 200;

const logLevels = ["info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

const logEntrySchema = z.object({
  /** ISO 8601, UTC. */
  ts: z.string(),
  level: z.enum(logLevels),
  msg: z.string(),
  data: z.unknown().optional(),
  /** How many lines before this one could not be written. */
  lostLines: z.number().optional(),
});

export type LogEntry = Readonly<z.infer<typeof logEntrySchema>>;

/** None of its functions throws. `data` is anything; what JSON cannot carry is left out. */
export interface LogFile {
  info(msg: string, data?: unknown): void;
  warn(msg: string, data?: unknown): void;
  error(msg: string, data?: unknown): void;
  /** Lines after it are lost. */
  close(): void;
}

export interface LogFileOptions {
  /** In an existing directory; made with mode 0600. One process writes it. */
  readonly path: string;
  readonly daemonId: string;
  /** The current token and keys: asked before every line, because they change. */
  readonly secrets: () => readonly string[];
  readonly now: () => Date;
  /** Size at which a file is full, in bytes. */
  readonly maxBytes?: number;
  /** Files in all. */
  readonly keep?: number;
}

export function createLogFile(options: LogFileOptions): LogFile {
  const { daemonId, secrets, now, path, maxBytes = maxFileBytes, keep = keptFiles } = options;
  const file = createRotatingFile({ path, maxBytes, keep });
  let lostLines = 0;
  const write = (level: LogLevel, msg: string, data: unknown) => {
    try {
      const redact = createRedact(secrets());
      const entry = {
        ts: now().toISOString(),
        level,
        daemonId,
        msg: redact(msg),
        data: readableData(data, redact),
        lostLines: lostLines > 0 ? lostLines : undefined,
      };
      file.append(toLine(entry));
      lostLines = 0;
    } catch {
      lostLines += 1;
    }
  };
  return {
    info: (msg, data) => write("info", msg, data),
    warn: (msg, data) => write("warn", msg, data),
    error: (msg, data) => write("error", msg, data),
    close: () => file.close(),
  };
}

interface WrittenEntry extends LogEntry {
  readonly daemonId: string;
}

function readableData(data: unknown, redact: Redact): unknown {
  try {
    return redactValue(data, redact);
  } catch {
    return "[unreadable]";
  }
}

/** The entry as a line; where it is too long its data is cut, as text, and its message. */
function toLine(entry: WrittenEntry): Uint8Array {
  const whole = encode(entry);
  const fits = whole.length + lineFeed.length <= maxLineBytes;
  return Buffer.concat([fits ? whole : encode(shorten(entry)), lineFeed]);
}

const lineFeed = Buffer.from("\n");

function encode(value: unknown): Buffer {
  return Buffer.from(escapeForTerminal(JSON.stringify(value)));
}

function shorten(entry: WrittenEntry): WrittenEntry {
  const { data, msg } = entry;
  const room = maxLineBytes - lineFeed.length - encode({ ...entry, msg: "", data: "" }).length;
  if (data === undefined) return { ...entry, msg: cut(msg, room) };
  const shortMsg = cut(msg, Math.floor(room / 2));
  return {
    ...entry,
    msg: shortMsg,
    data: cut(JSON.stringify(data), room - textBytes(shortMsg)),
  };
}

/** The beginning of `text` that takes `roomBytes` in JSON, ended by a mark that it was cut. */
function cut(text: string, roomBytes: number): string {
  if (textBytes(text) <= roomBytes) return text;
  let kept = text.slice(0, roomBytes);
  for (;;) {
    const marked = `${kept}...`;
    const neededBytes = textBytes(marked);
    if (neededBytes <= roomBytes || kept === "") return marked;
    kept = kept.slice(0, Math.floor((kept.length * roomBytes) / neededBytes));
  }
}

/** Between the quotes. */
function textBytes(text: string): number {
  return encode(text).length - 2;
}

/**
 * The last entries over all files, oldest first; at most 10,000. Reads from the end only what it needs, skips
 * lines that are no entries; no log at all gives []. @throws the file system's error, ENOENT apart
 */
export function readLogTail(options: {
  /** Where daemon.log lies. */
  readonly directory: string;
  readonly lines: number;
}): readonly LogEntry[] {
  const wanted = Math.min(options.lines, maxTailLines);
  const entries: LogEntry[] = [];
  const generations = openGenerations(join(options.directory, logFileName), keptFiles);
  try {
    for (const { fd } of generations) {
      for (const line of linesFromEnd(fd)) {
        if (entries.length >= wanted) return entries.toReversed();
        const entry = parseLine(line);
        if (entry !== undefined) entries.push(entry);
      }
    }
    return entries.toReversed();
  } finally {
    for (const { fd } of generations) closeQuietly(fd);
  }
}

/**
 * The entries written from this call on, across rotations, until `signal` aborts; then it ends without an error.
 * The file need not exist yet. To be iterated once: the file is open until then.
 * @throws the file system's error, ENOENT apart
 */
export function followLog(path: string, signal: AbortSignal): AsyncIterable<LogEntry> {
  const [newest] = openGenerations(path, 1);
  return follow({
    path,
    signal,
    from: newest && { ...newest, position: fstatSync(newest.fd).size },
  });
}

/** A file that is followed; everything before `position` is told. */
interface Followed extends Generation {
  position: number;
}

async function* follow(options: {
  readonly path: string;
  readonly signal: AbortSignal;
  readonly from: Followed | undefined;
}): AsyncGenerator<LogEntry> {
  const { path, signal } = options;
  let current = options.from;
  try {
    while (!signal.aborted) {
      if (current !== undefined) yield* newEntries(current, signal);
      const next = openNext(path, current);
      if (next === undefined) {
        await sleep(followPauseMs, { clock: systemClock, signal });
        continue;
      }
      if (current !== undefined) {
        // What came between the reading above and the rotation.
        yield* newEntries(current, signal);
        closeQuietly(current.fd);
      }
      current = { ...next, position: 0 };
    }
  } finally {
    if (current !== undefined) closeQuietly(current.fd);
  }
}

/** The file after `current`; undefined while that is the newest. */
function openNext(path: string, current: Generation | undefined): Generation | undefined {
  const generations = openGenerations(path, keptFiles);
  const next = chooseNext(generations, current);
  for (const each of generations) if (each !== next) closeQuietly(each.fd);
  return next;
}

function chooseNext(
  generations: readonly Generation[],
  current: Generation | undefined,
): Generation | undefined {
  if (current === undefined) return generations[0]?.age === 0 ? generations[0] : undefined;
  const index = generations.findIndex(({ inode }) => inode === current.inode);
  if (index >= 0) return generations[index - 1];
  // Removed by somebody, or rotated out while nobody looked: what was written later is still to be told.
  const { mtimeNs } = fstatSync(current.fd, { bigint: true });
  return generations.findLast((each) => fstatSync(each.fd, { bigint: true }).mtimeNs >= mtimeNs);
}

function* newEntries(file: Followed, signal: AbortSignal): Generator<LogEntry> {
  const { size } = fstatSync(file.fd);
  // Emptied by somebody.
  if (size < file.position) file.position = 0;
  while (file.position < size) {
    const block = readAt(file.fd, { start: file.position, length: blockBytes });
    const end = block.lastIndexOf(lineFeed) + 1;
    // A line is being written; one that fills the block is none of ours.
    if (end === 0 && block.length < blockBytes) return;
    const whole = end === 0 ? block : block.subarray(0, end);
    file.position += whole.length;
    for (const line of whole.toString().split("\n")) {
      const entry = parseLine(line);
      if (signal.aborted) return;
      if (entry !== undefined) yield entry;
    }
  }
}

/** Whole lines, the last one first; of a line that is longer than a block, a part. */
function* linesFromEnd(fd: number): Generator<string> {
  let start = fstatSync(fd).size;
  /** The beginning of the block read before: the end of a line. */
  let rest = Buffer.alloc(0);
  while (start > 0) {
    const length = Math.min(blockBytes, start);
    start -= length;
    const block = Buffer.concat([readAt(fd, { start, length }), rest]);
    const first = start === 0 ? 0 : block.indexOf(lineFeed) + 1;
    rest = block.subarray(0, Math.min(first, blockBytes));
    yield* block.subarray(first).toString().split("\n").toReversed();
  }
}

function parseLine(line: string): LogEntry | undefined {
  if (line === "") return undefined;
  try {
    return logEntrySchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
