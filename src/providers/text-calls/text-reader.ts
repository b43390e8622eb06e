// The streaming reader of what local models write as text: tool calls in any notation and reasoning in tags.
// Everything else goes on at once and byte for byte; a piece that may become a tag waits, at most until it
// cannot (contracts/text-tool-calls.md rules 1-5 and 7). Its events, joined, are exactly the text that came
// in: `dropped` is what stands for a call or a tag, and the whitespace directly behind it.
import { createCursor, type Cursor, type Reading } from "./cursor.ts";
import type { Calls } from "./json-notations.ts";
import type { KnownTools } from "./known-tools.ts";
import { createLineContext, type LineContext } from "./line-context.ts";
import {
  bareJson,
  notations,
  quotedBlocks,
  readCalls,
  strayTokens,
  thoughtClosers,
  thoughtOpeners,
  type Notation,
} from "./notations.ts";
import type { TextCall } from "./text-call.ts";

export type ReaderEvent =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "thinking"; readonly text: string }
  | { readonly type: "dropped"; readonly text: string }
  | { readonly type: "call"; readonly call: TextCall }
  /** A closing tag came without its opener: all text so far was reasoning. */
  | { readonly type: "text-was-thinking" };

export interface TextReader {
  push(text: string): void;
  /** From here on no text is a call: structured ones came. What is held goes on as text. */
  stopCalls(): void;
  /** The text is over: gives out what is held. Call it once. */
  end(): {
    /** "presumed": the thought that the template was to have opened was never closed. */
    readonly thought: "closed" | "open" | "presumed";
  };
}

export interface TextReaderOptions {
  /** Empty: only reasoning is read. */
  readonly tools: KnownTools;
  /** The model's template opened a thought already: what comes first is reasoning until it is closed. */
  readonly opensInThought?: boolean;
  readonly emit: (event: ReaderEvent) => void;
}

