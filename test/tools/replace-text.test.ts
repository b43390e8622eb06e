import { expect, test } from "bun:test";
import { replaceText, type ReplaceOutcome, type TextEdit } from "../../src/tools/replace-text.ts";
import { decodeText, encodeText } from "../../src/tools/text-encoding.ts";

function replace(content: string, oldText: string, newText: string, more: Partial<TextEdit> = {}) {
  return replaceText(encodeText(content), {
    oldText: encodeText(oldText),
    newText: encodeText(newText),
    replaceAll: false,
    allowWhitespaceMatch: true,
    ...more,
  });
}

function contentOf(outcome: ReplaceOutcome): string {
  if (outcome.kind === "failed") throw new Error(outcome.problem);
  return decodeText(outcome.content);
}

function problemOf(outcome: ReplaceOutcome): string {
  if (outcome.kind === "replaced") throw new Error("replaced");
  return outcome.problem;
}

const exact: readonly (readonly [string, string, string, string, string])[] = [
  ["within a line", "one two three\n", "two", "2", "one 2 three\n"],
  ["over lines", "a\nb\nc\n", "a\nb", "x", "x\nc\n"],
  ["at the very start and end", "a", "a", "b", "b"],
  ["to nothing", "a\nb\n", "b\n", "", "a\n"],
  ["$& and its kin are text", "price: X;\n", "X", "$& $$ $' $` $1", "price: $& $$ $' $` $1;\n"],
  ["backslashes are text", "a.b", ".", "\\n\\1", "a\\n\\1b"],
  ["regular expressions are text", "f(a.*b)[0]", "(a.*b)[0]", "()", "f()"],
  ["accents and emoji", "naïve 🙂 end", "🙂", "é", "naïve é end"],
  ["\\n stands for CRLF in a CRLF file", "a\r\nb\r\nc\r\n", "a\nb", "x\ny", "x\r\ny\r\nc\r\n"],
  ["\\r\\n stands for LF in an LF file", "a\nb\nc\n", "a\r\nb", "x\r\ny", "x\ny\nc\n"],
  ["from a line end in a CRLF file", "a\r\nb\r\n", "\nb", "\nc", "a\r\nc\r\n"],
  ["a new line in the middle of a CRLF line", "ab\r\n", "ab", "a\nb", "a\r\nb\r\n"],
  ["the last line of a CRLF file without an end", "a\r\nb", "b", "b\nc", "a\r\nb\r\nc"],
  [
    "mixed line ends: each place keeps its own (LF)",
    "a\r\nb\nc\r\n",
    "b",
    "b\nb",
    "a\r\nb\nb\nc\r\n",
  ],
  [
    "mixed line ends: each place keeps its own (CRLF)",
    "a\r\nb\nc\r\n",
    "c",
    "c\nc",
    "a\r\nb\nc\r\nc\r\n",
  ],
  ["a lone carriage return is a character", "a\rb\n", "a\rb", "c", "c\n"],
];

for (const [what, content, oldText, newText, expected] of exact) {
  test(`replaces exactly: ${what}`, () => {
    const outcome = replace(content, oldText, newText);
    expect(contentOf(outcome)).toBe(expected);
    expect(outcome).toMatchObject({ ignoredWhitespace: false, count: 1 });
  });
}

test("bytes that are not UTF-8 around the span stay byte for byte", () => {
  const outcome = replaceText("caf\xe9 \xff\xfe old \x80\n", {
    oldText: "old",
    newText: "new",
    replaceAll: false,
    allowWhitespaceMatch: true,
  });
  expect(outcome).toMatchObject({ content: "caf\xe9 \xff\xfe new \x80\n" });
});

test("replace_all replaces each once, left to right, in CRLF files too", () => {
  expect(contentOf(replace("aaaa", "aa", "b", { replaceAll: true }))).toBe("bb");
  const outcome = replace("x\r\ny\r\nx\r\n", "x\n", "z\n\n", { replaceAll: true });
  expect(contentOf(outcome)).toBe("z\r\n\r\ny\r\nz\r\n\r\n");
  expect(outcome).toMatchObject({ count: 2, lines: [1, 3] });
});

test("an ambiguous text is refused with the lines it is on", () => {
  const problem = problemOf(replace("a\nx\na\nx\n", "x", "y"));
  expect(problem).toContain("there 2 times, at lines 2, 4");
  expect(problem).toContain("replace_all");
});

