// Notations whose arguments are JSON: Hermes and Qwen, Mistral, Kimi, DeepSeek, Llama, MiniMax's old
// [TOOL_CALL], and the bare or fenced object of Qwen2.5-Coder. Each reader starts on its opening tag and
// gives the calls, or undefined when it was none; a `Reading` decides nothing before it is certain.
import {
  find,
  isNext,
  peek,
  skip,
  space,
  take,
  takeEnd,
  takeJson,
  takeWord,
  type Cursor,
  type Reading,
} from "./cursor.ts";
import { isRecord, type KnownTool, type KnownTools } from "./known-tools.ts";
import { parseLenientJson } from "./lenient-json.ts";
import {
  callFromJson,
  callFromObject,
  callFromParsed,
  malformedCall,
  namedIn,
  truncatedCall,
  wholeCall,
  type TextCall,
} from "./text-call.ts";
import { fitsSchema } from "./typed-value.ts";

export type Calls = readonly TextCall[] | undefined;

const maxNameChars = 200;

/** Objects, or lists of them, up to `close`; one closing bracket too many is no matter. */
export function* readJsonUntil(cursor: Cursor, close: string, tools: KnownTools): Reading<Calls> {
  const calls: TextCall[] = [];
  for (;;) {
    yield* skip(cursor, space);
    if (calls.length > 0 && (yield* take(cursor, close))) return calls;
    const char = yield* peek(cursor);
    if (char === "{" || char === "[") {
      const read = yield* readOneJson(cursor, [close], tools);
      if (read === undefined) return undefined;
      calls.push(...read.calls);
      if (read.isTruncated) return calls;
      yield* skip(cursor, " \t\r\n}");
    } else if (calls.length > 0 && takeEnd(cursor, close)) return calls.map(asTruncated(tools));
    else return undefined;
  }
}

interface ReadJson {
  readonly calls: readonly TextCall[];
  readonly isTruncated: boolean;
}

function* readOneJson(
  cursor: Cursor,
  closers: readonly string[],
  tools: KnownTools,
): Reading<ReadJson | undefined> {
  const start = cursor.pos;
  const hasKnownHead = yield* readHead(cursor, tools);
  cursor.pos = start;
  if (!hasKnownHead) return undefined;
  const span = yield* takeJson(cursor, closers);
  if (span.kind === "ended") {
    const written = cursor.text.slice(start);
    const tool = namedIn(written, tools);
    return tool && { calls: [truncatedCall(tool, written)], isTruncated: true };
  }
  const calls = callsIn(span.text, tools);
  return calls && { calls, isTruncated: false };
}

/** False as soon as an object's first key is no key of a call, or names no known tool. */
function* readHead(cursor: Cursor, tools: KnownTools): Reading<boolean> {
  yield* take(cursor, "[");
  yield* skip(cursor, space);
  if (!(yield* take(cursor, "{"))) return false;
  yield* skip(cursor, space);
  const quote = yield* peek(cursor);
  if (quote !== '"' && quote !== "'") return false;
  cursor.pos += 1;
  const key = yield* takeWord(cursor, quote, 12);
  if (key === undefined || !callKeys.has(key)) return false;
  if (key !== "name" && key !== "tool") return true;
  yield* skip(cursor, space);
  if (!(yield* take(cursor, ":"))) return false;
  yield* skip(cursor, space);
  const valueQuote = yield* peek(cursor);
  if (valueQuote !== '"' && valueQuote !== "'") return false;
  cursor.pos += 1;
  const name = yield* takeWord(cursor, valueQuote, maxNameChars);
  return name !== undefined && tools.find(name) !== undefined;
}

const callKeys = new Set([
  "name",
  "arguments",
  "parameters",
  "args",
  "function",
  "tool",
  "id",
  "type",
]);

/** Every item of a list must be a call of a known tool. */
function callsIn(text: string, tools: KnownTools): Calls {
  if (!text.startsWith("[")) {
    const call = callFromObject(text, tools);
    return call && [call];
  }
  const read = parseLenientJson(text);
  if (!read.ok || !Array.isArray(read.value)) {
    const tool = namedIn(text, tools);
    return tool && [malformedCall(tool, text, "the list of calls is not valid JSON")];
  }
  const calls = read.value.map((item) =>
    callFromParsed(item, { written: JSON.stringify(item), tools }),
  );
  return calls.length > 0 && calls.every((call) => call !== undefined) ? calls : undefined;
}

function asTruncated(tools: KnownTools): (call: TextCall) => TextCall {
  return (call) => truncatedCall(tools.find(call.name) as KnownTool, call.arguments);
}

