import { describe, expect, test } from "bun:test";
import { cutMiddle, fairShareBytes } from "../../src/engine/fit-texts.ts";

describe("fairShareBytes", () => {
  test("short texts stay whole and leave their room to the long ones", () => {
    expect(fairShareBytes([10, 1000, 20, 1000], 1030)).toBe(500);
  });
  test("nothing is cut when all fits", () => {
    expect(fairShareBytes([10, 20], 30)).toBe(Infinity);
    expect(fairShareBytes([], 0)).toBe(Infinity);
  });
  test("no room is a share of nothing, never a negative one", () => {
    expect(fairShareBytes([10, 20], 0)).toBe(0);
    expect(fairShareBytes([10], -100)).toBe(0);
  });
  test("cut to the share, the texts always fit", () => {
    for (let round = 0; round < 200; round++) {
      const sizes = Array.from(
        { length: 1 + (round % 9) },
        (_, i) => ((round + 7) * (i + 3) * 31) % 997,
      );
      const room = (round * 131) % 3000;
      const share = fairShareBytes(sizes, room);
      const total = sizes.reduce((sum, size) => sum + Math.min(size, share), 0);
      expect(total).toBeLessThanOrEqual(room);
    }
  });
});

describe("cutMiddle", () => {
  const note = (chars: number) => `<${chars}>`;
  test("what fits comes back as it is", () => {
    expect(cutMiddle("abc", 3, note)).toBe("abc");
    expect(cutMiddle("abc", Infinity, note)).toBe("abc");
  });
  test("head and tail stay, the note says how much is missing", () => {
    expect(cutMiddle("0123456789", 5, note)).toBe("012<5>89");
    expect(cutMiddle("0123456789", 0, note)).toBe("<10>");
  });
  test("sizes are bytes, and no character is cut in two", () => {
    const cut = cutMiddle("😀".repeat(100), 50, note);
    expect(cut.isWellFormed()).toBe(true);
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(60);
  });
});