export function createTextReader({
  tools,
  opensInThought = false,
  emit,
}: TextReaderOptions): TextReader {
  const context = createLineContext();
  let mode: "text" | "thought" = opensInThought ? "thought" : "text";
  let isPresumed = opensInThought;
  let readsCalls = tools.size > 0;
  /** A wrapper's opening tag passed by as text: what stands in it is quoted, too. */
  let openWrapper: string | undefined;
  /** Whitespace at the very beginning: it belongs to whatever comes next. */
  let leading: string | undefined = "";
  let hasText = false;
  /** Directly behind something that was dropped: whitespace is dropped as well. */
  let isTrimming = false;
  /** What may become a tag. */
  let held = "";
  /** Characters looked at for calls that were none. */
  let wastedChars = 0;
  let capture: { readonly cursor: Cursor; readonly reading: Reading<Calls> } | undefined;

  const drop = (text: string) => {
    if (text !== "") emit({ type: "dropped", text });
  };
  const settleLeading = (isDropped: boolean) => {
    if (leading === undefined) return;
    const space = leading;
    leading = undefined;
    if (space === "") return;
    if (isDropped) drop(space);
    else emit({ type: mode === "text" ? "text" : "thinking", text: space });
  };

  /** Text or reasoning goes on. */
  const pass = (text: string) => {
    let rest = text;
    if (isTrimming || leading !== undefined) {
      const start = rest.search(/\S/);
      const space = start < 0 ? rest : rest.slice(0, start);
      if (leading === undefined) drop(space);
      else leading += space;
      if (start < 0) return;
      rest = (leading ?? "") + rest.slice(start);
      leading = undefined;
      isTrimming = false;
    }
    if (rest === "") return;
    if (mode === "text") hasText = true;
    emit({ type: mode === "text" ? "text" : "thinking", text: rest });
  };
  const remove = (text: string) => {
    settleLeading(true);
    drop(text);
    isTrimming = true;
    context.startAnew();
  };

  const begin = (notation: Notation, text: string) => {
    const cursor = createCursor(text);
    const mustBeLast = mode === "thought" && notation.inThought !== true;
    capture = { cursor, reading: readCalls(cursor, notation, { tools, mustBeLast }) };
  };
  /** Reads on in a call; what is behind it, or all of it again when it was none; undefined while it goes on. */
  const readOn = (isEnd: boolean): { readonly rest: string; readonly from: number } | undefined => {
    if (capture === undefined) return undefined;
    const { cursor, reading } = capture;
    cursor.ended = isEnd;
    const step = reading.next();
    if (step.done !== true) return undefined;
    capture = undefined;
    if (step.value === undefined) {
      wastedChars += cursor.reach;
      if (wastedChars > maxWastedChars) readsCalls = false;
      const wrapper = notations.find(({ opener }) => cursor.text.startsWith(opener));
      if (wrapper?.close !== undefined) openWrapper = wrapper.close;
      return { rest: cursor.text, from: 1 };
    }
    settleLeading(true);
    for (const call of step.value) emit({ type: "call", call });
    remove(cursor.text.slice(0, cursor.pos));
    return { rest: cursor.text.slice(cursor.pos), from: 0 };
  };

  /** What the tag that begins at `at` is; "part" when that depends on text to come. */
  const tagAt = (text: string, at: number, isEnd: boolean): Tag | "part" | undefined => {
    const char = text.charCodeAt(at);
    if (char === brace || char === backtick) {
      const may = readsCalls && mode === "text" && openWrapper === undefined;
      return may && context.isLineStart() && context.mayCall()
        ? { kind: "call", tag: "", notation: bareJson }
        : undefined;
    }
    const found = findTag(text, at);
    if (found === undefined || (found === "part" && isEnd)) return undefined;
    // Nothing in code is a tag, but a thought ends wherever it ends.
    const isCode = mode === "text" && !context.isProse();
    return isCode ? undefined : found;
  };

  /** Openers of thoughts that stayed part of the text or thought they stand in, and wait for their closers. */
  let openersLeft = 0;
  /** Acts on a whole tag; false when it is text here. `behind` is the character after it, "" at the end. */
  const takeTag = (found: Tag, behind: string): boolean => {
    switch (found.kind) {
      case "stray":
        if (!context.isProse()) return false;
        settleLeading(true);
        drop(found.tag);
        return true;
      case "close-thought": {
        // The end of an opener that was left where it stands: it belongs to the same text.
        if (openersLeft > 0) {
          openersLeft -= 1;
          return false;
        }
        if (mode === "text") {
          if (!isStrayCloser(context, behind)) return false;
          if (hasText) emit({ type: "text-was-thinking" });
          hasText = false;
        }
        remove(found.tag);
        mode = "text";
        isPresumed = false;
        return true;
      }
      case "open-thought": {
        const isFresh = leading !== undefined || isTrimming;
        const isNested = mode === "thought" && !(isPresumed && isFresh);
        const isBlock = context.isLineStart() && context.isProse() && behind === "\n";
        if (isNested || (!isFresh && !isBlock)) {
          openersLeft += 1;
          return false;
        }
        remove(found.tag);
        mode = "thought";
        isPresumed = false;
        return true;
      }
      case "quote":
        if (context.isLineStart() && context.isProse()) context.quoteUntil(found.close);
        return false;
      case "pass":
        if (found.tag === openWrapper) openWrapper = undefined;
        context.passTag(found.tag);
        return false;
      case "call":
        return false;
    }
  };

  const scan = (text: string, from: number, isEnd: boolean): void => {
    let passed = 0;
    let seen = 0;
    let at = from;
    /** Everything before `end` goes on. */
    const passUntil = (end: number) => {
      if (end > seen) context.append(text.slice(seen, end));
      if (end > passed) pass(passed === 0 && end === text.length ? text : text.slice(passed, end));
      passed = seen = end;
    };
    for (;;) {
      at = findTrigger(text, at);
      if (at < 0) break;
      if (at > seen) context.append(text.slice(seen, at));
      seen = at;
      if (text.charCodeAt(at) === lineEnd) {
        context.endLine();
        at += 1;
        seen = at;
        continue;
      }
      const found = tagAt(text, at, isEnd);
      if (found === undefined) {
        at += 1;
        continue;
      }
      if (found === "part") {
        passUntil(at);
        held = text.slice(at);
        return;
      }
      if (found.kind === "call") {
        const may =
          readsCalls &&
          context.mayCall() &&
          !(found.notation.isInner === true && openWrapper !== undefined);
        if (may) {
          passUntil(at);
          begin(found.notation, text.slice(at));
          return;
        }
        if (found.notation.close !== undefined) openWrapper = found.notation.close;
        at += 1;
        continue;
      }
      const end = at + found.tag.length;
      const isThought = found.kind === "open-thought" || found.kind === "close-thought";
      if (isThought && end >= text.length && !isEnd) {
        // Judged by what follows, too.
        passUntil(at);
        held = text.slice(at);
        return;
      }
      // Leading whitespace before a thought must be known before the tag is judged.
      if (found.kind !== "pass" && found.kind !== "quote") passUntil(at);
      if (takeTag(found, text[end] ?? "")) passed = seen = end;
      at = end;
    }
    passUntil(text.length);
  };

  const run = (text: string, isEnd: boolean): void => {
    let next: { readonly rest: string; readonly from: number } | undefined;
    if (capture === undefined) {
      next = { rest: held === "" ? text : held + text, from: 0 };
      held = "";
    } else {
      capture.cursor.text += text;
      next = readOn(isEnd);
    }
    while (next !== undefined) {
      scan(next.rest, next.from, isEnd);
      next = readOn(isEnd);
    }
  };

  return {
    push(text) {
      // Nearly every chunk of nearly every answer: nothing waits, and nothing in it begins a tag.
      const isPlain = capture === undefined && held === "" && leading === undefined && !isTrimming;
      if (isPlain && text !== "" && findTrigger(text, 0) < 0) {
        context.append(text);
        hasText ||= mode === "text";
        emit({ type: mode === "text" ? "text" : "thinking", text });
      } else run(text, false);
    },
    stopCalls() {
      readsCalls = false;
      if (capture === undefined) return;
      const { text } = capture.cursor;
      capture = undefined;
      scan(text, 1, false);
    },
    end() {
      run("", true);
      settleLeading(false);
      if (mode === "text") return { thought: "closed" };
      return { thought: isPresumed ? "presumed" : "open" };
    },
  };
}