/** `[TOOL_CALLS][{…}]`, `[TOOL_CALLS]NAME[ARGS]{…}`, also with [CALL_ID]. */
export function* readMistral(cursor: Cursor, tools: KnownTools): Reading<Calls> {
  cursor.pos += "[TOOL_CALLS]".length;
  yield* skip(cursor, space);
  const char = yield* peek(cursor);
  if (char === "[" || char === "{") return (yield* readOneJson(cursor, [], tools))?.calls;
  const head = yield* takeWord(cursor, "[ARGS]", maxNameChars);
  const [name = "", id] = head?.split("[CALL_ID]") ?? [];
  const tool = tools.find(name);
  return tool && (yield* readArguments(cursor, { tool, id, close: "" }));
}

/** The arguments of one call and, unless it is "", its closing tag. */
function* readArguments(
  cursor: Cursor,
  {
    tool,
    id,
    close,
  }: { readonly tool: KnownTool; readonly id?: string | undefined; readonly close: string },
): Reading<Calls> {
  const start = cursor.pos;
  yield* skip(cursor, space);
  if ((yield* peek(cursor)) === "{") {
    const span = yield* takeJson(cursor, close === "" ? [] : [close]);
    if (span.kind === "ended") return [truncatedCall(tool, cursor.text.slice(start))];
    yield* skip(cursor, close === "" ? "" : " \t\r\n}`");
    if (yield* take(cursor, close)) return [callFromJson(tool, span.text, id)];
  }
  const at = close === "" ? -1 : yield* find(cursor, [close]);
  if (at < 0) {
    if (close === "" && (yield* peek(cursor)) !== "") return undefined;
    cursor.pos = cursor.text.length;
    return [truncatedCall(tool, cursor.text.slice(start))];
  }
  const written = cursor.text.slice(start, at).trim();
  cursor.pos = at + close.length;
  return [callFromJson(tool, written, id)];
}

const kimi = {
  sectionBegin: "<|tool_calls_section_begin|>",
  sectionEnd: "<|tool_calls_section_end|>",
  begin: "<|tool_call_begin|>",
  argument: "<|tool_call_argument_begin|>",
  end: "<|tool_call_end|>",
} as const;

/** A section of calls `functions.NAME:IDX`, which are their ids; the section's own tags may be missing. */
export function* readKimi(cursor: Cursor, tools: KnownTools): Reading<Calls> {
  yield* take(cursor, kimi.sectionBegin);
  return yield* readEach(cursor, { ...kimi, tools }, function* () {
    const id = (yield* takeWord(cursor, kimi.argument, maxNameChars))?.trim();
    const tool = id === undefined ? undefined : tools.find(id);
    return tool && (yield* readArguments(cursor, { tool, id, close: kimi.end }));
  });
}

const deepSeek = {
  sectionBegin: "<｜tool▁calls▁begin｜>",
  sectionEnd: "<｜tool▁calls▁end｜>",
  begin: "<｜tool▁call▁begin｜>",
  separator: "<｜tool▁sep｜>",
  end: "<｜tool▁call▁end｜>",
} as const;

/** `NAME<sep>{…}` (V3.1), or `function<sep>NAME` and a fenced object (V3, R1). */
export function* readDeepSeek(cursor: Cursor, tools: KnownTools): Reading<Calls> {
  yield* take(cursor, deepSeek.sectionBegin);
  return yield* readEach(cursor, { ...deepSeek, tools }, function* () {
    const word = (yield* takeWord(cursor, deepSeek.separator, maxNameChars))?.trim();
    if (word === undefined) return undefined;
    const name = word === "function" ? yield* takeWord(cursor, "\n", maxNameChars) : word;
    const tool = name === undefined ? undefined : tools.find(name);
    if (tool === undefined) return undefined;
    yield* skip(cursor, space);
    if (yield* take(cursor, "```")) yield* takeWord(cursor, "\n", 12);
    return yield* readArguments(cursor, { tool, close: deepSeek.end });
  });
}

/** Calls between their begin tags up to the section's end, which may be missing. */
function* readEach(
  cursor: Cursor,
  tags: { readonly begin: string; readonly sectionEnd: string; readonly tools: KnownTools },
  readCall: () => Reading<Calls>,
): Reading<Calls> {
  const calls: TextCall[] = [];
  for (;;) {
    const behind = cursor.pos;
    yield* skip(cursor, space);
    if (yield* take(cursor, tags.begin)) {
      const read = yield* readCall();
      if (read === undefined) return undefined;
      calls.push(...read);
      continue;
    }
    if (calls.length === 0) return undefined;
    if (!(yield* take(cursor, tags.sectionEnd))) cursor.pos = behind;
    return calls;
  }
}

/** `<|python_tag|>` and objects with a semicolon between; the answer's end closes them. */
export function* readLlama(cursor: Cursor, tools: KnownTools): Reading<Calls> {
  cursor.pos += "<|python_tag|>".length;
  const calls: TextCall[] = [];
  for (;;) {
    yield* skip(cursor, space);
    if ((yield* peek(cursor)) !== "{") return undefined;
    const read = yield* readOneJson(cursor, [], tools);
    if (read === undefined) return undefined;
    calls.push(...read.calls);
    const behind = cursor.pos;
    yield* skip(cursor, space);
    if (yield* take(cursor, ";")) continue;
    cursor.pos = behind;
    return calls;
  }
}

