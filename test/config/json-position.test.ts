import { expect, test } from "bun:test";
import { findJsonProblem } from "../../src/config/json-position.ts";

test.each([
  ["", 1, 1, "expected a value, but the file ends"],
  ['{"a": 1,}', 1, 9, "expected a name in double quotes, but there is }"],
  ['{\n  "a": tru\n}', 2, 8, "expected a value, but there is tru"],
  ['{"a": 1\n "b": 2}', 2, 2, 'expected , or the closing bracket, but there is "b'],
  ['{"a" 1}', 1, 6, "expected :, but there is 1"],
  ["{a: 1}", 1, 2, "expected a name in double quotes or }, but there is a"],
  ["[1, 2", 1, 6, "expected , or the closing bracket, but the file ends"],
  ["[1, ]", 1, 5, "expected a value, but there is ]"],
  ["[,]", 1, 2, "expected a value or ], but there is ,"],
  ['{"a": 1} // note', 1, 10, "expected the end of the file, but there is /"],
  ['{"a": "one\ntwo"}', 1, 7, 'expected a value, but there is "one'],
  ['{"a": 01}', 1, 7, "expected a value, but there is 01"],
  ["[}", 1, 2, "expected a value or ], but there is }"],
])("%j is broken at %d:%d", (text, line, column, problem) => {
  expect(findJsonProblem(text)).toEqual({ line, column, problem });
});

test("agrees with JSON.parse on what is JSON, over mutations of a document", () => {
  const document = '{"a":[1,-2.5e3,true,null,"x\\u00e9\\n\\"",{}],"b":{"c":[],"d":{"e":0}}}';
  let broken = 0;
  for (let position = 0; position < document.length; position++) {
    for (const mark of ["", ",", "]", "}", '"', "1", " ", "\\", "-", ".", "\u0001"]) {
      const text = document.slice(0, position) + mark + document.slice(position + 1);
      const isJson = parses(text);
      if (!isJson) broken++;
      expect([text, findJsonProblem(text) === undefined]).toEqual([text, isJson]);
    }
  }
  expect(broken).toBeGreaterThan(300);
});

test("a hundred thousand open brackets are no danger", () => {
  expect(findJsonProblem("[".repeat(100_000))?.column).toBe(100_001);
});

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
