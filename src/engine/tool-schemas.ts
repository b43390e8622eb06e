// The tools as the model sees them. The list is sorted and made once, so that every request of every session carries
// the same bytes.
import * as z from "zod";
import type { ToolSchema } from "../providers/provider.ts";
import type { Tool } from "../tools/tool.ts";

/** By the list they were made of: a daemon makes them once for all its turns. */
const made = new WeakMap<readonly Tool[], readonly ToolSchema[]>();

/** JSON schemas of the tools, sorted by name; keywords that only cost prompt are left out. */
export function toToolSchemas(tools: readonly Tool[]): readonly ToolSchema[] {
  const known = made.get(tools) ?? makeSchemas(tools);
  made.set(tools, known);
  return known;
}

function makeSchemas(tools: readonly Tool[]): readonly ToolSchema[] {
  return tools
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((tool) => ({
      type: "function",
      function: {
        name: tool.name,
        description: tool.description,
        parameters: lean(z.toJSONSchema(tool.parameters, { io: "input" })),
      },
    }));
}

/**
 * Bounds of integers and `additionalProperties` say nothing to a model, and some servers' grammar compilers
 * stumble over them (contracts/text-tool-calls.md, "What local servers do to requests").
 */
const droppedKeywords = new Set([
  "$schema",
  "additionalProperties",
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "minLength",
  "minItems",
  "pattern",
  "format",
  "default",
]);

function lean(schema: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([key]) => !droppedKeywords.has(key))
      .map(([key, value]) => [key, leanValue(key, value)]),
  );
}

function leanValue(key: string, value: unknown): unknown {
  // The keys below `properties` are names of arguments, not keywords.
  if (key === "properties" && isObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([name, property]) => [
        name,
        isObject(property) ? lean(property) : property,
      ]),
    );
  }
  if (Array.isArray(value)) return value.map((item) => (isObject(item) ? lean(item) : item));
  return isObject(value) ? lean(value) : value;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
