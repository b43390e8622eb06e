// A tool call that was read from text: whole, or with the reason why it must not run. Also mends the
// arguments of structured calls, which fail in the same ways. Never invents: lost arguments are a problem,
// not `{}` (contracts/text-tool-calls.md rule 4).
import { isRecord, type KnownTool, type KnownTools } from "./known-tools.ts";
import { parseLenientJson } from "./lenient-json.ts";
import { toTypedValue } from "./typed-value.ts";

export interface TextCall {
  readonly name: string;
  /** JSON text; with a problem, what the model wrote. */
  readonly arguments: string;
  /** The notation's own id (Kimi, Mistral), which its template wants back. */
  readonly id?: string | undefined;
  /** Why it must not run, for the model; at most 800 characters. */
  readonly problem?: string;
}

const maxProblemChars = 800;
/** What remains of them names the required fields. */
const maxWhatChars = 400;

export function wholeCall(tool: KnownTool, value: unknown, id?: string): TextCall {
  return { name: tool.name, arguments: JSON.stringify(value), ...(id === undefined ? {} : { id }) };
}

/** A call from tagged values: each is typed by the schema, the last of a repeated name counts. */
export function callFromTags(
  tool: KnownTool,
  tags: readonly (readonly [key: string, raw: string])[],
): TextCall {
  const typed = tags.map(([key, raw]) => [key, toTypedValue(raw, tool.properties[key])] as const);
  return wholeCall(tool, Object.fromEntries(typed));
}

export function truncatedCall(tool: KnownTool, written: string): TextCall {
  const what = `truncated tool call: the answer ended before the call of ${tool.name} was closed`;
  return problemCall(tool, { what, written });
}

export function malformedCall(tool: KnownTool, written: string, what: string): TextCall {
  return problemCall(tool, { what: `the call of ${tool.name} is malformed: ${what}`, written });
}

/** A call from its arguments as JSON text. */
export function callFromJson(tool: KnownTool, text: string, id?: string): TextCall {
  const trimmed = text.trim();
  if (trimmed === "") return wholeCall(tool, {}, id);
  const read = parseLenientJson(trimmed);
  if (!read.ok) return invalidJson(tool, trimmed, read);
  return callFromValue(tool, { value: read.value, written: trimmed, id });
}

function callFromValue(
  tool: KnownTool,
  { value, written, id }: { value: unknown; written: string; id?: string | undefined },
): TextCall {
  if (isRecord(value)) return wholeCall(tool, value, id);
  // Some models write the arguments as a string that holds JSON.
  if (typeof value === "string" && /^\s*(?:\{|$)/.test(value)) return callFromJson(tool, value, id);
  return malformedCall(tool, written, "its arguments are not a JSON object");
}

/**
 * A call from one JSON object with a name and arguments. Undefined when it names no known tool: then it is
 * no call at all.
 */
export function callFromObject(text: string, tools: KnownTools): TextCall | undefined {
  const read = parseLenientJson(text);
  if (!read.ok) {
    const tool = namedIn(text, tools);
    return tool === undefined ? undefined : invalidJson(tool, text, read);
  }
  return callFromParsed(read.value, { written: text, tools });
}

export function callFromParsed(
  value: unknown,
  { written, tools }: { readonly written: string; readonly tools: KnownTools },
): TextCall | undefined {
  if (!isRecord(value)) return undefined;
  const body = isRecord(value.function) ? value.function : value;
  const name = body.name ?? body.function ?? body.tool;
  const tool = typeof name === "string" ? tools.find(name) : undefined;
  if (tool === undefined) return undefined;
  const key = ["arguments", "parameters", "args"].find((name) => Object.hasOwn(body, name));
  const id = typeof value.id === "string" && value.id !== "" ? value.id : undefined;
  if (key !== undefined) {
    return callFromValue(tool, { value: body[key] ?? {}, written, id });
  }
  const others = Object.keys(body).filter(
    (other) => !["name", "function", "tool", "id", "type"].includes(other),
  );
  if (others.length === 0) return wholeCall(tool, {}, id);
  return malformedCall(tool, written, `it has no "arguments" but ${others.slice(0, 5).join(", ")}`);
}

/** The known tool that JSON names which cannot be parsed, or not yet. */
export function namedIn(text: string, tools: KnownTools): KnownTool | undefined {
  const name = /^[\s[]*\{[^{]*?["'](?:name|function|tool)["']\s*:\s*["']([^"']+)["']/.exec(
    text,
  )?.[1];
  return name === undefined ? undefined : tools.find(name);
}

/** For structured calls: the arguments as JSON, mended where only one reading is possible, or the problem. */
export function checkArguments(
  tool: KnownTool,
  written: string,
  { isCut }: { readonly isCut: boolean },
): { readonly arguments: string; readonly problem?: string } {
  try {
    if (isRecord(JSON.parse(written))) return { arguments: written };
  } catch {
    if (isCut) return withoutName(truncatedCall(tool, written));
  }
  return withoutName(callFromJson(tool, written));
}

function withoutName(call: TextCall) {
  const { arguments: json, problem } = call;
  return problem === undefined ? { arguments: json } : { arguments: json, problem };
}

function invalidJson(
  tool: KnownTool,
  written: string,
  { position, problem }: { readonly position: number; readonly problem: string },
): TextCall {
  const near = written.slice(Math.max(0, position - 21), position + 19);
  const what = `the arguments of ${tool.name} are not valid JSON at character ${position} (${problem}), near ${JSON.stringify(near)}`;
  return problemCall(tool, { what, written });
}

function problemCall(
  tool: KnownTool,
  { what, written }: { readonly what: string; readonly written: string },
): TextCall {
  const required = tool.required.length === 0 ? "none" : tool.required.join(", ");
  const text = `${what.slice(0, maxWhatChars)}. Nothing was done; send the whole call again. Required fields: ${required}.`;
  return { name: tool.name, arguments: written, problem: text.slice(0, maxProblemChars) };
}
