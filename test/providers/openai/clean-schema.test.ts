import { describe, expect, test } from "bun:test";
import { toToolSchemas } from "../../../src/engine/tool-schemas.ts";
import { cleanSchema, cleanToolSchemas } from "../../../src/providers/openai/clean-schema.ts";
import { createBuiltinTools } from "../../../src/tools/index.ts";

describe("a schema for a grammar compiler", () => {
  test("loses patterns, formats, lookaheads and bounds, at any depth", () => {
    const schema = {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: {
        when: { type: "string", format: "date-time", pattern: "^(?=.*\\d)\\d{4}$", minLength: 1 },
        many: { type: "array", maxItems: 5000, items: { type: "string", pattern: "\\S" } },
        either: { anyOf: [{ type: "integer", minimum: -9007199254740991 }, { type: "null" }] },
      },
      required: ["when"],
      not: {},
    };
    expect(cleanSchema(schema)).toEqual({
      type: "object",
      properties: {
        when: { type: "string" },
        many: { type: "array", items: { type: "string" } },
        either: { anyOf: [{ type: "integer" }, { type: "null" }] },
      },
      required: ["when"],
    });
  });
  test("keeps arguments that are called like keywords", () => {
    const schema = {
      type: "object",
      properties: { pattern: { type: "string" }, format: { enum: ["md", "json"] } },
    };
    expect(cleanSchema(schema)).toEqual(schema);
  });
  test("has its references replaced by what they name, with what stands beside them", () => {
    const schema = {
      type: "object",
      properties: { at: { $ref: "#/$defs/a~1point", description: "where" } },
      $defs: {
        "a/point": { type: "object", properties: { x: { $ref: "#/$defs/n" } } },
        n: { type: "number" },
      },
    };
    expect(cleanSchema(schema)).toEqual({
      type: "object",
      properties: {
        at: { type: "object", properties: { x: { type: "number" } }, description: "where" },
      },
    });
  });
  test("ends a reference inside itself", () => {
    const node = {
      type: "object",
      properties: { left: { $ref: "#/$defs/node" }, right: { $ref: "#/$defs/node" } },
    };
    const cleaned = cleanSchema({ $ref: "#/$defs/node", $defs: { node } });
    expect(cleaned).toEqual({
      type: "object",
      properties: { left: { type: "object" }, right: { type: "object" } },
    });
  });
  test("takes anything where nothing was said, or the reference leads nowhere", () => {
    const cleaned = cleanSchema({
      type: "object",
      properties: { any: { description: "whatever" }, lost: { $ref: "other.json#/x" } },
    });
    const anyType = ["string", "number", "boolean", "object", "array", "null"];
    expect(cleaned.properties).toEqual({
      any: { description: "whatever", type: anyType },
      lost: { type: anyType },
    });
  });
  test("of the built-in tools is what it was: they have nothing to lose", () => {
    const tools = toToolSchemas(
      createBuiltinTools({
        environment: {},
        toolPath: "",
        cacheDirectory: "/nonexistent",
        searxngUrl: undefined,
        allowHosts: [],
      }),
    );
    expect(JSON.stringify(cleanToolSchemas(tools))).toBe(JSON.stringify(tools));
  });
});
