// The table of notations (contracts/text-tool-calls.md, "Tool-call notations"): which text opens a call and
// who reads on from there. A new notation is a row here and a sample in its test.
import { nextOf, peek, skip, space, type Cursor, type Reading } from "./cursor.ts";
import {
  readBareJson,
  readDeepSeek,
  readJsonUntil,
  readKimi,
  readLlama,
  readMistral,
  readOldMiniMax,
  type Calls,
} from "./json-notations.ts";
import type { KnownTools } from "./known-tools.ts";
import {
  m3Prefix,
  readFunctions,
  readInToolCall,
  readInvokes,
  readMiniMaxM3,
} from "./tag-notations.ts";

export interface Notation {
  /** None begins another. */
  readonly opener: string;
  /** The tag that closes the notation as a whole, if it has one. */
  readonly close?: string;
  /** Usually wrapped by another's opening tag, which models leave out. */
  readonly isInner?: boolean;
  /** Counts inside a thought too: MiniMax calls while it thinks. */
  readonly inThought?: boolean;
  /** Starts on the opener. Undefined: not a call, it is text after all. */
  readonly read: (cursor: Cursor, tools: KnownTools) => Reading<Calls>;
}

export const notations: readonly Notation[] = [
  {
    opener: "<tool_call>",
    close: "</tool_call>",
    *read(cursor, tools) {
      cursor.pos += "<tool_call>".length;
      yield* skip(cursor, space);
      const char = yield* peek(cursor);
      const isJson = char === "{" || char === "[";
      return isJson
        ? yield* readJsonUntil(cursor, "</tool_call>", tools)
        : yield* readInToolCall(cursor, tools);
    },
  },
  { opener: "<function=", isInner: true, read: readFunctions },
  {
    opener: "<minimax:tool_call>",
    close: "</minimax:tool_call>",
    inThought: true,
    *read(cursor, tools) {
      cursor.pos += "<minimax:tool_call>".length;
      return yield* readInvokes(cursor, "</minimax:tool_call>", tools);
    },
  },
  {
    opener: "<function_calls>",
    close: "</function_calls>",
    *read(cursor, tools) {
      cursor.pos += "<function_calls>".length;
      return yield* readInvokes(cursor, "</function_calls>", tools);
    },
  },
  {
    opener: "<invoke name=",
    isInner: true,
    read: (cursor, tools) => readInvokes(cursor, "", tools),
  },
  { opener: m3Prefix, close: `${m3Prefix}</tool_call>`, inThought: true, read: readMiniMaxM3 },
  { opener: "[TOOL_CALL]", close: "[/TOOL_CALL]", inThought: true, read: readOldMiniMax },
  { opener: "[TOOL_CALLS]", read: readMistral },
  { opener: "<|tool_calls_section_begin|>", read: readKimi },
  { opener: "<|tool_call_begin|>", read: readKimi },
  { opener: "<｜tool▁calls▁begin｜>", read: readDeepSeek },
  { opener: "<｜tool▁call▁begin｜>", read: readDeepSeek },
  { opener: "<|python_tag|>", read: readLlama },
];

/** The whole rest of the answer; tried on `{` and on a fence at the start of a line. */
export const bareJson: Notation = { opener: "", isInner: true, read: readBareJson };

/** Tags that close or surround calls and tokens that end an answer: nothing to see directly behind a call. */
const remains = [
  ...notations.flatMap(({ close }) => (close === undefined ? [] : [close])),
  "<|tool_calls_section_end|>",
  "<｜tool▁calls▁end｜>",
  "<|im_end|>",
  "<|eot_id|>",
  "<|eom_id|>",
  "<｜end▁of▁sentence｜>",
  "</s>",
  "[e~[",
  "]~b]",
  "]~!b[",
];

/** Tokens that MiniMax's servers let through anywhere; never text. */
export const strayTokens: readonly string[] = ["[e~[", "]~b]", "]~!b["];

export const thoughtOpeners: readonly string[] = ["<think>", "<thought>", "<mm:think>"];
export const thoughtClosers: readonly string[] = ["</think>", "</thought>", "</mm:think>"];

/** Around the results of tools, when a model plays both parts, and around code: nothing in there is a call. */
export const quotedBlocks: readonly (readonly [open: string, close: string])[] = [
  ["<tool_response>", "</tool_response>"],
  ["<tool_result>", "</tool_result>"],
  ["<function_results>", "</function_results>"],
  ["<pre>", "</pre>"],
  ["<code>", "</code>"],
];

/**
 * A call as a whole: its notation, what remains of tags behind it, and the proof that it was not quoted in
 * passing - nothing but another call follows on its line, or, with `mustBeLast`, in the answer.
 */
export function* readCalls(
  cursor: Cursor,
  notation: Notation,
  { tools, mustBeLast }: { readonly tools: KnownTools; readonly mustBeLast: boolean },
): Reading<Calls> {
  const calls = yield* notation.read(cursor, tools);
  if (calls === undefined) return undefined;
  let end = cursor.pos;
  for (;;) {
    yield* skip(cursor, mustBeLast ? space : " \t");
    const tag = yield* nextOf(cursor, remains);
    if (tag !== undefined) {
      cursor.pos += tag.length;
      end = cursor.pos;
      continue;
    }
    // A closing tag on the next line still belongs to the call.
    const atLineEnd = cursor.pos;
    yield* skip(cursor, space);
    if (cursor.pos > atLineEnd && (yield* nextOf(cursor, remains)) !== undefined) continue;
    cursor.pos = atLineEnd;
    break;
  }
  const next = yield* peek(cursor);
  const isAtEnd = next === "" || (!mustBeLast && (next === "\n" || next === "\r"));
  if (!isAtEnd) {
    const openers = mustBeLast ? [] : [...thoughtOpeners, ...thoughtClosers];
    const follower = yield* nextOf(cursor, [...openers, ...notations.map(({ opener }) => opener)]);
    if (follower === undefined) return undefined;
    if (mustBeLast) {
      const following = notations.find(({ opener }) => opener === follower) as Notation;
      const more = yield* readCalls(cursor, following, { tools, mustBeLast });
      return more && [...calls, ...more];
    }
  }
  cursor.pos = end;
  return calls;
}
