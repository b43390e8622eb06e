import { describe, expect, test } from "bun:test";
import { createAnswer } from "../../../src/providers/lmx/answer.ts";
import type { Frame } from "../../../src/providers/lmx/frames.ts";
import type { ProviderEvent } from "../../../src/providers/provider.ts";

function answer(frames: readonly Frame[], maxTokens = 100) {
  const events: ProviderEvent[] = [];
  const taken = createAnswer({ emit: (event) => events.push(event), maxTokens, server: "host:1" });
  for (const frame of frames) taken.take(frame);
  return { events, conclusion: taken.conclude(), extent: taken.extent() };
}

const call = (more: Partial<{ id: string; arguments: string }> = {}) => {
  return { index: null, id: "c1", name: "f", arguments: "{}", ...more };
};
const usage = (completionTokens: number) => ({ promptTokens: 1, completionTokens });

describe("what an answer was", () => {
  test("text passes at once and byte for byte", () => {
    const { events } = answer([{ text: " a" }, { text: "\n\tb\u0000" }, { thinking: "hm" }]);
    expect(events).toEqual([
      { type: "text", text: " a" },
      { type: "text", text: "\n\tb\u0000" },
      { type: "thinking", text: "hm" },
    ]);
  });
  test("tool calls come only with the conclusion", () => {
    const { events, conclusion } = answer([{ toolCalls: [call()] }, { finishReason: "stop" }]);
    expect(events).toEqual([]);
    expect(conclusion).toEqual([
      { type: "tool_call", call: { id: "c1", name: "f", arguments: "{}" } },
      { type: "done", finishReason: "tool_calls", usage: null },
    ]);
  });
  test("row 8: completion_tokens that reach max_tokens mean that it was cut", () => {
    const { conclusion } = answer([{ text: "a" }, { finishReason: "stop", usage: usage(100) }]);
    expect(conclusion).toEqual([{ type: "done", finishReason: "length", usage: usage(100) }]);
    const whole = answer([{ text: "a" }, { finishReason: "stop", usage: usage(99) }]);
    expect(whole.conclusion).toEqual([{ type: "done", finishReason: "stop", usage: usage(99) }]);
  });
  test.each(["length", "max_tokens"])("row 8: so does finish_reason %s", (finishReason) => {
    expect(answer([{ text: "a" }, { finishReason }]).conclusion).toEqual([
      { type: "done", finishReason: "length", usage: null },
    ]);
  });
  test("row 8: half a call of a cut answer is dropped, a whole one kept", () => {
    const halves = [
      call({ arguments: "{}" }),
      call({ id: "c2", arguments: '{"path":"a' }),
      call({ id: "c3", arguments: "" }), // perhaps nothing, perhaps cut before its first character
    ];
    const { conclusion } = answer([{ toolCalls: halves }, { finishReason: "length" }]);
    expect(conclusion).toEqual([
      { type: "tool_call", call: { id: "c1", name: "f", arguments: "{}" } },
      { type: "done", finishReason: "length", usage: null },
    ]);
  });
  test("row 8: nothing at all is an answer, about which the turn decides", () => {
    for (const frames of [[], [{ finishReason: "stop" }], [{ thinking: "hm" }]]) {
      expect(answer(frames).conclusion).toEqual([
        { type: "done", finishReason: "stop", usage: null },
      ]);
    }
  });
  test("announced tool calls that never came are an error", () => {
    const { conclusion } = answer([{ text: "I read it." }, { finishReason: "tool_calls" }]);
    expect(conclusion).toMatchObject([{ type: "error", code: "model-server-failed" }]);
  });
  test("row 3: invalid arguments are passed on for the model to mend", () => {
    const { conclusion } = answer([
      { toolCalls: [call({ arguments: "{oops" })] },
      { finishReason: "tool_calls" },
    ]);
    expect(conclusion[0]).toEqual({
      type: "tool_call",
      call: { id: "c1", name: "f", arguments: "{oops" },
    });
  });
  test("how far it came, in words", () => {
    expect(answer([]).extent).toBe("before any text");
    expect(answer([{ text: "abc" }]).extent).toBe("after 3 characters");
    expect(answer([{ toolCalls: [call()] }]).extent).toBe("after the beginning of a tool call");
    expect(answer([{ text: "abc" }, { toolCalls: [call()] }]).extent).toBe(
      "after 3 characters and the beginning of a tool call",
    );
  });
});
