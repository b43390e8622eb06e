import { expect, test } from "bun:test";
import { createRepetitionWatch } from "../../src/engine/repetition.ts";

const call = (path: string, id = "c") => ({
  id,
  name: "read_file",
  arguments: `{"path":"${path}"}`,
});

test("three equal steps in a row are a circle, whatever the ids", () => {
  const watch = createRepetitionWatch();
  expect(watch.note([call("a", "1")], ["x"])).toBe(false);
  expect(watch.note([call("a", "2")], ["x"])).toBe(false);
  expect(watch.note([call("a", "3")], ["x"])).toBe(true);
});

test("another argument, another result or a step in between starts the count anew", () => {
  const watch = createRepetitionWatch();
  const steps = [
    ["a", "x"],
    ["a", "x"],
    ["b", "x"],
    ["a", "x"],
    ["a", "x"],
    ["a", "y"],
    ["a", "y"],
  ];
  for (const [path = "", result = ""] of steps) {
    expect(watch.note([call(path)], [result])).toBe(false);
  }
  expect(watch.note([call("a")], ["y"])).toBe(true);
});

test("equal calls within one step were written before any result, so they count once", () => {
  const watch = createRepetitionWatch();
  expect(watch.note([call("a"), call("a"), call("a")], ["x", "x", "x"])).toBe(false);
  expect(watch.note([call("a")], ["x"])).toBe(false);
});

test("several calls in another order are still the same step", () => {
  const watch = createRepetitionWatch();
  watch.note([call("a"), call("b")], ["x", "y"]);
  watch.note([call("b"), call("a")], ["y", "x"]);
  expect(watch.note([call("a"), call("b")], ["x", "y"])).toBe(true);
});
