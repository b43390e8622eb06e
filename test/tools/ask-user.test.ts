import { expect, test } from "bun:test";
import { createAskUserTool } from "../../src/tools/ask-user.ts";
import type { ToolContext } from "../../src/tools/tool.ts";

const tool = createAskUserTool();
const context = (answer?: string): ToolContext => ({
  workspace: "/",
  outputDirectory: "/nonexistent",
  callId: "call1",
  files: new Map(),
  effects: [],
  mayRead: () => true,
  mayList: () => true,
  signal: new AbortController().signal,
  answer,
});

test("the question is the effect, so that the policy asks it", async () => {
  expect(await tool.effects({ question: "which?" }, "/")).toEqual([
    { kind: "question", question: "which?" },
  ]);
});

test("the answer goes to the model as it was given", async () => {
  expect(await tool.run({ question: "which?" }, context(" the blue one\n"))).toEqual({
    ok: true,
    text: " the blue one\n",
  });
});

test("without an answer the model is told to decide itself", async () => {
  for (const answer of [undefined, "", "  "]) {
    const result = await tool.run({ question: "which?" }, context(answer));
    expect(result.ok).toBe(false);
    expect(result.text).toStartWith("no answer");
  }
});