/** Text that keeps pretending to be a call would cost its length each time; what an answer holds stays far below. */
const maxWastedChars = 4_000_000;

type Tag =
  | { readonly kind: "call"; readonly tag: string; readonly notation: Notation }
  | { readonly kind: "open-thought" | "close-thought" | "stray" | "pass"; readonly tag: string }
  | { readonly kind: "quote"; readonly tag: string; readonly close: string };

const lineEnd = 10;
const brace = 123;
const backtick = 96;

const tags: readonly Tag[] = [
  ...notations.map((notation) => ({ kind: "call", tag: notation.opener, notation }) as const),
  ...thoughtOpeners.map((tag) => ({ kind: "open-thought", tag }) as const),
  ...thoughtClosers.map((tag) => ({ kind: "close-thought", tag }) as const),
  ...strayTokens.map((tag) => ({ kind: "stray", tag }) as const),
  ...quotedBlocks.map(([tag, close]) => ({ kind: "quote", tag, close }) as const),
  ...[
    ...notations.flatMap(({ close }) => close ?? []),
    ...quotedBlocks.map(([, close]) => close),
  ].map((tag) => ({ kind: "pass", tag }) as const),
];

/** Tags by their first two characters, so that other markup is let go quickly. */
const tagsByStart = Map.groupBy(tags, ({ tag }) => tag.slice(0, 2));
const tagStarts = new Set(tags.map(({ tag }) => tag[0] ?? ""));

function findTag(text: string, at: number): Tag | "part" | undefined {
  if (at + 1 === text.length) return tagStarts.has(text[at] ?? "") ? "part" : undefined;
  const candidates = tagsByStart.get(text.slice(at, at + 2));
  if (candidates === undefined) return undefined;
  const whole = candidates.find(({ tag }) => text.startsWith(tag, at));
  if (whole !== undefined) return whole;
  const rest = text.slice(at, at + maxTagChars);
  const isPart =
    at + rest.length === text.length && candidates.some(({ tag }) => tag.startsWith(rest));
  return isPart ? "part" : undefined;
}

const maxTagChars = Math.max(...tags.map(({ tag }) => tag.length));

/** By UTF-16 unit: 1 for what may begin a tag, or ends a line. A table: every character of every answer is looked up. */
const isTrigger = new Uint8Array(0x1_0000);
for (const char of "<[]`{\n") isTrigger[char.charCodeAt(0)] = 1;

function findTrigger(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    if (isTrigger[text.charCodeAt(at)] === 1) return at;
  }
  return -1;
}

/** A closing tag in prose has a space before it and goes on behind; a real one ends its line or touches the thought. */
function isStrayCloser(context: LineContext, behind: string): boolean {
  if (!context.isProse()) return false;
  if (behind === "" || behind === "\n" || behind === "\r" || context.isBlank()) return true;
  return !/[\s"'“‘«([]$/.test(context.lineEnd());
}
