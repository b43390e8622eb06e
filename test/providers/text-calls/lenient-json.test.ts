import { describe, expect, test } from "bun:test";
import { parseLenientJson } from "../../../src/providers/text-calls/lenient-json.ts";

describe("JSON with only one possible reading is mended:", () => {
  const readings: readonly (readonly [string, string, unknown])[] = [
    ["valid as it is", '{"a": [1, 2.5e3, null, true, "x"]}', { a: [1, 2500, null, true, "x"] }],
    ["trailing commas", '{"a": [1, 2,], "b": {},}', { a: [1, 2], b: {} }],
    ["single quotes", "{'a': 'say \"hi\"', 'b': 'it\\'s'}", { a: 'say "hi"', b: "it's" }],
    ["Python's words", "{'a': True, 'b': False, 'c': None}", { a: true, b: false, c: null }],
    ["line ends in strings", '{"a": "1\n\t2\r\n"}', { a: "1\n\t2\r\n" }],
    ["brackets missing at the end", '{"a": {"b": [1, {"c": "d"', { a: { b: [1, { c: "d" }] } }],
    ["a key that objects have already", '{"__proto__": 1,}', JSON.parse('{"__proto__": 1}')],
  ];
  test.each(readings)("%s", (_name, text, value) => {
    expect(parseLenientJson(text)).toEqual({ ok: true, value });
  });
});

describe("where several readings are possible the position is told:", () => {
  const refusals: readonly (readonly [string, string, number])[] = [
    ["an unescaped quote", '{"a": "say "hi""}', 13],
    ["a string that never ends", '{"a": "b', 7],
    ["a bare word", '{"a": b}', 7],
    ["a bare key", "{a: 1}", 2],
    ["a missing comma", '{"a": 1 "b": 2}', 9],
    ["a missing value", '{"a": }', 7],
    ["nothing", "", 1],
    ["an opened bracket and no more", '{"a": [', 8],
    ["text behind", '{"a": 1} b', 10],
    ["a number that goes on", '{"a": 1.2.3}', 7],
    ["an escape that is none", '{"a": "\\q", "b": 1,}', 8],
    ["an apostrophe in single quotes", "{'a': 'it's'}", 11],
  ];
  test.each(refusals)("%s", (_name, text, position) => {
    expect(parseLenientJson(text)).toMatchObject({ ok: false, position });
  });
  test("nesting too deep for the stack", () => {
    expect(parseLenientJson(`${"[".repeat(100_000)},`)).toMatchObject({ ok: false });
  });
});
