// Notations whose arguments stand in tags: Qwen3-Coder, GLM, MiniMax M2 and Anthropic (`<invoke>`), MiniMax
// M3. Values are raw text, typed by the tool's schema. Each reader starts on its opening tag and gives the
// calls, or undefined when it was none.
import {
  find,
  nextOf,
  peek,
  skip,
  space,
  take,
  takeEnd,
  takeValue,
  takeWord,
  type Cursor,
  type Reading,
} from "./cursor.ts";
import type { Calls } from "./json-notations.ts";
import { isRecord, type KnownTool, type KnownTools } from "./known-tools.ts";
import {
  callFromTags,
  malformedCall,
  truncatedCall,
  wholeCall,
  type TextCall,
} from "./text-call.ts";
import { toTypedValue } from "./typed-value.ts";

type Tag = readonly [key: string, raw: string];

const maxNameChars = 200;

/** `<function=NAME><parameter=KEY>value</parameter></function>`, one after the other. */
export function* readFunctions(cursor: Cursor, tools: KnownTools): Reading<Calls> {
  const calls: TextCall[] = [];
  for (;;) {
    const behind = cursor.pos;
    yield* skip(cursor, space);
    if (!(yield* take(cursor, "<function="))) {
      cursor.pos = behind;
      return calls.length === 0 ? undefined : calls;
    }
    const tool = tools.find((yield* takeWord(cursor, ">", maxNameChars)) ?? "");
    if (tool === undefined) return undefined;
    const call = yield* readTags(cursor, {
      tool,
      close: "</function>",
      outerClose: "</tool_call>",
      *readTag() {
        if (!(yield* take(cursor, "<parameter="))) return undefined;
        const key = yield* takeWord(cursor, ">", maxNameChars);
        const followers = ["<parameter=", "</function>"];
        const raw =
          key === undefined ? undefined : yield* takeValue(cursor, "</parameter>", followers);
        return raw === undefined ? "broken" : [key ?? "", withoutOuterLineEnds(raw)];
      },
    });
    if (call === undefined) return undefined;
    calls.push(call);
  }
}

/** Tags of one call up to its closing tag. A call that breaks off behind its first tag is a problem, before it none. */
function* readTags(
  cursor: Cursor,
  notation: {
    readonly tool: KnownTool;
    readonly close: string;
    /** Ends a malformed call, if nothing else does. */
    readonly outerClose: string;
    readonly readTag: () => Reading<Tag | "broken" | undefined>;
  },
): Reading<TextCall | undefined> {
  const { tool, close, outerClose, readTag } = notation;
  const start = cursor.pos;
  const tags: Tag[] = [];
  for (;;) {
    yield* skip(cursor, space);
    if (yield* take(cursor, close)) return callFromTags(tool, tags);
    if (takeEnd(cursor, close)) return truncatedCall(tool, cursor.text.slice(start));
    const tag = yield* readTag();
    if (tag !== undefined && tag !== "broken") {
      tags.push(tag);
      continue;
    }
    if (tags.length === 0 && tag === undefined) return undefined;
    const closers = [close, outerClose];
    const end = yield* find(cursor, closers);
    if (end < 0) {
      cursor.pos = cursor.text.length;
      return truncatedCall(tool, cursor.text.slice(start));
    }
    cursor.pos = end;
    const written = cursor.text.slice(start, end);
    yield* take(cursor, close);
    return malformedCall(tool, written, `expected an argument or ${close}`);
  }
}

/** The notation writes a value on lines of its own. */
function withoutOuterLineEnds(raw: string): string {
  return raw.replace(/^\r?\n/, "").replace(/\r?\n$/, "");
}

/** GLM, behind `<tool_call>`: NAME and pairs of `<arg_key>` and `<arg_value>` up to `</tool_call>`. */
export function* readGlm(cursor: Cursor, tools: KnownTools): Reading<Calls> {
  const tool = yield* readName(cursor, tools);
  if (tool === undefined) return undefined;
  const close = "</tool_call>";
  const call = yield* readTags(cursor, {
    tool,
    close,
    outerClose: close,
    *readTag() {
      if (!(yield* take(cursor, "<arg_key>"))) return undefined;
      const key = yield* takeWord(cursor, "</arg_key>", maxNameChars);
      yield* skip(cursor, space);
      if (key === undefined || !(yield* take(cursor, "<arg_value>"))) return "broken";
      const raw = yield* takeValue(cursor, "</arg_value>", ["<arg_key>", close]);
      return raw === undefined ? "broken" : [key.trim(), raw];
    },
  });
  return call && [call];
}

