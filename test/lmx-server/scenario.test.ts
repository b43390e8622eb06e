import { expect, test } from "bun:test";
import { OptaError } from "../../src/protocol/error.ts";
import { parseScenario } from "../../src/lmx-server/scenario.ts";

test("everything but the turns has a default", () => {
  const scenario = parseScenario({ turns: [{ text: "Hi" }] });
  expect(scenario.models).toEqual([
    {
      id: "scripted",
      state: "loaded",
      sizeGb: 4,
      contextLength: 32_768,
      readiness: "routable",
      loadMs: 0,
      downloadMs: 0,
    },
  ]);
  expect(scenario.turns[0]).toMatchObject({ chunks: "words", expect: [], toolCalls: [] });
  expect(scenario.server).toEqual({ webSocket: true, downloads: false, routes: [] });
});

for (const [what, scenario, place] of [
  ["an unknown field", { turns: [{ txt: "Hi" }] }, "turns[0]"],
  ["an unknown fault", { turns: [{ fault: { kind: "explode" } }] }, "turns[0].fault.kind"],
  ["a negative delay", { turns: [{ delays: { firstTokenMs: -1 } }] }, "firstTokenMs"],
  ["no turns", {}, "turns"],
  ["a list", [], "expected object"],
] as const)
  test(`a scenario with ${what} is refused with its place`, () => {
    try {
      parseScenario(scenario);
    } catch (error) {
      expect(error).toBeInstanceOf(OptaError);
      expect(error).toMatchObject({ code: "config-invalid" });
      expect(String(error)).toContain(place);
      return;
    }
    throw new Error("it was accepted");
  });

test("the example of the documentation is valid", async () => {
  const source = await Bun.file(
    new URL("../../src/lmx-server/scenario.ts", import.meta.url),
  ).text();
  const comment = /\n \* (\{\n[\s\S]*?\n \* \})\n/.exec(source)?.[1] ?? "";
  const example: unknown = JSON.parse(comment.replace(/^ \* ?/gm, ""));
  expect(parseScenario(example).turns.length).toBeGreaterThan(5);
});
