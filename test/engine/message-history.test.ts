import { expect, test } from "bun:test";
import { completeHistory, interruptedResult, noAnswer } from "../../src/engine/message-history.ts";
import type { Message } from "../../src/protocol/message.ts";

const call = (id: string) => ({
  id,
  type: "function" as const,
  function: { name: "read_file", arguments: "{}" },
});
const user: Message = { role: "user", content: "go" };
const answer: Message = { role: "assistant", content: "done" };
const asks = (...ids: string[]): Message => ({
  role: "assistant",
  content: "",
  tool_calls: ids.map(call),
});
const result = (id: string): Message => ({ role: "tool", tool_call_id: id, content: "text" });

test("a healthy history comes back as it is", () => {
  const history = [user, asks("a", "b"), result("a"), result("b"), answer, user, answer];
  expect(completeHistory(history)).toEqual(history);
});

test("a tool call without a result gets one, right behind its siblings", () => {
  expect(completeHistory([user, asks("a", "b"), result("b"), answer])).toEqual([
    user,
    asks("a", "b"),
    result("b"),
    { role: "tool", tool_call_id: "a", content: interruptedResult },
    answer,
  ]);
});

test("a turn that died in the middle is closed, so that roles alternate", () => {
  const closing: Message = { role: "assistant", content: noAnswer, interrupted: true };
  expect(completeHistory([user]).at(-1)).toEqual(closing);
  expect(completeHistory([user, asks("a")]).slice(-2)).toEqual<Message[]>([
    { role: "tool", tool_call_id: "a", content: interruptedResult },
    closing,
  ]);
  expect(completeHistory([user, user, answer])).toEqual([user, closing, user, answer]);
});

test("an empty history stays empty", () => {
  expect(completeHistory([])).toEqual([]);
});