/** `[TOOL_CALL]{tool => "NAME", args => {--key "value"}}[/TOOL_CALL]`, or JSON in the same brackets. */
export function* readOldMiniMax(cursor: Cursor, tools: KnownTools): Reading<Calls> {
  const close = "[/TOOL_CALL]";
  cursor.pos += "[TOOL_CALL]".length;
  const start = cursor.pos;
  yield* skip(cursor, space);
  if (!(yield* take(cursor, "{"))) return undefined;
  yield* skip(cursor, space);
  if (!(yield* take(cursor, "tool"))) {
    cursor.pos = start;
    return yield* readJsonUntil(cursor, close, tools);
  }
  const end = yield* find(cursor, [close]);
  const body = cursor.text.slice(start, end < 0 ? undefined : end);
  const head = /^\s*\{\s*tool\s*=>\s*["']([^"']+)["']\s*,?\s*/.exec(body);
  const tool = tools.find(head?.[1] ?? "");
  if (head === null || tool === undefined) return undefined;
  cursor.pos = end < 0 ? cursor.text.length : end + close.length;
  if (end < 0) return [truncatedCall(tool, body)];
  const args = /^args\s*=>\s*\{([\s\S]*)\}\s*\}\s*$/.exec(body.slice(head[0].length))?.[1];
  const values = args === undefined ? undefined : readOptions(args, tool);
  if (values === undefined) return [malformedCall(tool, body, "expected args => {--key value}")];
  return [wholeCall(tool, values)];
}

/** `--key "value" --other 5`; undefined when that is not all of it. */
function readOptions(text: string, tool: KnownTool): Readonly<Record<string, unknown>> | undefined {
  const option = /\s*--([\w-]+)\s+("[\s\S]*?"|[^\s"][^\n]*?),?(?=\s*(?:--[\w-]+\s|$))/y;
  const entries: [string, unknown][] = [];
  let end = 0;
  for (let found = option.exec(text); found !== null; found = option.exec(text)) {
    const [, key = "", raw = ""] = found;
    const read = parseLenientJson(raw);
    const schema = tool.properties[key];
    const quoted = /^"([\s\S]*)"$/.exec(raw)?.[1];
    const value = read.ok && fitsSchema(read.value, schema) ? read.value : (quoted ?? raw);
    entries.push([key, value]);
    end = option.lastIndex;
  }
  return text.slice(end).trim() === "" ? Object.fromEntries(entries) : undefined;
}

/** The whole rest of the answer, bare objects or fenced ones; strict JSON with fitting arguments only. */
export function* readBareJson(cursor: Cursor, tools: KnownTools): Reading<Calls> {
  const calls: TextCall[] = [];
  for (;;) {
    yield* skip(cursor, space);
    if ((yield* peek(cursor)) === "") return calls.length === 0 ? undefined : calls;
    const isFenced = yield* take(cursor, "```");
    if (isFenced) {
      const language = yield* takeWord(cursor, "\n", 12);
      if (language === undefined || !fenceLanguages.has(language.trim())) return undefined;
      yield* skip(cursor, space);
    }
    const start = cursor.pos;
    const isObject = yield* isNext(cursor, "{");
    const hasKnownHead = isObject && (yield* readHead(cursor, tools));
    cursor.pos = start;
    const span = hasKnownHead ? yield* takeJson(cursor, []) : undefined;
    const call = span?.kind === "whole" ? fittingCall(span.text, tools) : undefined;
    if (call === undefined) return undefined;
    calls.push(call);
    if (!isFenced) continue;
    yield* skip(cursor, space);
    if (!(yield* take(cursor, "```"))) return undefined;
  }
}

const fenceLanguages = new Set(["", "json", "tool_call", "tool_calls"]);

function fittingCall(text: string, tools: KnownTools): TextCall | undefined {
  const value = parseStrict(text);
  if (!isRecord(value) || Object.keys(value).some((key) => !bareKeys.has(key))) return undefined;
  if (!Object.keys(value).some((key) => key === "arguments" || key === "parameters"))
    return undefined;
  const call = callFromParsed(value, { written: text, tools });
  const tool = call && tools.find(call.name);
  if (call === undefined || tool === undefined || call.problem !== undefined) return undefined;
  const { properties, required } = tool;
  const fits = fitsSchema(JSON.parse(call.arguments), { type: "object", properties, required });
  return fits ? call : undefined;
}

const bareKeys = new Set(["name", "arguments", "parameters", "type", "id"]);

function parseStrict(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
