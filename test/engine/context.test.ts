import { expect, test } from "bun:test";
import { outputReserveTokens, promptBudgetTokens, promptCost } from "../../src/engine/context.ts";
import { systemMessageText } from "../../src/engine/system-prompt.ts";
import type { Message } from "../../src/protocol/message.ts";

test.each([
  [null, 8192, undefined],
  [512, 256, 256],
  [4096, 1024, 3072],
  [32_768, 8192, 24_576],
  [262_144, 8192, 253_952],
])("of a window of %p, %d are kept for the answer", (window, reserve, budget) => {
  expect(outputReserveTokens(window)).toBe(reserve);
  expect(promptBudgetTokens(window)).toBe(budget as number);
});

const user: Message = { role: "user", content: "x".repeat(320) };

test("a prompt's parts add up, instructions apart from our own prompt", () => {
  const text = systemMessageText({ name: "AGENTS.md", text: "y".repeat(3200) });
  const cost = promptCost({ messages: [{ role: "system", content: text }, user], tools: [] }, 1);
  expect(cost.instructions).toBeGreaterThan(1000);
  expect(cost.instructions).toBeLessThan(1020);
  expect(cost.history).toBe(104);
  expect(cost.systemPrompt + cost.instructions + cost.tools + cost.history).toBe(cost.total);
  const bare = promptCost(
    { messages: [{ role: "system", content: systemMessageText(undefined) }], tools: [] },
    1,
  );
  expect(bare).toMatchObject({ instructions: 0, systemPrompt: bare.total });
});

test("a session without system message is all history, and the server's ratio scales everything", () => {
  expect(promptCost({ messages: [user], tools: [] }, 1)).toMatchObject({
    systemPrompt: 0,
    instructions: 0,
    history: 104,
  });
  expect(promptCost({ messages: [user], tools: [] }, 1.5).total).toBe(156);
});