/** A known name as far as its characters go; given up as soon as no known one begins so. */
function* readName(cursor: Cursor, tools: KnownTools): Reading<KnownTool | undefined> {
  const start = cursor.pos;
  for (;;) {
    const char = yield* peek(cursor);
    const name = cursor.text.slice(start, cursor.pos);
    if (!/[\w.:-]/.test(char)) return name === "" ? undefined : tools.find(name);
    cursor.pos += 1;
    if (!tools.canBegin(name + char)) return undefined;
  }
}

const invoke = "<invoke name=";

/** `<invoke name="N"><parameter name="k">v</parameter></invoke>`, one after the other, up to `close` unless it is "". */
export function* readInvokes(cursor: Cursor, close: string, tools: KnownTools): Reading<Calls> {
  const calls: TextCall[] = [];
  for (;;) {
    const behind = cursor.pos;
    yield* skip(cursor, space);
    if (close !== "" && calls.length > 0 && (yield* take(cursor, close))) return calls;
    if (!(yield* take(cursor, invoke))) {
      cursor.pos = behind;
      return calls.length === 0 ? undefined : calls;
    }
    const tool = tools.find((yield* readAttribute(cursor)) ?? "");
    if (tool === undefined) return undefined;
    const call = yield* readTags(cursor, {
      tool,
      close: "</invoke>",
      outerClose: close === "" ? "</invoke>" : close,
      *readTag() {
        if (!(yield* take(cursor, "<parameter name="))) return undefined;
        const key = yield* readAttribute(cursor);
        const followers = ["<parameter name=", "</invoke>"];
        const raw =
          key === undefined ? undefined : yield* takeValue(cursor, "</parameter>", followers);
        return raw === undefined ? "broken" : [key ?? "", withoutBlockLineEnds(raw)];
      },
    });
    if (call === undefined) return undefined;
    calls.push(call);
  }
}

/** The quoted value of a tag's first attribute, and over the end of the tag. */
function* readAttribute(cursor: Cursor): Reading<string | undefined> {
  const quote = yield* peek(cursor);
  if (quote !== '"' && quote !== "'") return yield* takeWord(cursor, ">", maxNameChars);
  cursor.pos += 1;
  const value = yield* takeWord(cursor, quote, maxNameChars);
  const rest = value === undefined ? undefined : yield* takeWord(cursor, ">", maxNameChars);
  return rest === undefined ? undefined : value;
}

/** These notations write values in place; only one that stands on lines of its own loses its line ends. */
function withoutBlockLineEnds(raw: string): string {
  return /^\r?\n[\s\S]*\n$/.test(raw) ? withoutOuterLineEnds(raw) : raw;
}

export const m3Prefix = "]<]minimax[>[";
const m3Invoke = `${m3Prefix}<invoke name=`;
const m3Close = `${m3Prefix}</tool_call>`;

/** MiniMax M3: every tag has the prefix, arguments are named tags, lists are `<item>`s. */
export function* readMiniMaxM3(cursor: Cursor, tools: KnownTools): Reading<Calls> {
  yield* take(cursor, `${m3Prefix}<tool_call>`);
  const calls: TextCall[] = [];
  for (;;) {
    const behind = cursor.pos;
    yield* skip(cursor, space);
    if (calls.length > 0 && (yield* take(cursor, m3Close))) return calls;
    if (!(yield* take(cursor, m3Invoke))) {
      cursor.pos = behind;
      return calls.length === 0 ? undefined : calls;
    }
    const tool = tools.find((yield* readAttribute(cursor)) ?? "");
    if (tool === undefined) return undefined;
    const start = cursor.pos;
    const close = `${m3Prefix}</invoke>`;
    const end = yield* find(cursor, [close, m3Close]);
    const body = cursor.text.slice(start, end < 0 ? undefined : end);
    cursor.pos = end < 0 ? cursor.text.length : end;
    if (end < 0) return [...calls, truncatedCall(tool, body)];
    const isClosed = yield* take(cursor, close);
    const { properties } = tool;
    const value = isClosed ? readTree(body, { type: "object", properties }, maxTreeDepth) : null;
    calls.push(
      isRecord(value)
        ? wholeCall(tool, value)
        : malformedCall(tool, body, "expected tagged arguments"),
    );
  }
}

