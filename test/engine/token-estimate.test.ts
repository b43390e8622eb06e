import { expect, test } from "bun:test";
import {
  estimateMessagesTokens,
  estimateMessageTokens,
  estimateTextTokens,
  estimateToolsTokens,
} from "../../src/engine/token-estimate.ts";

test("3.2 bytes are a token, so that scripts beyond ASCII are not counted too low", () => {
  expect(estimateTextTokens("")).toBe(0);
  expect(estimateTextTokens("x".repeat(32))).toBe(10);
  expect(estimateTextTokens("漢字漢字")).toBe(4);
});

test("a message costs its text, its calls, its pictures and a frame", () => {
  const plain = estimateMessageTokens({ role: "user", content: "x".repeat(320) });
  expect(plain).toBe(104);
  const call = {
    id: "c",
    type: "function" as const,
    function: { name: "read_file", arguments: '{"path":"a"}' },
  };
  expect(estimateMessageTokens({ role: "assistant", content: null, tool_calls: [call] })).toBe(15);
  const image = { type: "image_url" as const, image_url: { url: "x".repeat(1_000_000) } };
  expect(estimateMessageTokens({ role: "user", content: [image] })).toBeLessThan(2000);
  expect(estimateMessagesTokens([])).toBe(0);
});

test("keys that are not sent cost nothing", () => {
  const message = { role: "assistant" as const, content: "a" };
  expect(estimateMessageTokens({ ...message, reasoning: "x".repeat(10_000) })).toBe(
    estimateMessageTokens(message),
  );
});

test("tools cost their JSON, none cost nothing", () => {
  const tool = {
    type: "function" as const,
    function: { name: "f", description: "x".repeat(320), parameters: {} },
  };
  expect(estimateToolsTokens([])).toBe(0);
  expect(estimateToolsTokens([tool])).toBeGreaterThan(100);
});
