// JSON as models write it: strict first, then mended where only one reading is possible - a trailing comma,
// single quotes, Python's True, False and None, raw line ends inside strings, brackets missing at the very
// end. Anything else is a problem with its position. (The `jsonrepair` package guesses much further - it quotes
// bare words and closes strings - so a guard around it would be as large as this and less certain.)

export type LenientJson =
  | { readonly ok: true; readonly value: unknown }
  /** `position` counts characters from 1. */
  | { readonly ok: false; readonly position: number; readonly problem: string };

/** Deeper nesting is no tool call, and would cost the stack. */
const maxDepth = 100;

export function parseLenientJson(text: string): LenientJson {
  try {
    return { ok: true, value: JSON.parse(text) as unknown };
  } catch {
    return mend(text);
  }
}

interface Fault {
  readonly fault: string;
  readonly at: number;
}
interface Piece {
  readonly value: unknown;
  readonly end: number;
}
const isFault = (read: Piece | Fault): read is Fault => "fault" in read;

function mend(text: string): LenientJson {
  const read = readValue(text, skipSpace(text, 0), maxDepth);
  if (isFault(read)) return { ok: false, position: read.at + 1, problem: read.fault };
  const end = skipSpace(text, read.end);
  if (end === text.length) return { ok: true, value: read.value };
  return { ok: false, position: end + 1, problem: "text behind the end" };
}

function readValue(text: string, at: number, depth: number): Piece | Fault {
  if (depth === 0) return { fault: "nested too deeply", at };
  const char = text[at];
  if (char === "{") return readObject(text, at, depth);
  if (char === "[") return readList(text, at, depth);
  if (char === '"' || char === "'") return readString(text, at);
  const number = match(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])/y, text, at);
  if (number !== undefined) return { value: Number(number), end: at + number.length };
  const word = match(/(?:true|false|null|True|False|None)(?!\w)/y, text, at);
  if (word === undefined) return { fault: char === undefined ? "cut off" : "expected a value", at };
  const lower = word.toLowerCase();
  const value = lower === "true" ? true : lower === "false" ? false : null;
  return { value, end: at + word.length };
}

function readObject(text: string, start: number, depth: number): Piece | Fault {
  const entries: [string, unknown][] = [];
  for (let at = skipSpace(text, start + 1); ;) {
    if (text[at] === "}" || (at === text.length && entries.length > 0)) {
      return { value: Object.fromEntries(entries), end: Math.min(at + 1, text.length) };
    }
    if (text[at] !== '"' && text[at] !== "'") return { fault: "expected a name in quotes", at };
    const key = readString(text, at);
    if (isFault(key)) return key;
    at = skipSpace(text, key.end);
    if (text[at] !== ":") return { fault: "expected :", at };
    const value = readValue(text, skipSpace(text, at + 1), depth - 1);
    if (isFault(value)) return value;
    entries.push([key.value as string, value.value]);
    at = skipSpace(text, value.end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
    else if (text[at] !== "}" && at < text.length) return { fault: "expected , or }", at };
  }
}

function readList(text: string, start: number, depth: number): Piece | Fault {
  const items: unknown[] = [];
  for (let at = skipSpace(text, start + 1); ;) {
    if (text[at] === "]" || (at === text.length && items.length > 0)) {
      return { value: items, end: Math.min(at + 1, text.length) };
    }
    const item = readValue(text, at, depth - 1);
    if (isFault(item)) return item;
    items.push(item.value);
    at = skipSpace(text, item.end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
    else if (text[at] !== "]" && at < text.length) return { fault: "expected , or ]", at };
  }
}

/** A string must close: where a lost one ends is a guess. */
function readString(text: string, start: number): Piece | Fault {
  const quote = text[start];
  let value = "";
  for (let at = start + 1; at < text.length; at += 1) {
    const char = text[at] as string;
    if (char === quote) return { value, end: at + 1 };
    if (char !== "\\") {
      value += char;
      continue;
    }
    at += 1;
    const hex = match(/u[0-9a-fA-F]{4}/y, text, at);
    if (hex !== undefined) {
      value += String.fromCharCode(Number.parseInt(hex.slice(1), 16));
      at += 4;
      continue;
    }
    const escaped = escapes[text[at] ?? ""];
    if (escaped === undefined) return { fault: "unknown escape in a string", at: at - 1 };
    value += escaped;
  }
  return { fault: "a string without its closing quote", at: start };
}

const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

function skipSpace(text: string, at: number): number {
  return at + (match(/[ \t\r\n]*/y, text, at)?.length ?? 0);
}

function match(sticky: RegExp, text: string, at: number): string | undefined {
  sticky.lastIndex = at;
  return sticky.exec(text)?.[0];
}
