import { describe, expect, test } from "bun:test";
import type { ToolCallFragment } from "../../../src/providers/lmx/frames.ts";
import { createToolCallAssembly } from "../../../src/providers/lmx/tool-call-assembly.ts";

function fragment(more: Partial<ToolCallFragment>): ToolCallFragment {
  return { index: null, id: "", name: "", arguments: "", ...more };
}

function assemble(...fragments: readonly Partial<ToolCallFragment>[]) {
  const assembly = createToolCallAssembly();
  for (const piece of fragments) assembly.add(fragment(piece));
  return assembly.calls();
}

describe("tool calls from pieces (row 3)", () => {
  test("a whole call", () => {
    const whole = { index: 0, id: "c1", name: "f", arguments: '{"a":1}' };
    expect(assemble(whole)).toEqual([{ id: "c1", name: "f", arguments: '{"a":1}' }]);
  });
  test("fragments are joined by index, also when they alternate", () => {
    const calls = assemble(
      { index: 0, id: "c1", name: "f", arguments: "" },
      { index: 1, id: "c2", name: "g", arguments: '{"b"' },
      { index: 0, arguments: '{"a":' },
      { index: 1, arguments: ":2}" },
      { index: 0, arguments: "1}" },
    );
    expect(calls).toEqual([
      { id: "c1", name: "f", arguments: '{"a":1}' },
      { id: "c2", name: "g", arguments: '{"b":2}' },
    ]);
  });
  test("without an index they are joined by id", () => {
    const calls = assemble(
      { id: "c1", name: "f", arguments: '{"a"' },
      { id: "c2", name: "g", arguments: "{}" },
      { id: "c1", arguments: ":1}" },
    );
    expect(calls.map((call) => call.arguments)).toEqual(['{"a":1}', "{}"]);
  });
  test("without index and id a named piece is a new call and an unnamed one continues the last", () => {
    const calls = assemble(
      { name: "f", arguments: '{"a"' },
      { arguments: ":1}" },
      { name: "f", arguments: "{}" },
    );
    expect(calls.map((call) => call.arguments)).toEqual(['{"a":1}', "{}"]);
  });
  test("different ids under the same index are different calls", () => {
    const calls = assemble(
      { index: 0, id: "c1", name: "f", arguments: "{}" },
      { index: 0, id: "c2", name: "g", arguments: '{"b"' },
      { index: 0, arguments: ":2}" },
    );
    expect(calls.map((call) => call.arguments)).toEqual(["{}", '{"b":2}']);
  });
  test("the same id under different indexes is two calls, with an id each", () => {
    const calls = assemble(
      { index: 0, id: "c", name: "f", arguments: "{}" },
      { index: 1, id: "c", name: "g", arguments: "{}" },
    );
    expect(calls.map((call) => call.name)).toEqual(["f", "g"]);
    expect(new Set(calls.map((call) => call.id)).size).toBe(2);
  });
  test("a whole call that is sent twice is one call", () => {
    const whole = { index: 0, id: "c1", name: "f", arguments: '{"a":1}' };
    expect(assemble(whole, whole)).toEqual([{ id: "c1", name: "f", arguments: '{"a":1}' }]);
  });
  test("a repeated name is not doubled", () => {
    const calls = assemble(
      { index: 0, id: "c", name: "f", arguments: "{" },
      { index: 0, id: "c", name: "f", arguments: "}" },
    );
    expect(calls).toEqual([{ id: "c", name: "f", arguments: "{}" }]);
  });
  test("no arguments become {} and invalid ones stay as the model wrote them", () => {
    const calls = assemble(
      { index: 0, id: "a", name: "f", arguments: " " },
      { index: 1, id: "b", name: "g", arguments: '{"x"' },
    );
    expect(calls.map((call) => call.arguments)).toEqual(["{}", '{"x"']);
  });
  test("row 4: a missing id is made up, different for each call", () => {
    const [first, second] = assemble({ index: 0, name: "f" }, { index: 1, name: "g" });
    expect(first?.id).toMatch(/^call_.{12}$/);
    expect(second?.id).not.toBe(first?.id);
  });
});
