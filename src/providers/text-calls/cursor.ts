// A place in text that is still arriving, and the few ways to read on from it. Readers are generators that
// yield while they wait for more, and decide only on what cannot change any more: so the same text gives
// the same result however it was cut into chunks. Knows no notation.

export interface Cursor {
  /** Everything from where the reading began; grows at its end while `ended` is false. */
  text: string;
  ended: boolean;
  pos: number;
  /** How far anything was looked at; the same however the text was cut. */
  reach: number;
}

export function createCursor(text: string): Cursor {
  return { text, ended: false, pos: 0, reach: 0 };
}

/** Yields whenever more text is needed; is resumed when there is some, or when there will be none. */
export type Reading<T> = Generator<undefined, T, undefined>;

/** The next character, "" at the end. */
export function* peek(cursor: Cursor): Reading<string> {
  while (cursor.pos >= cursor.text.length && !cursor.ended) yield;
  cursor.reach = Math.max(cursor.reach, cursor.pos);
  return cursor.text[cursor.pos] ?? "";
}

/** Whether `literal` comes next; a difference is told at once. */
export function* isNext(cursor: Cursor, literal: string): Reading<boolean> {
  for (;;) {
    if (cursor.text.startsWith(literal, cursor.pos)) return true;
    const available = cursor.text.slice(cursor.pos, cursor.pos + literal.length);
    if (cursor.ended || !literal.startsWith(available)) return false;
    yield;
  }
}

/** Steps over `literal` if it comes next. */
export function* take(cursor: Cursor, literal: string): Reading<boolean> {
  const isThere = yield* isNext(cursor, literal);
  if (isThere) cursor.pos += literal.length;
  return isThere;
}

/** After `take` found it missing: whether the text ended before it, or in the middle of it. Steps to the end then. */
export function takeEnd(cursor: Cursor, literal: string): boolean {
  const isEnd = cursor.ended && literal.startsWith(cursor.text.slice(cursor.pos));
  if (isEnd) cursor.pos = cursor.text.length;
  return isEnd;
}

/** The first of `literals` that comes next; none may begin another. */
export function* nextOf(cursor: Cursor, literals: readonly string[]): Reading<string | undefined> {
  for (const literal of literals) if (yield* isNext(cursor, literal)) return literal;
  return undefined;
}

/** Steps over characters of `set`. */
export function* skip(cursor: Cursor, set: string): Reading<void> {
  for (;;) {
    const char = yield* peek(cursor);
    if (char === "" || !set.includes(char)) return;
    cursor.pos += 1;
  }
}

export const space = " \t\r\n";

/** The text before the first `end` and over it; undefined when it does not come within `maxChars` or on one line. */
export function* takeWord(
  cursor: Cursor,
  end: string,
  maxChars: number,
): Reading<string | undefined> {
  const start = cursor.pos;
  for (let at = start; ; at += 1) {
    while (at >= cursor.text.length && !cursor.ended) yield;
    cursor.pos = at;
    if (yield* take(cursor, end)) return cursor.text.slice(start, at);
    const char = cursor.text[at];
    if (char === undefined || char === "\n" || at - start >= maxChars) {
      cursor.pos = start;
      return undefined;
    }
  }
}

/** Where the first of `literals` begins, at or behind the cursor; -1 when the text ended without one. Moves nothing. */
export function* find(cursor: Cursor, literals: readonly string[]): Reading<number> {
  const longest = Math.max(...literals.map((literal) => literal.length));
  for (let from = cursor.pos; ;) {
    const places = literals
      .map((literal) => cursor.text.indexOf(literal, from))
      .filter((at) => at >= 0);
    if (places.length > 0 || cursor.ended) {
      const at = places.length > 0 ? Math.min(...places) : -1;
      cursor.reach = Math.max(cursor.reach, at < 0 ? cursor.text.length : at);
      return at;
    }
    from = Math.max(from, cursor.text.length - longest + 1);
    yield;
  }
}

/**
 * Over a tagged value: up to the first `close` that is followed, but for space, by one of `followers`, so that
 * a value may quote its own closing tag. Undefined when the text ended before.
 */
export function* takeValue(
  cursor: Cursor,
  close: string,
  followers: readonly string[],
): Reading<string | undefined> {
  const start = cursor.pos;
  for (;;) {
    const at = yield* find(cursor, [close]);
    if (at < 0) {
      cursor.pos = start;
      return undefined;
    }
    cursor.pos = at + close.length;
    const behind = cursor.pos;
    yield* skip(cursor, space);
    const follower = yield* nextOf(cursor, followers);
    cursor.pos = behind;
    if (follower !== undefined) return cursor.text.slice(start, at);
  }
}

export type JsonSpan =
  | { readonly kind: "whole"; readonly text: string }
  /** One of the closing tags came before the last bracket: what is before it. */
  | { readonly kind: "closed"; readonly text: string }
  | { readonly kind: "ended" };

/**
 * Over one JSON object or list, told by its brackets; strings may hold anything. When the text ends inside
 * (a quote may be missing), the first of `closers` counts after all.
 */
export function* takeJson(cursor: Cursor, closers: readonly string[]): Reading<JsonSpan> {
  const start = cursor.pos;
  let depth = 0;
  let quote = "";
  let before = "";
  for (let at = start; ; at += 1) {
    cursor.pos = at;
    const char = cursor.text[at] ?? (yield* peek(cursor));
    if (char === "") break;
    if (quote !== "") {
      if (char === "\\") at += 1;
      else if (char === quote) quote = "";
      before = char;
      continue;
    }
    if (space.includes(char)) continue;
    if (char === '"' || (char === "'" && "{[,:".includes(before))) quote = char;
    else if (char === "{" || char === "[") {
      if (char === "[" && (yield* nextOf(cursor, closers)) !== undefined) break;
      depth += 1;
    } else if (char === "}" || char === "]") {
      depth -= 1;
      if (depth === 0) {
        cursor.pos = at + 1;
        cursor.reach = Math.max(cursor.reach, cursor.pos);
        return { kind: "whole", text: cursor.text.slice(start, at + 1) };
      }
    } else if (char === "<" && (yield* nextOf(cursor, closers)) !== undefined) break;
    before = char;
  }
  cursor.reach = Math.max(cursor.reach, cursor.pos);
  if (quote === "" && cursor.pos < cursor.text.length) {
    return { kind: "closed", text: cursor.text.slice(start, cursor.pos) };
  }
  const end = cursor.pos;
  cursor.pos = start;
  const closer = closers.length === 0 ? -1 : yield* find(cursor, closers);
  cursor.pos = closer < 0 ? end : closer;
  return closer < 0
    ? { kind: "ended" }
    : { kind: "closed", text: cursor.text.slice(start, closer) };
}
