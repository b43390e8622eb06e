import { describe, expect, test } from "bun:test";
import { toPlainOutput } from "../../src/tools/plain-output.ts";

describe("toPlainOutput", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ["plain text stays", "a\tb\nc", "a\tb\nc"],
    ["CRLF becomes LF", "a\r\nb\r\n", "a\nb\n"],
    ["a redrawn line keeps its last state", "1%\r2%\r3%\n", "3%\n"],
    ["a trailing carriage return does not erase the line", "1%\r2%\r\n", "2%\n"],
    ["lone carriage returns leave an empty line", "\r\r\n", "\n"],
    ["colours go", "\u001b[31mred\u001b[0m", "red"],
    ["titles go", "\u001b]0;evil\u0007text", "text"],
    ["backspaces take back", "ab\bc", "ac"],
    ["overstruck bold is read once", "N\bNA\bA", "NA"],
    ["NUL and bell go", "a\u0000b\u0007", "ab"],
  ];
  for (const [title, raw, plain] of cases)
    test(title, () => expect(toPlainOutput(raw)).toBe(plain));
});
