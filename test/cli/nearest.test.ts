import { expect, test } from "bun:test";
import { nearestName } from "../../src/cli/nearest.ts";

const commands = ["do", "demo", "status", "models", "sessions", "config", "completions"];

const cases: readonly (readonly [typed: string, meant: string | undefined])[] = [
  ["stauts", "status"],
  ["STATUS", "status"],
  ["model", "models"],
  ["ses", "sessions"],
  ["completion", "completions"],
  ["dmeo", "demo"],
  ["go", "do"],
  ["add", undefined],
  ["conf", "config"],
  ["dome", "demo"],
  ["x", undefined],
  ["refactor", undefined],
  ["", undefined],
];
for (const [typed, meant] of cases) {
  test(`"${typed}" ${meant === undefined ? "resembles nothing" : `probably meant ${meant}`}`, () => {
    expect(nearestName(typed, commands)).toBe(meant);
  });
}

test("nothing is known, nothing is near", () => {
  expect(nearestName("status", [])).toBeUndefined();
});
