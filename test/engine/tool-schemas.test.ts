import { expect, test } from "bun:test";
import * as z from "zod";
import { toToolSchemas } from "../../src/engine/tool-schemas.ts";
import type { Tool } from "../../src/tools/tool.ts";

const tool = (name: string, parameters: z.ZodType): Tool => ({
  name,
  description: `${name} does it`,
  parameters,
  readOnly: true,
  effects: async () => [],
  run: async () => ({ ok: true, text: "" }),
});

test("tools are sorted by name, whatever order they came in", () => {
  const names = (order: string[]) =>
    toToolSchemas(order.map((name) => tool(name, z.object({})))).map((each) => each.function.name);
  expect(names(["b", "c", "a"])).toEqual(["a", "b", "c"]);
  expect(names(["c", "a", "b"])).toEqual(["a", "b", "c"]);
});

test("keywords that cost prompt and trouble grammar compilers are left out, arguments of those names stay", () => {
  const parameters = z.object({
    pattern: z.string().min(1).describe("a regex"),
    limit: z.number().int().min(1).max(9).optional(),
    edits: z.array(z.object({ path: z.string() })).min(1),
  });
  expect(toToolSchemas([tool("t", parameters)])[0]?.function.parameters).toEqual({
    type: "object",
    properties: {
      pattern: { type: "string", description: "a regex" },
      limit: { type: "integer" },
      edits: {
        type: "array",
        items: { type: "object", properties: { path: { type: "string" } }, required: ["path"] },
      },
    },
    required: ["pattern", "edits"],
  });
});
