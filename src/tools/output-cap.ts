// What a model may read of a long output: at most 2,000 lines or 50 KB, its head and its tail, with the whole
// in a file of the session that read_file may read. Memory stays bounded however much is written.
// Knows nothing of where the output comes from.
import { createHeadTailBuffer } from "../base/head-tail-buffer.ts";
import { createSpill, formatBytes, type Spill, type SpillPlace } from "./output-spill.ts";
import { toPlainOutput } from "./plain-output.ts";

/** What one result may cost the model, notes included (lesson 23). */
export const outputLimits = { lines: 2_000, bytes: 50 * 1024 } as const;

/** Raw bytes held of the head, and as many of the tail: enough that escape sequences do not eat the text. */
const heldBytes = 256 * 1024;

/** Kept free for the note between head and tail and for what the caller adds. */
const reserve = { lines: 20, bytes: 2 * 1024 } as const;
const half = {
  lines: (outputLimits.lines - reserve.lines) / 2,
  bytes: (outputLimits.bytes - reserve.bytes) / 2,
} as const;

/** How far a cut may move so that it falls between two lines. */
const lineSearchBytes = 4 * 1024;

const newline = 10;

export interface CollectedOutput {
  /** What the model reads: plain text within outputLimits. */
  readonly text: string;
  /** All that was written. */
  readonly totalBytes: number;
  /** The file with the whole output, when `text` is not all of it. */
  readonly path: string | undefined;
}

export interface OutputCollector {
  /** Copies what it keeps: the caller may reuse its buffer. Never throws; a full disk is told in the text. */
  write(bytes: Uint8Array): void;
  /** Closes the file. To be called once, in every case. */
  finish(): Promise<CollectedOutput>;
}

/**
 * `text` as it is when it fits; else its head and tail with a note between them that names the file with all
 * of it. Keeps control characters: content of files is shown as it is.
 */
export async function capText(text: string, place: SpillPlace): Promise<string> {
  const bytes = Buffer.from(text);
  if (fits(bytes)) return text;
  const spill = createSpill(place);
  spill.write(bytes);
  spill.close();
  return joinCut({ ...cut(bytes), totalBytes: bytes.length, spill });
}

/**
 * Collects an output of any length in about 512 KB of memory. What is longer goes, byte for byte, to a file in
 * `context.outputDirectory` (made on demand, 0700, the file 0600). The text shows invalid UTF-8 as U+FFFD, no
 * escape sequences, and of redrawn lines the last state.
 */
export function createOutputCollector(place: SpillPlace): OutputCollector {
  const spill = createSpill(place);
  const held = createHeadTailBuffer(heldBytes);
  return {
    write(bytes) {
      if (!spill.isOpen() && held.totalBytes() + bytes.length > 2 * heldBytes) {
        spill.write(held.head());
        spill.write(held.tail());
      }
      if (spill.isOpen()) spill.write(bytes);
      held.write(bytes);
    },
    async finish() {
      const totalBytes = held.totalBytes();
      if (spill.isOpen()) {
        spill.close();
        const head = cut(plainBytes(dropPartialEnd(held.head()))).head;
        const tail = tailOf(plainBytes(dropPartialStart(held.tail())));
        const text = joinCut({ head, tail, totalBytes, spill });
        return { text, totalBytes, path: spill.path() };
      }
      const raw = Buffer.concat([held.head(), held.tail()]);
      const plain = plainBytes(raw);
      if (fits(plain)) return { text: decode(plain), totalBytes, path: undefined };
      spill.write(raw);
      spill.close();
      return {
        text: joinCut({ ...cut(plain), totalBytes, spill }),
        totalBytes,
        path: spill.path(),
      };
    },
  };
}

interface Cut {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
}

function joinCut({ head, tail, totalBytes, spill }: Cut & { totalBytes: number; spill: Spill }) {
  const line = countNewlines(head) + 1;
  const path = spill.path();
  const where =
    path === undefined
      ? `the rest is lost: ${spill.note()}`
      : `${spill.note() === "" ? "all of it" : "its beginning"} is in ${path} (read_file with offset ${line} reads on from here)${spill.note() && `; ${spill.note()}`}`;
  const note = `[output cut: ${formatBytes(totalBytes)} in all; ${where}]`;
  const start = decode(head);
  return `${start}${start.endsWith("\n") ? "" : "\n"}${note}\n${decode(tail)}`;
}

function cut(bytes: Uint8Array): Cut {
  const head = headOf(bytes);
  return { head, tail: tailOf(bytes.subarray(head.length)) };
}

/** The first bytes within half the limits, ending with a line where one ends near, never inside a character. */
function headOf(bytes: Uint8Array): Uint8Array {
  let end = 0;
  for (let lines = 0; lines < half.lines; lines++) {
    const next = bytes.indexOf(newline, end);
    if (next === -1 || next >= half.bytes) {
      const rest = bytes.subarray(0, half.bytes);
      return rest.length === bytes.length || rest.length - end > lineSearchBytes
        ? dropPartialEnd(rest)
        : bytes.subarray(0, end);
    }
    end = next + 1;
  }
  return bytes.subarray(0, end);
}

/** The last bytes within half the limits, beginning with a line where one begins near. */
function tailOf(bytes: Uint8Array): Uint8Array {
  const rest = bytes.subarray(Math.max(0, bytes.length - half.bytes));
  if (rest.length < bytes.length) {
    const next = rest.indexOf(newline);
    if (next === -1 || next > lineSearchBytes) return lastLines(dropPartialStart(rest));
    return lastLines(rest.subarray(next + 1));
  }
  return lastLines(rest);
}

function lastLines(bytes: Uint8Array): Uint8Array {
  // A newline at the very end closes the last line; it begins no new one.
  let start = bytes.length - 1;
  for (let lines = 0; lines < half.lines && start > 0; lines++)
    start = bytes.lastIndexOf(newline, start - 1);
  return bytes.subarray(Math.max(0, start + 1));
}

function fits(bytes: Uint8Array): boolean {
  return (
    bytes.length <= outputLimits.bytes - reserve.bytes &&
    countNewlines(bytes) <= outputLimits.lines - reserve.lines
  );
}

function countNewlines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, at + 1)) count++;
  return count;
}

/** UTF-8 bytes 10xxxxxx continue a character. */
const isContinuation = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80;

function dropPartialStart(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < 3 && isContinuation(bytes[start])) start++;
  return bytes.subarray(start);
}

function dropPartialEnd(bytes: Uint8Array): Uint8Array {
  let lead = bytes.length - 1;
  while (lead > bytes.length - 4 && isContinuation(bytes[lead])) lead--;
  const first = bytes[lead] ?? 0;
  const needed = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return lead + needed > bytes.length ? bytes.subarray(0, Math.max(0, lead)) : bytes;
}

const decode = (bytes: Uint8Array) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

const plainBytes = (bytes: Uint8Array) => Buffer.from(toPlainOutput(decode(bytes)));
