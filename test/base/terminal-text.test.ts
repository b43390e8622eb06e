import { describe, expect, test } from "bun:test";
import {
  createTerminalTextStripper,
  showControls,
  stripTerminalText,
} from "../../src/base/terminal-text.ts";

const [ESC, BEL, ST] = ["\u001b", "\u0007", "\u001b\\"];

const table: readonly (readonly [title: string, text: string, expected: string])[] = [
  ["plain text stays", "a b\tc\nd é 漢字 👩‍💻", "a b\tc\nd é 漢字 👩‍💻"],
  ["colours", `${ESC}[1;31mred${ESC}[0m text`, "red text"],
  ["colon parameters", `a${ESC}[38:2::255:0:0mb`, "ab"],
  ["cursor movement and erasing", `a${ESC}[2J${ESC}[1;1H${ESC}[Kb`, "ab"],
  ["private modes", `a${ESC}[?1049h${ESC}[?25lb`, "ab"],
  ["intermediate bytes", `a${ESC}[2 qb${ESC}[!pc`, "abc"],
  ["a title ended by BEL", `a${ESC}]0;owned${BEL}b`, "ab"],
  ["a title ended by ST", `a${ESC}]2;owned${ST}b`, "ab"],
  ["a hyperlink keeps its text", `${ESC}]8;;http://x${ST}link${ESC}]8;;${ST}!`, "link!"],
  ["the clipboard", `a${ESC}]52;c;cm0gLXJm${BEL}b`, "ab"],
  ["DCS, SOS, PM, APC", `a${ESC}Pq#0${ST}b${ESC}Xx${ST}c${ESC}^x${ST}d${ESC}_Gx${ST}e`, "abcde"],
  ["8-bit CSI", "a\u009b31mb", "ab"],
  ["8-bit OSC with 8-bit ST", "a\u009d0;t\u009cb", "ab"],
  ["8-bit DCS, SOS, PM, APC", "a\u0090x\u009cb\u0098x\u009cc\u009ex\u009cd\u009fx\u009ce", "abcde"],
  ["other C1 characters", "a\u0085b\u0084c\u008dd", "abcd"],
  ["two-character escapes", `a${ESC}cb${ESC}7c${ESC}=d${ESC}Me`, "abcde"],
  ["character sets", `a${ESC}(0b${ESC}#8c`, "abc"],
  ["control characters", "a\u0000b\u0008c\u007fd\u000be\u000cf", "abcdef"],
  ["carriage returns", "a\r\nb\rc", "a\nbc"],
  ["bidirectional overrides", "rm \u202e/ fr\u202c \u2066x\u2069", "rm / fr x"],
  ["marks of right-to-left text stay", "שלום\u200f!", "שלום\u200f!"],
  ["an escape at the end", `a${ESC}`, "a"],
  ["an unfinished sequence", `a${ESC}[12;`, "a"],
  ["a sequence broken off by text of another script", `a${ESC}[1é`, "aé"],
  ["a new escape inside a sequence", `a${ESC}[1${ESC}[2mb`, "ab"],
  ["a new escape inside a string", `a${ESC}]0;t${ESC}[2mb`, "ab"],
  ["CAN and SUB end a string", `a${ESC}]0;t\u0018b${ESC}]0;t\u001ac`, "abc"],
  ["a line feed ends an open string", `a${ESC}]0;hidden\nb`, "a\nb"],
  ["a line feed ends an open CSI", `a${ESC}[1\nb`, "a\nb"],
  ["a tab breaks off an escape and stays", `a${ESC}\tb`, "a\tb"],
  ["nested openers leave nothing", `${ESC}${ESC}[${ESC}]0;${ESC}Pq${BEL}x`, "x"],
];

describe("what remains of a text", () => {
  for (const [title, text, expected] of table) {
    test(title, () => {
      expect(stripTerminalText(text)).toBe(expected);
    });
  }
});

describe("split anywhere, the chunks give the same text", () => {
  for (const [title, text, expected] of table) {
    test(title, () => {
      for (let at = 0; at <= text.length; at++) {
        const stripper = createTerminalTextStripper();
        const joined = stripper.push(text.slice(0, at)) + stripper.push(text.slice(at));
        expect({ at, joined }).toEqual({ at, joined: expected });
      }
      const stripper = createTerminalTextStripper();
      expect(
        text
          .split("")
          .map((unit) => stripper.push(unit))
          .join(""),
      ).toBe(expected);
    });
  }
});

function isControl(character: string): boolean {
  const code = character.charCodeAt(0);
  if (code < 0x20) return character !== "\n" && character !== "\t";
  return (code >= 0x7f && code <= 0x9f) || /[\u202a-\u202e\u2066-\u2069]/.test(character);
}

test("no text whatever leaves a control character, and stripping twice changes nothing", () => {
  const alphabet = [
    ESC,
    BEL,
    "[",
    "]",
    "P",
    "\\",
    ";",
    "1",
    "m",
    " ",
    "\n",
    "\t",
    "\r",
    "\u009b",
    "\u009c",
    "\u009d",
    "é",
    "x",
    "\u202e",
  ];
  let seed = 42;
  const random = () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
  for (let round = 0; round < 3000; round++) {
    const text = Array.from(
      { length: 24 },
      () => alphabet[Math.floor(random() * alphabet.length)],
    ).join("");
    const stripped = stripTerminalText(text);
    expect(Array.from(stripped).filter(isControl)).toEqual([]);
    expect(stripTerminalText(stripped)).toBe(stripped);
  }
});

test("an unended sequence on one endless line hides a bounded part of it", () => {
  const stripper = createTerminalTextStripper();
  stripper.push(`${ESC}]0;`);
  let shown = "";
  for (let chunk = 0; chunk < 100; chunk++) shown += stripper.push("x".repeat(1000));
  expect(shown.length).toBeGreaterThan(30_000);
  expect(shown).toMatch(/^x+$/);
});

test("text that needs nothing is returned as it is, whole", () => {
  const text = "word ".repeat(10_000);
  expect(createTerminalTextStripper().push(text)).toBe(text);
});

test("what a person approves shows every character that acts or hides, in one line", () => {
  expect(showControls("echo a\nrm -rf b\t\u001b[2K\u009b1m\u202e/x\u200b")).toBe(
    String.raw`echo a\nrm -rf b\t\x1b[2K\x9b1m\u202e/x\u200b`,
  );
  expect(showControls("grep -n 'é 漢字' a.ts")).toBe("grep -n 'é 漢字' a.ts");
});
