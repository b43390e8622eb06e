import { describe, expect, test } from "bun:test";
import { createFakeClient, runWords } from "../../support/command-line.ts";

const verdict = {
  decision: "ask",
  rule: "mode safe",
  reason: "commands ask in mode safe",
  remedy: "opta do --dangerous",
};

function explaining(answer: object = verdict) {
  const asked: unknown[] = [];
  const client = createFakeClient({
    "permission.explain": (params) => {
      asked.push(params);
      return answer;
    },
  });
  return { client, asked };
}

test("prints the decision, the rule, the reason and the remedy", async () => {
  const { client, asked } = explaining();
  const words = ["permissions", "explain", "--tool", "run_command", "git status"];
  expect(await runWords(words, { client })).toMatchObject({
    exitCode: 0,
    stdout: `decision  ask
rule      mode safe
reason    commands ask in mode safe
remedy    opta do --dangerous
`,
  });
  const args = { command: "git status" };
  expect(asked).toEqual([{ workspace: process.cwd(), tool: "run_command", args }]);
});

test("--json has exactly decision, rule and reason; --mode is passed on", async () => {
  const { client, asked } = explaining();
  const words = ["permissions", "explain", "--tool=read_file", ".env", "--mode", "plan", "--json"];
  const { stdout } = await runWords(words, { client });
  expect(JSON.parse(stdout)).toEqual({
    decision: "ask",
    rule: "mode safe",
    reason: "commands ask in mode safe",
  });
  expect(asked).toMatchObject([{ tool: "read_file", args: { path: ".env" }, mode: "plan" }]);
});

describe("the subject becomes the argument that the tool is about", () => {
  const cases: readonly (readonly [tool: string, args: object])[] = [
    ["ask_user", { question: "s" }],
    ["delete_file", { path: "s" }],
    ["edit_file", { path: "s" }],
    ["find_files", { path: "s" }],
    ["list_dir", { path: "s" }],
    ["multi_edit", { edits: [{ path: "s" }] }],
    ["read_file", { path: "s" }],
    ["run_command", { command: "s" }],
    ["search_files", { path: "s" }],
    ["web_fetch", { url: "s" }],
    ["web_search", { query: "s" }],
    ["write_file", { path: "s" }],
  ];
  for (const [tool, args] of cases) {
    test(tool, async () => {
      const { client, asked } = explaining();
      await runWords(["permissions", "explain", "--tool", tool, "s"], { client });
      expect(asked).toMatchObject([{ tool, args }]);
    });
  }
});

test("an unknown tool is refused before anything is started, with the nearest name", async () => {
  const { exitCode, stderr } = await runWords([
    "permissions",
    "explain",
    "--tool",
    "run_comand",
    "x",
  ]);
  expect(exitCode).toBe(2);
  expect(stderr).toStartWith('opta: no tool "run_comand"; did you mean run_command?\n  tools: ');
});

test("an unquoted command is refused instead of explained in part", async () => {
  const { exitCode, stderr } = await runWords(["permissions", "explain", "git", "push"]);
  expect(exitCode).toBe(2);
  expect(stderr).toStartWith('opta: unexpected argument "push"');
});
