import { describe, expect, test } from "bun:test";
import { createSseParser, type SseEvent } from "../../src/base/sse.ts";

const encoder = new TextEncoder();

function parse(...chunks: readonly Uint8Array[]): readonly SseEvent[] {
  const events: SseEvent[] = [];
  const parser = createSseParser((event) => events.push(event));
  for (const chunk of chunks) parser.push(chunk);
  return events;
}

const parseText = (text: string) => parse(encoder.encode(text));
const message = (data: string): SseEvent => ({ event: "message", data });

describe("the SSE parser (row 22)", () => {
  const cases: readonly (readonly [string, string, readonly SseEvent[]])[] = [
    ["LF", "data: a\n\ndata: b\n\n", [message("a"), message("b")]],
    ["CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", [message("a"), message("b")]],
    ["CR", "data: a\r\rdata: b\r\r", [message("a"), message("b")]],
    ["comments", ": keepalive\n\n:\ndata: a\n\n", [message("a")]],
    ["data without the space", "data:a\n\n", [message("a")]],
    ["only one space as separator", "data:  a\n\n", [message(" a")]],
    ["event names", "event: x\ndata: a\n\ndata: b\n\n", [{ event: "x", data: "a" }, message("b")]],
    ["data over several lines", "data: a\ndata:\ndata: b\n\n", [message("a\n\nb")]],
    ["unknown fields", "id: 7\nretry: 1\nfoo\ndata: a\n\n", [message("a")]],
    ["a byte order mark", "\uFEFFdata: a\n\n", [message("a")]],
    ["an event without data", "event: x\n\ndata: a\n\n", [message("a")]],
    ["empty data", "data\n\n", [message("")]],
    ["an event that the end cuts short", "data: a\n\ndata: b\n", [message("a")]],
    ["colons in the data", 'data: {"a":1}\n\n', [message('{"a":1}')]],
  ];
  test.each(cases)("understands %s", (_name, text, expected) => {
    expect(parseText(text)).toEqual([...expected]);
  });

  test("gives the same events wherever the bytes are cut", () => {
    const text =
      ": ping\r\n\r\nevent: e\r\ndata: grüße 🙂\r\ndata:zwei\r\n\r\ndata: b\n\ndata: c\r\r";
    const bytes = encoder.encode(text);
    const whole = parse(bytes);
    expect(whole.map(({ data }) => data)).toEqual(["grüße 🙂\nzwei", "b", "c"]);
    for (let first = 0; first <= bytes.length; first += 1) {
      for (const length of [1, 3]) {
        const parts = [
          bytes.slice(0, first),
          bytes.slice(first, first + length),
          bytes.slice(first + length),
        ];
        expect(parse(...parts)).toEqual([...whole]);
      }
    }
    expect(parse(...Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual([...whole]);
  });

  test("refuses an event without end", () => {
    const parser = createSseParser(() => undefined, { maxEventChars: 100 });
    parser.push(encoder.encode(`data: ${"x".repeat(50)}`));
    expect(() => parser.push(encoder.encode("x".repeat(60)))).toThrow(RangeError);
    const lines = createSseParser(() => undefined, { maxEventChars: 100 });
    expect(() => lines.push(encoder.encode(`data: ${"x".repeat(40)}\n`.repeat(3)))).toThrow(
      RangeError,
    );
  });
});
