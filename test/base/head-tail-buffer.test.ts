import { expect, test } from "bun:test";
import { createHeadTailBuffer } from "../../src/base/head-tail-buffer.ts";

test("holds the first and the last bytes of a stream, whatever its chunks", () => {
  for (const total of [0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 100, 257])
    for (const chunk of [1, 3, 7, 8, 9, 64, 300]) {
      const all = Uint8Array.from({ length: total }, (_, index) => index & 255);
      const buffer = createHeadTailBuffer(8);
      for (let at = 0; at < total; at += chunk) buffer.write(all.subarray(at, at + chunk));
      expect(buffer.totalBytes()).toBe(total);
      expect(buffer.head()).toEqual(all.subarray(0, 8));
      expect(buffer.tail()).toEqual(all.subarray(Math.max(Math.min(8, total), total - 8)));
    }
});
