// Tool schemas for servers that compile them into grammars: llama.cpp and its kin refuse the whole request for
// one `pattern` without anchors, one `format`, one `$ref` they do not follow (ggml-org/llama.cpp issues 19051,
// 26930, 17574). What is left out is still checked: by the engine, against the tool's own parameters.
import type { ToolSchema } from "../provider.ts";
import { isRecord } from "../lmx/http-errors.ts";

/** Keywords that every grammar compiler knows; all others are dropped. */
const keptKeywords = new Set([
  "type",
  "description",
  "title",
  "properties",
  "required",
  "additionalProperties",
  "items",
  "prefixItems",
  "enum",
  "const",
  "anyOf",
  "oneOf",
  "allOf",
  "default",
]);

/** Deeper than any argument list is meant to be; a reference inside itself ends sooner. */
const maxDepth = 12;

const anyType = ["string", "number", "boolean", "object", "array", "null"];

/** The same tools in the same order, with schemas that any compiler takes. Pure, and stable byte for byte. */
export function cleanToolSchemas(tools: readonly ToolSchema[]): readonly ToolSchema[] {
  return tools.map((tool) => ({
    type: "function",
    function: { ...tool.function, parameters: cleanSchema(tool.function.parameters) },
  }));
}

/** One schema; `$ref` to its own definitions is replaced by what it names. */
export function cleanSchema(
  root: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const open: string[] = [];
  const clean = (schema: unknown, depth: number): Record<string, unknown> => {
    if (!isRecord(schema) || depth > maxDepth) return { type: "object" };
    const { $ref: reference, ...own } = schema;
    if (typeof reference === "string") {
      if (open.includes(reference)) return { type: "object" };
      open.push(reference);
      // What stands beside a reference adds to it: mostly a description.
      const cleaned = clean({ ...resolve(root, reference), ...own }, depth + 1);
      open.pop();
      return cleaned;
    }
    const entries = Object.entries(own).filter(([key]) => keptKeywords.has(key));
    const cleaned = Object.fromEntries(
      entries.map(([key, value]) => [key, cleanValue(key, value, depth)]),
    );
    return saysType(cleaned) ? cleaned : { ...cleaned, type: anyType };
  };
  const cleanValue = (key: string, value: unknown, depth: number): unknown => {
    switch (key) {
      // The keys below `properties` are names of arguments, not keywords.
      case "properties":
        return isRecord(value)
          ? Object.fromEntries(
              Object.entries(value).map(([name, inner]) => [name, clean(inner, depth + 1)]),
            )
          : {};
      case "items":
        return Array.isArray(value)
          ? value.map((inner) => clean(inner, depth + 1))
          : clean(value, depth + 1);
      case "additionalProperties":
        return isRecord(value) ? clean(value, depth + 1) : value;
      case "anyOf":
      case "oneOf":
      case "allOf":
      case "prefixItems":
        return Array.isArray(value) ? value.map((inner) => clean(inner, depth + 1)) : [];
      default:
        return value;
    }
  };
  return clean(root, 0);
}

/** "Unrecognized schema" is what llama.cpp says of one that has only a description. */
function saysType(schema: Readonly<Record<string, unknown>>): boolean {
  return ["type", "enum", "const", "anyOf", "oneOf", "allOf", "properties"].some(
    (key) => key in schema,
  );
}

/** Follows "#/$defs/name"; undefined for what is not in this document. */
function resolve(root: unknown, reference: string): Record<string, unknown> | undefined {
  if (!reference.startsWith("#")) return undefined;
  let value: unknown = root;
  for (const part of reference.slice(1).split("/").slice(1)) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (!isRecord(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return isRecord(value) ? value : undefined;
}
