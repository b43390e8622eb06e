// Where a JSON text is broken. JSON.parse of this runtime names no position, and a person who mistyped a comma
// needs one. Only called on text that JSON.parse refused; a token loop with a stack, so nesting is no danger.

export interface JsonProblem {
  /** Both from 1; columns count UTF-16 units. */
  readonly line: number;
  readonly column: number;
  readonly problem: string;
}

const space = /[ \t\r\n]*/y;
const scalar =
  /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)(?!\w)/y;

/** What may come next. `key` and `value` after a comma may not be the closing bracket. */
type Expected = "value" | "first-item" | "first-key" | "key" | "colon" | "comma-or-end" | "end";

const expectations: Readonly<Record<Expected, string>> = {
  value: "a value",
  "first-item": "a value or ]",
  "first-key": "a name in double quotes or }",
  key: "a name in double quotes",
  colon: ":",
  "comma-or-end": ", or the closing bracket",
  end: "the end of the file",
};

/** The first place where `text` stops being JSON; undefined when it is JSON. */
export function findJsonProblem(text: string): JsonProblem | undefined {
  const open: ("{" | "[")[] = [];
  let expected: Expected = "value";
  let position = 0;
  for (;;) {
    position = matchAt(space, text, position);
    const character = text[position];
    if (character === undefined && expected === "end") return undefined;
    const isContainerEnd = character === (open.at(-1) === "{" ? "}" : "]");
    const afterValue = (): Expected => (open.length === 0 ? "end" : "comma-or-end");
    const scalarEnd = matchAt(scalar, text, position);
    if (expected === "value" || expected === "first-item") {
      if (expected === "first-item" && isContainerEnd) {
        open.pop();
        position++;
        expected = afterValue();
      } else if (character === "{" || character === "[") {
        open.push(character);
        position++;
        expected = character === "{" ? "first-key" : "first-item";
      } else if (scalarEnd > position) {
        position = scalarEnd;
        expected = afterValue();
      } else break;
    } else if (expected === "key" || expected === "first-key") {
      if (expected === "first-key" && isContainerEnd) {
        open.pop();
        position++;
        expected = afterValue();
      } else if (character === '"' && scalarEnd > position) {
        position = scalarEnd;
        expected = "colon";
      } else break;
    } else if (expected === "colon") {
      if (character !== ":") break;
      position++;
      expected = "value";
    } else if (expected === "comma-or-end") {
      if (isContainerEnd) {
        open.pop();
        expected = afterValue();
      } else if (character === ",") expected = open.at(-1) === "{" ? "key" : "value";
      else break;
      position++;
    } else break;
  }
  return describe(text, position, expectations[expected]);
}

function matchAt(pattern: RegExp, text: string, position: number): number {
  pattern.lastIndex = position;
  return pattern.test(text) ? pattern.lastIndex : position;
}

function describe(text: string, position: number, expected: string): JsonProblem {
  const before = text.slice(0, position).split("\n");
  const word = /^(?:[\w.+-]+|"[^"\n]{0,20}|[^\s])/.exec(text.slice(position, position + 40))?.[0];
  const found = word === undefined ? "the file ends" : `there is ${word}`;
  return {
    line: before.length,
    column: (before.at(-1) ?? "").length + 1,
    problem: `expected ${expected}, but ${found}`,
  };
}
