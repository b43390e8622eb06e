// Reading the daemon's log (log-file.ts): the newest lines, and those that come. Looks at the files only, so that it
// works without a daemon.
import { fstatSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { sleep, systemClock } from "../base/clock.ts";
import { closeQuietly, type Generation, openGenerations, readAt } from "../base/rotating-file.ts";
import { keptFiles, type LogEntry, logFileName, logLevels, maxLineBytes } from "./log-file.ts";

/** What a reader holds of a file at a time; four of the longest lines. */
const blockBytes = 4 * maxLineBytes;
/** More than a person or a console asks for; reading them takes some 10 ms. */
const maxTailLines = 10_000;
/** How late `logs -f` may show a line. */
const followPauseMs = 200;

const lineFeed = Buffer.from("\n");

const logEntrySchema = z.object({
  ts: z.string(),
  level: z.enum(logLevels),
  msg: z.string(),
  data: z.unknown().optional(),
  lostLines: z.number().optional(),
});

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
