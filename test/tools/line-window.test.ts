import { expect, test } from "bun:test";
import {
  maxLineCharacters,
  readLineWindow,
  type WindowRequest,
} from "../../src/tools/line-window.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const request = (changes: Partial<WindowRequest> = {}): WindowRequest => ({
  firstLine: 1,
  maxLines: 2000,
  maxBytes: 50 * 1024,
  signal: new AbortController().signal,
  ...changes,
});

test("split at every position, the same lines come out", async () => {
  const text = "\uFEFFeins\r\nzwei ü 🙂\n\nlast";
  const bytes = encode(text);
  for (let at = 0; at <= bytes.length; at += 1) {
    const window = await readLineWindow([bytes.subarray(0, at), bytes.subarray(at)], request());
    expect(window.lines).toEqual(["eins", "zwei ü 🙂", "", "last"]);
    expect(window).toMatchObject({ isEnd: true, totalLines: 4 });
  }
});

test("a window in the middle knows what follows", async () => {
  const bytes = encode("1\n2\n3\n4\n5\n");
  const whole = await readLineWindow([bytes], request({ firstLine: 2, maxLines: 2 }));
  expect(whole).toEqual({ lines: ["2", "3"], seenLines: 3, totalLines: 5, isEnd: false });
  const parts = [bytes.subarray(0, 3), bytes.subarray(3, 7), bytes.subarray(7)];
  const stream = await readLineWindow(parts, request({ firstLine: 2, maxLines: 2 }));
  expect(stream).toMatchObject({ lines: ["2", "3"], totalLines: undefined, isEnd: false });
});

test("the last line with and without its end, and no bytes at all", async () => {
  expect(await readLineWindow([encode("a\n")], request())).toMatchObject({
    lines: ["a"],
    isEnd: true,
  });
  expect(await readLineWindow([encode("a")], request())).toMatchObject({
    lines: ["a"],
    isEnd: true,
  });
  expect(await readLineWindow([encode("a\nb")], request({ maxLines: 1 }))).toMatchObject({
    lines: ["a"],
    isEnd: false,
    totalLines: 2,
  });
  expect(await readLineWindow([], request())).toMatchObject({
    lines: [],
    seenLines: 0,
    isEnd: true,
  });
  expect(await readLineWindow([encode("a\n")], request({ firstLine: 9 }))).toMatchObject({
    lines: [],
    seenLines: 1,
  });
});

test("the byte cap holds, but one line is always shown", async () => {
  const bytes = encode(`${"x".repeat(100)}\n`.repeat(100));
  const { lines } = await readLineWindow([bytes], request({ maxBytes: 1000 }));
  expect(lines.length).toBe(9);
  const one = await readLineWindow([bytes], request({ maxBytes: 10 }));
  expect(one.lines.length).toBe(1);
});

test("a long line is cut with a note, between characters", async () => {
  const { lines } = await readLineWindow([encode(`${"ü".repeat(5000)}\nnext\n`)], request());
  expect(lines[0]).toStartWith("ü".repeat(maxLineCharacters));
  expect(lines[0]).toEndWith("... (line cut; 6000 bytes more)");
  expect(lines[1]).toBe("next");
});

test("a line of a gigabyte costs no memory, and a cancel stops the reading", async () => {
  const chunk = new Uint8Array(1024 * 1024).fill(120);
  function* stream(count: number) {
    for (let index = 0; index < count; index += 1) yield chunk;
  }
  const before = process.memoryUsage().rss;
  const { lines } = await readLineWindow(stream(1024), request());
  expect(lines[0]).toEndWith(`(line cut; ${1024 ** 3 - maxLineCharacters} bytes more)`);
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
  const signal = AbortSignal.abort();
  await expect(readLineWindow(stream(1024), request({ signal }))).rejects.toThrow("abort");
});