test("an empty old text and an edit that changes nothing are refused", () => {
  expect(problemOf(replace("a", "", "b"))).toContain("write_file");
  expect(problemOf(replace("a", "a", "a"))).toContain("are the same");
  expect(problemOf(replace("a\r\nb", "a\r\nb", "a\nb"))).toContain("are the same");
});

const loose: readonly (readonly [string, string, string, string, string])[] = [
  [
    "indentation that was left out",
    "if (x) {\n    go();\n    stop();\n}\n",
    "go();\nstop();",
    "run();",
    "if (x) {\n    run();\n}\n",
  ],
  [
    "too much indentation",
    "a\n  b();\n  c();\n",
    "      b();\n      c();",
    "      d();",
    "a\n  d();\n",
  ],
  [
    "tabs for spaces",
    "f:\n\tif a:\n\t\tb = 1\n",
    "    if a:\n        b = 1",
    "    if a:\n        b = 2",
    "f:\n\tif a:\n\t\tb = 2\n",
  ],
  [
    "spaces at line ends",
    "const a = 1;  \nconst b = 2;\n",
    "const a = 1;\nconst b = 2;",
    "const c = 3;",
    "const c = 3;\n",
  ],
  ["spaces within lines", "let  x   = 1;\n", "let x = 1;", "let x = 2;", "let x = 2;\n"],
  [
    "a deeper line than the old text had",
    "  go();\n  end();\n",
    "go();\nend();",
    "if (a) {\n  go();\n}",
    "  if (a) {\n    go();\n  }\n",
  ],
  [
    "the line end, when the old text has it",
    "  alpha\n  beta\n",
    " alpha \n",
    " gamma\n",
    "  gamma\n  beta\n",
  ],
];

for (const [what, content, oldText, newText, expected] of loose) {
  test(`falls back to ignoring whitespace, and says so: ${what}`, () => {
    const outcome = replace(content, oldText, newText);
    expect(contentOf(outcome)).toBe(expected);
    expect(outcome).toMatchObject({ ignoredWhitespace: true, count: 1 });
  });
}

test("the fallback never guesses among several places, even with replace_all", () => {
  const outcome = replace("  call(a);\n\n\tcall(a);\n", " call(a); ", "x", { replaceAll: true });
  expect(problemOf(outcome)).toContain("ignoring whitespace it is there 2 times, at lines 1, 3");
});

test("the fallback never guesses an indentation", () => {
  const outcome = replace("\tone();\n  two();\n", "one();\ntwo();", "three();");
  expect(problemOf(outcome)).toContain("indentation");
});

test("the fallback wants whole lines and more than a brace", () => {
  expect(problemOf(replace("foo(bar,  baz);\n", "bar, baz", "x"))).toContain("was not found");
  expect(problemOf(replace("  }\n", "\t}", "x"))).toContain("was not found");
});

test("a file that was never read is not edited by the fallback", () => {
  const outcome = replace("  go(now);\n", "\tgo(now);", "\tx", { allowWhitespaceMatch: false });
  expect(problemOf(outcome)).toContain("read_file it first");
});

test("a failure shows the nearest lines with their numbers", () => {
  const content = Array.from({ length: 50 }, (_, index) => `const value${index} = ${index};`);
  content[29] = "function total(items: Item[]): number {";
  content[30] = "  return items.reduce(add, 0);";
  const problem = problemOf(
    replace(content.join("\n"), "function total(items) {\n  return items.reduce(add, 0);", "x"),
  );
  expect(problem).toContain("30:function total(items: Item[]): number {");
  expect(problem).toContain("31:  return items.reduce(add, 0);");
  expect(problem.split("\n").length).toBeLessThan(10);
});

test("a failure by one changed word still finds the line", () => {
  const problem = problemOf(
    replace("a\nb\nconst limit = parse(input, 10);\nc\n", "const limit = parse(text, 10);", "x"),
  );
  expect(problem).toContain("3:const limit = parse(input, 10);");
});

test("line numbers copied from read_file are explained", () => {
  expect(problemOf(replace("alpha\nbeta\n", "1:alpha\n2:beta", "x"))).toContain(
    "Leave out the line numbers",
  );
});

test("nothing alike is said plainly, as is an empty file", () => {
  expect(problemOf(replace("a\nb\n", "zzz qqq", "x"))).toContain("Nothing in the file is like it");
  expect(problemOf(replace("", "zzz", "x"))).toContain("The file is empty");
});
