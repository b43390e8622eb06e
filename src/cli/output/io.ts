// The three standard streams of a command: what it prints, whether a person watches, what was piped in.
// Written with synchronous writes, so that nothing is left to flush at exit and the order of stdout and
// stderr on one terminal is the order of the calls. Never touches process.stdout, which costs 9 ms of CPU.
import { closeSync, fstatSync, openSync, statSync, writeSync } from "node:fs";
import { OptaError } from "../../protocol/error.ts";
import { createStyle, type Style } from "./style.ts";

export interface Output {
  /** @throws OutputClosed when the reader is gone (stdout only); OptaError storage-full | storage-failed */
  write(text: string): void;
}

export interface Io {
  readonly stdout: Output;
  /** Never throws: when stderr is gone there is nobody left to tell. */
  readonly stderr: Output;
  isTerminal(descriptor: 0 | 1 | 2): boolean;
  /** Width of the terminal; 80 when none is known. */
  columns(): number;
  /** Styles for that stream: plain unless it is a terminal that shows colours. */
  style(descriptor: 1 | 2): Style;
  /** All of stdin as text, until its end. */
  readStdin(): Promise<string>;
  /** What the person at the terminal types, also when stdin is a pipe; undefined when there is no terminal. */
  openTerminal(): (() => AsyncIterable<Uint8Array>) | undefined;
}

/** The reader of stdout went away (`opta models | head -1`): stop, this is no failure. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

/** @param options.colours false when the user wants none (NO_COLOR, TERM=dumb); terminals only, in any case */
export function createIo(options: { readonly colours: boolean }): Io {
  const terminals = new Map<number, boolean>();
  const isTerminal = (descriptor: 0 | 1 | 2) => {
    const known = terminals.get(descriptor) ?? detectTerminal(descriptor);
    terminals.set(descriptor, known);
    return known;
  };
  return {
    stdout: { write: (text) => writeAll(1, text) },
    stderr: { write: writeToStderr },
    isTerminal,
    columns: () => (isTerminal(1) || isTerminal(2) ? terminalWidth() : 80),
    style: (descriptor) => createStyle(options.colours && isTerminal(descriptor)),
    readStdin: () => Bun.stdin.text(),
    openTerminal() {
      if (isTerminal(0)) return () => Bun.stdin.stream();
      return hasControllingTerminal() ? () => Bun.file("/dev/tty").stream() : undefined;
    },
  };
}

/** Opening /dev/tty fails (ENXIO) in a process that no terminal controls: cron, an editor, a service. */
function hasControllingTerminal(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r"));
    return true;
  } catch {
    return false;
  }
}

function writeToStderr(text: string): void {
  try {
    writeAll(2, text);
  } catch (thrown) {
    const expected = thrown instanceof OutputClosed || thrown instanceof OptaError;
    if (!expected) throw thrown;
  }
}

/**
 * Writes all of the text. A pipe that is full and set to non-blocking (by whoever shares it) says EAGAIN;
 * then wait and go on, as a blocking pipe would.
 */
function writeAll(descriptor: 1 | 2, text: string): void {
  const bytes = Buffer.from(text);
  let written = 0;
  let waitMs = 1;
  while (written < bytes.length) {
    try {
      written += writeSync(descriptor, bytes, written);
      waitMs = 1;
    } catch (thrown) {
      const code = (thrown as NodeJS.ErrnoException).code;
      if (code !== "EAGAIN") throw toWriteError(descriptor, code, thrown);
      sleepSync(waitMs);
      waitMs = Math.min(waitMs * 2, 16);
    }
  }
}

function sleepSync(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

function toWriteError(descriptor: 1 | 2, code: string | undefined, thrown: unknown): Error {
  // EIO: the terminal hung up. (A stream closed by `>&-` is /dev/null by the time Bun runs us.)
  if (code === "EPIPE" || code === "EIO") return new OutputClosed();
  const stream = descriptor === 1 ? "stdout" : "stderr";
  const full = code === "ENOSPC" || code === "EDQUOT";
  const why = full ? "no space left" : thrown instanceof Error ? thrown.message : String(thrown);
  return new OptaError(
    full ? "storage-full" : "storage-failed",
    `cannot write to ${stream}: ${why}`,
    full ? "free some space, or send the output elsewhere" : undefined,
  );
}

/**
 * node:tty costs 3-4 ms of CPU, so it is asked only about character devices that are not the null device:
 * pipes, files and /dev/null, the cases where speed counts, are answered by one fstat.
 */
function detectTerminal(descriptor: 0 | 1 | 2): boolean {
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isCharacterDevice() || stats.rdev === statSync("/dev/null").rdev) return false;
  } catch {
    return false; // a closed descriptor
  }
  return process.getBuiltinModule("node:tty").isatty(descriptor);
}

/** Only called when someone watches, so that its cost does not matter. */
function terminalWidth(): number {
  const width = process.stdout.columns ?? process.stderr.columns;
  return width !== undefined && width > 0 ? width : 80;
}
