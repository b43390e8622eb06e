import { expect, test } from "bun:test";
import { isDeeperThan } from "../../src/base/json-depth.ts";

const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

test("arrays and objects within each other count, beside each other they do not", () => {
  expect(isDeeperThan(nested(5), 5)).toBe(false);
  expect(isDeeperThan(nested(6), 5)).toBe(true);
  expect(isDeeperThan('{"a":[{"b":[]}]}', 4)).toBe(false);
  expect(isDeeperThan('{"a":[{"b":[]}]}', 3)).toBe(true);
  expect(isDeeperThan(`[${Array<string>(1_000).fill("[{}]").join(",")}]`, 3)).toBe(false);
});

test("brackets in strings do not count, whatever is escaped around them", () => {
  const texts = ["[[[[", '\\"[[[[', "\\\\", '\\\\\\"[[[[', "[", "]]]]"];
  for (const text of texts) expect(isDeeperThan(`["${text}",["${text}"]]`, 2)).toBe(false);
  expect(isDeeperThan('["\\\\",[[[]]]]', 3)).toBe(true);
});

test("what is no JSON ends, too", () => {
  expect(isDeeperThan("[".repeat(10_000_000), 100)).toBe(true);
  expect(isDeeperThan(`"${"\\".repeat(1_000_001)}`, 100)).toBe(false);
  expect(isDeeperThan('"[', 0)).toBe(false);
  expect(isDeeperThan("", 0)).toBe(false);
});
