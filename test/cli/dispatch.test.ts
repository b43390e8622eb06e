import { describe, expect, test } from "bun:test";
import type { CommandTable } from "../../src/cli/command.ts";
import { defineCommand } from "../../src/cli/command.ts";
import { OutputClosed } from "../../src/cli/output/io.ts";
import { OptaError } from "../../src/protocol/error.ts";
import { createFakeClient, runWords } from "../support/command-line.ts";

function commandThat(run: () => Promise<number>): CommandTable {
  const command = defineCommand({ name: "act", summary: "for tests", examples: [], run });
  return { act: { summary: "for tests", load: async () => command } };
}

function throwing(thrown: unknown): CommandTable {
  return commandThat(async () => {
    throw thrown;
  });
}

describe("what is typed first", () => {
  test("a bare opta prints where to start and succeeds", async () => {
    const { exitCode, stdout, stderr } = await runWords([]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toStartWith("opta - a coding agent for models you run yourself\n");
    expect(stdout).toContain('opta do "fix the failing test"');
  });

  const refused: readonly (readonly [words: readonly string[], stderr: string])[] = [
    [["stauts"], 'opta: no command "stauts"; did you mean status?\n  opta status\n'],
    [["mod"], 'opta: no command "mod"; did you mean models?\n  opta models\n'],
    [
      ["fix the bug"],
      'opta: no command "fix the bug"\n  for a task: opta do "fix the bug"\n  for a list of commands: opta help\n',
    ],
    [
      ["fix", "the", 'bug "$HOME"'],
      'opta: no command "fix the bug \\"\\$HOME\\""\n  for a task: opta do "fix the bug \\"\\$HOME\\""\n  for a list of commands: opta help\n',
    ],
    [
      ["--json", "status"],
      "opta: opta has no flag --json of its own; flags follow a command\n  opta help\n",
    ],
    [
      ["models", "lod"],
      'opta: opta models has no command "lod"; did you mean load?\n  opta help models\n',
    ],
    [["permissions"], "opta: opta permissions needs one of: explain\n  opta help permissions\n"],
    [
      ["constructor"],
      'opta: no command "constructor"\n  for a task: opta do "constructor"\n  for a list of commands: opta help\n',
    ],
  ];
  for (const [words, stderr] of refused) {
    test(`opta ${words.join(" ")} is refused with exit code 2 and what to type instead`, async () => {
      expect(await runWords(words)).toEqual({ exitCode: 2, stdout: "", stderr, connections: [] });
    });
  }
});

describe("how a failure ends", () => {
  test("an OptaError is one line, its hint below, the exit code of its kind", async () => {
    const error = new OptaError(
      "auth-failed",
      "studio:1234 refused the key",
      "opta config set x\nor y",
    );
    const result = await runWords(["act"], { commands: throwing(error) });
    expect(result).toMatchObject({
      exitCode: 4,
      stdout: "",
      stderr: "opta: studio:1234 refused the key\n  opta config set x\n  or y\n",
    });
  });

  test("anything else is an internal error without a stack trace", async () => {
    const { exitCode, stderr } = await runWords(["act"], {
      commands: throwing(new TypeError("x is not y")),
    });
    expect(exitCode).toBe(1);
    expect(stderr).toStartWith("opta: internal error: x is not y\n  this is a defect of opta");
    expect(stderr).not.toContain("dispatch.test.ts");
  });

  test("OPTA_DEBUG=1 adds the stack trace", async () => {
    const options = { commands: throwing(new Error("boom")), variables: { OPTA_DEBUG: "1" } };
    expect((await runWords(["act"], options)).stderr).toContain("dispatch.test.ts");
  });

  test("escape sequences in a message never reach the terminal", async () => {
    const error = new OptaError(
      "model-server-failed",
      "server said \u001b]0;owned\u0007no\u001b[2J",
      "try\u001b[31m",
    );
    const { stderr, exitCode } = await runWords(["act"], { commands: throwing(error) });
    expect({ stderr, exitCode }).toEqual({ stderr: "opta: server said no\n  try\n", exitCode: 5 });
  });

  test("a reader that left is no failure and says nothing", async () => {
    const { exitCode, stderr } = await runWords(["act"], {
      commands: throwing(new OutputClosed()),
    });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  });

  test("the client is closed, after success and after failure", async () => {
    const client = createFakeClient({ "lmx.models": () => ({ server: "h:1", models: [] }) });
    expect((await runWords(["models"], { client })).exitCode).toBe(0);
    expect(client.closed()).toBe(true);
    const failing = createFakeClient({});
    expect((await runWords(["models"], { client: failing })).exitCode).toBe(1);
    expect(failing.closed()).toBe(true);
  });
});

test("the exit code is the command's own", async () => {
  expect((await runWords(["act"], { commands: commandThat(async () => 7) })).exitCode).toBe(7);
});