const maxTreeDepth = 50;

/** A value of M3: text, or prefixed tags, each closed by its own name. Undefined when they do not close. */
function readTree(text: string, schema: unknown, depth: number): unknown {
  const children: Tag[] = [];
  const open = `${m3Prefix}<`;
  let at = text.indexOf(open);
  const isObject = isRecord(schema) && schema.type === "object" && isRecord(schema.properties);
  if (at < 0) return isObject && text.trim() === "" ? {} : toTypedValue(text, schema);
  if (depth === 0 || text.slice(0, at).trim() !== "") return undefined;
  while (at >= 0 && at < text.length) {
    const name = /^[^\s<>/]+(?=>)/.exec(
      text.slice(at + open.length, at + open.length + maxNameChars),
    )?.[0];
    if (name === undefined) return undefined;
    const start = at + open.length + name.length + 1;
    const end = closingTag(text, name, start);
    if (end < 0) return undefined;
    children.push([name, text.slice(start, end)]);
    at = end + `${open}/${name}>`.length;
    const gap = /^\s*/.exec(text.slice(at))?.[0].length ?? 0;
    at += gap;
    if (at < text.length && !text.startsWith(open, at)) return undefined;
  }
  return assemble(children, schema, depth);
}

function assemble(children: readonly Tag[], schema: unknown, depth: number): unknown {
  const { properties, items } = isRecord(schema) ? schema : {};
  const isList = children.every(([name]) => name === "item") && !isRecord(properties);
  const values = children.map(([name, raw]) => {
    const inner = isList ? items : isRecord(properties) ? properties[name] : undefined;
    return [name, readTree(raw, inner, depth - 1)] as const;
  });
  if (values.some(([, value]) => value === undefined)) return undefined;
  return isList ? values.map(([, value]) => value) : Object.fromEntries(values);
}

/** Where the tag of this name closes that was opened before `from`; tags of one name may nest. */
function closingTag(text: string, name: string, from: number): number {
  const open = `${m3Prefix}<${name}>`;
  const close = `${m3Prefix}</${name}>`;
  for (let depth = 1, at = from; ;) {
    const end = text.indexOf(close, at);
    if (end < 0) return -1;
    const inner = text.indexOf(open, at);
    const isInner = inner >= 0 && inner < end;
    depth += isInner ? 1 : -1;
    if (depth === 0) return end;
    at = isInner ? inner + open.length : end + close.length;
  }
}

/** What may stand in `<tool_call>` besides JSON: which reader it is for. */
export function* readInToolCall(cursor: Cursor, tools: KnownTools): Reading<Calls> {
  const close = "</tool_call>";
  const start = yield* nextOf(cursor, ["<function=", "<invoke name=", m3Prefix]);
  if (start === "<invoke name=") return yield* readInvokes(cursor, close, tools);
  if (start === m3Prefix) return yield* readMiniMaxM3(cursor, tools);
  if (start === undefined) return yield* readGlm(cursor, tools);
  const calls = yield* readFunctions(cursor, tools);
  if (calls === undefined) return undefined;
  yield* skip(cursor, space);
  const isTruncated = calls.at(-1)?.problem?.startsWith("truncated") ?? false;
  if (isTruncated || (yield* take(cursor, close))) return calls;
  if (!takeEnd(cursor, close)) return undefined;
  const last = calls.at(-1) as TextCall;
  const tool = tools.find(last.name) as KnownTool;
  return [...calls.slice(0, -1), truncatedCall(tool, last.arguments)];
}
