// The daemon's log: JSON lines in daemon.log, at most three files of 5 MB, no secrets, no timer. Writing is one
// write(2) per line, and a log that cannot be written never stops what it tells about. Reading is log-reader.ts.
import { createRedact, type Redact, redactValue } from "../base/redact.ts";
import { createRotatingFile } from "../base/rotating-file.ts";
import { escapeForTerminal } from "../base/terminal-json.ts";

/** Name of the newest file; older ones are daemon.log.1 and daemon.log.2. */
export const logFileName = "daemon.log";

const maxFileBytes = 5 * 1024 * 1024;
export const keptFiles = 3;
/** With its line feed. */
export const maxLineBytes = 16 * 1024;

export const logLevels = ["info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LogEntry {
  /** ISO 8601, UTC. */
  readonly ts: string;
  readonly level: LogLevel;
  readonly msg: string;
  readonly data?: unknown;
  /** How many lines before this one could not be written. */
  readonly lostLines?: number | undefined;
}

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
