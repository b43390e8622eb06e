import { describe, expect, test } from "bun:test";
import { parseArguments } from "../../src/cli/arguments.ts";
import { defineCommand } from "../../src/cli/command.ts";
import { OptaError } from "../../src/protocol/error.ts";

const command = defineCommand({
  name: "do",
  summary: "for tests",
  args: {
    model: { type: "string", alias: "m", valueHint: "ID", description: "model" },
    cwd: { type: "string", valueHint: "DIR", description: "directory", default: "." },
    format: {
      type: "enum",
      alias: "f",
      options: ["text", "json"],
      default: "text",
      description: "format",
    },
    quiet: { type: "boolean", alias: "q", description: "quiet" },
    auto: { type: "boolean", alias: "a", description: "auto" },
    "max-steps": {
      type: "integer",
      valueHint: "N",
      minimum: 1,
      maximum: 1000,
      description: "steps",
    },
  },
  positionals: [{ name: "task", description: "task", variadic: true }],
  examples: [],
  run: async () => 0,
});

const defaults = {
  model: undefined,
  cwd: ".",
  format: "text",
  quiet: false,
  auto: false,
  "max-steps": undefined,
};

async function refusal(words: readonly string[], of = command): Promise<OptaError> {
  try {
    await parseArguments("do", of, words);
  } catch (thrown) {
    if (thrown instanceof OptaError) return thrown;
    throw thrown;
  }
  throw new Error(`accepted ${words.join(" ")}`);
}

describe("what is understood", () => {
  const cases: readonly (readonly [
    words: readonly string[],
    args: object,
    rest: readonly string[],
  ])[] = [
    [[], {}, []],
    [["fix", "the bug"], {}, ["fix", "the bug"]],
    [["--model", "a"], { model: "a" }, []],
    [["--model=a"], { model: "a" }, []],
    [["--model=-a"], { model: "-a" }, []],
    [["--model=a=b"], { model: "a=b" }, []],
    [["--model="], { model: "" }, []],
    [["-m", "a", "task"], { model: "a" }, ["task"]],
    [["-ma"], { model: "a" }, []],
    [["-m=a"], { model: "a" }, []],
    [["-m=-a"], { model: "-a" }, []],
    [["-qa"], { quiet: true, auto: true }, []],
    [["-qm", "x", "t"], { quiet: true, model: "x" }, ["t"]],
    [["-qmx"], { quiet: true, model: "x" }, []],
    [["-f", "json", "-f", "text"], { format: "text" }, []],
    [["-f", "text", "-f", "json"], { format: "json" }, []],
    [["--quiet", "--quiet=false"], { quiet: false }, []],
    [["task", "--quiet"], { quiet: true }, ["task"]],
    [["--", "--quiet", "-x", "--help"], {}, ["--quiet", "-x", "--help"]],
    [["a", "--", "b", "--", "c"], {}, ["a", "b", "--", "c"]],
    [["-"], {}, ["-"]],
    [["--model", "-"], { model: "-" }, []],
    [["--max-steps", "7"], { "max-steps": 7 }, []],
    [["--max-steps=1000"], { "max-steps": 1000 }, []],
    [[""], {}, [""]],
  ];
  for (const [words, args, rest] of cases) {
    test(`opta do ${words.join(" ")}`, async () => {
      const parsed = await parseArguments("do", command, words);
      expect<unknown>(parsed).toEqual({
        args: { ...defaults, ...args },
        rest: [...rest],
        help: false,
      });
    });
  }
});

describe("what is refused, with exit code 2 and the help page as the next command", () => {
  const cases: readonly (readonly [words: readonly string[], message: string])[] = [
    [["--mdoel", "x"], "opta do has no flag --mdoel; did you mean --model?"],
    [["--max-step=3"], "opta do has no flag --max-step; did you mean --max-steps?"],
    [["--maxSteps", "3"], "opta do has no flag --maxSteps; did you mean --max-steps?"],
    [["--no-quiet"], "opta do has no flag --no-quiet"],
    [["--wholly-different"], "opta do has no flag --wholly-different"],
    [["-x"], "opta do has no flag -x"],
    [["-qx"], "opta do has no flag -x"],
    [["--constructor"], "opta do has no flag --constructor"],
    [["--__proto__=1"], "opta do has no flag --__proto__"],
    [["--model"], "--model needs a value: --model <ID>"],
    [["--model", "--quiet"], "--model needs a value before --quiet (or write --model=--quiet)"],
    [["-mq", "-m"], "--model needs a value: --model <ID>"],
    [["--format", "xml"], '--format is one of text, json (got "xml")'],
    [["-f="], '--format is one of text, json (got "")'],
    [["--quiet=yes"], '--quiet is a switch and takes no value (got "yes")'],
    [["--max-steps", "0"], '--max-steps is a whole number from 1 to 1000 (got "0")'],
    [["--max-steps", "1e2"], '--max-steps is a whole number from 1 to 1000 (got "1e2")'],
    [["--max-steps=-1"], '--max-steps is a whole number from 1 to 1000 (got "-1")'],
    [["--max-steps="], '--max-steps is a whole number from 1 to 1000 (got "")'],
  ];
  for (const [words, message] of cases) {
    test(`opta do ${words.join(" ")}`, async () => {
      const error = await refusal(words);
      expect(error.message).toBe(message);
      expect(error).toMatchObject({ code: "usage", hint: "opta help do" });
    });
  }
});

describe("positional arguments are counted", () => {
  const load = defineCommand({
    name: "load",
    summary: "for tests",
    positionals: [{ name: "model", description: "an id", required: true }],
    examples: [],
    run: async () => 0,
  });
  const shell = defineCommand({
    name: "shell",
    summary: "for tests",
    positionals: [{ name: "shell", description: "a shell", options: ["bash", "zsh"] }],
    examples: [],
    run: async () => 0,
  });

  test("a missing one is named with its meaning", async () => {
    expect((await refusal([], load)).message).toBe("opta do needs <model>: an id");
  });
  test("an extra one is named", async () => {
    const { message } = await refusal(["a", "b"], load);
    expect(message).toBe('unexpected argument "b": opta do takes only 1');
  });
  test("one of a closed list is checked", async () => {
    const { message } = await refusal(["tcsh"], shell);
    expect(message).toBe('<shell> is one of bash, zsh (got "tcsh")');
    expect((await parseArguments("do", shell, [])).rest).toEqual([]);
  });
});

test("help is asked for before -- only, and then nothing else is checked", async () => {
  expect((await parseArguments("do", command, ["--wrong", "-h"])).help).toBe(true);
  expect((await parseArguments("do", command, ["x", "--help"])).help).toBe(true);
  expect((await parseArguments("do", command, ["--", "-h"])).help).toBe(false);
});
