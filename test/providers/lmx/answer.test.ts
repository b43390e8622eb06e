import { describe, expect, test } from "bun:test";
import { createAnswer, type AnswerOptions } from "../../../src/providers/lmx/answer.ts";
import type { Frame } from "../../../src/providers/lmx/frames.ts";
import type { ProviderEvent } from "../../../src/providers/provider.ts";
import { sampleTools } from "../../support/text-call-samples.ts";

function answer(frames: readonly Frame[], maxTokens = 100) {
  const events: ProviderEvent[] = [];
  const taken = createAnswer({ emit: (event) => events.push(event), maxTokens, server: "host:1" });
  for (const frame of frames) taken.take(frame);
  return { events, conclusion: taken.conclude(), extent: taken.extent() };
}

const call = (more: Partial<{ id: string; name: string; arguments: string }> = {}) => {
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

describe("calls and reasoning in text", () => {
  const hermes = '<tool_call>{"name": "read_file", "arguments": {"path": "a.txt"}}</tool_call>';
  const ask = (
    frames: readonly Frame[],
    more: Partial<Pick<AnswerOptions, "opensInThought" | "maxTokens">> = {},
  ) => {
    const events: ProviderEvent[] = [];
    const habits: boolean[] = [];
    const taken = createAnswer({
      emit: (event) => events.push(event),
      maxTokens: 100,
      server: "host:1",
      tools: sampleTools,
      onThoughtHabit: (opens) => habits.push(opens),
      ...more,
    });
    for (const frame of frames) taken.take(frame);
    const conclusion = taken.conclude();
    const joined = (type: "text" | "thinking") =>
      events.map((event) => (event.type === type ? event.text : "")).join("");
    return { events, habits, conclusion, text: joined("text"), thinking: joined("thinking") };
  };

  test("row 5: a call in text becomes a call, with an id, and the answer goes on with it", () => {
    const { text, conclusion } = ask([{ text: `I look.\n${hermes}` }, { finishReason: "stop" }]);
    expect(text).toBe("I look.\n");
    expect(conclusion).toMatchObject([
      { type: "tool_call", call: { name: "read_file", arguments: '{"path":"a.txt"}' } },
      { type: "done", finishReason: "tool_calls" },
    ]);
    const [first] = conclusion;
    expect(first?.type === "tool_call" && first.call.id).toMatch(/^call_/);
  });
  test("rule 1: structured calls win, whichever comes first", () => {
    const structured = { toolCalls: [{ index: 0, id: "c1", name: "list_dir", arguments: "{}" }] };
    for (const frames of [
      [{ text: hermes }, structured],
      [structured, { text: hermes }],
    ]) {
      const { conclusion } = ask(frames);
      expect(conclusion.filter(({ type }) => type === "tool_call")).toEqual([
        { type: "tool_call", call: { id: "c1", name: "list_dir", arguments: "{}" } },
      ]);
    }
  });
  test("rule 4: an unclosed call is a problem, never a call", () => {
    const { conclusion } = ask([{ text: hermes.slice(0, -3) }, { finishReason: "stop" }]);
    expect(conclusion).toMatchObject([
      {
        type: "tool_call",
        call: { name: "read_file", problem: expect.stringContaining("truncated tool call") },
      },
      { type: "done" },
    ]);
  });
  test("rule 4: so is half a structured call of a cut answer, also one whose arguments had not begun", () => {
    for (const written of ['{"path":"a', ""]) {
      const { conclusion } = ask([
        { toolCalls: [call({ arguments: written, name: "read_file" })] },
        { finishReason: "length" },
      ]);
      expect(conclusion).toMatchObject([
        {
          type: "tool_call",
          call: { name: "read_file", problem: expect.stringContaining("truncated") },
        },
        { type: "done", finishReason: "length" },
      ]);
    }
  });
  test("rule 4: structured arguments are mended, or named as a problem", () => {
    const argumentsOf = (written: string) =>
      ask([{ toolCalls: [call({ arguments: written, name: "read_file" })] }]).conclusion[0];
    expect(argumentsOf('{"path": "a",}')).toMatchObject({ call: { arguments: '{"path":"a"}' } });
    expect(argumentsOf('{"path": a}')).toMatchObject({
      call: { problem: expect.stringContaining("character 10") },
    });
  });
  test("a channel that leaked into a structured call's name is taken off", () => {
    const { conclusion } = ask([{ toolCalls: [call({ name: "list_dir<|channel|>commentary" })] }]);
    expect(conclusion[0]).toMatchObject({ call: { name: "list_dir" } });
  });
  test("row 6: reasoning in tags is reasoning", () => {
    const { text, thinking } = ask([
      { text: "<think>h" },
      { text: "m</thi" },
      { text: "nk>\nyes" },
    ]);
    expect([thinking, text]).toEqual(["hm", "yes"]);
  });
  test("row 6: a missing opener is told, and learnt", () => {
    const { events, habits } = ask([{ text: "hm\n</think>\n" }, { text: "yes" }]);
    expect(events).toEqual([
      { type: "text", text: "hm\n" },
      { type: "text_was_thinking" },
      { type: "text", text: "yes" },
    ]);
    expect(habits).toEqual([true]);
  });
  test("row 6: for a family that opens in thought nothing has to be taken back", () => {
    const { text, thinking } = ask([{ text: "hm\n</think>\nyes" }], { opensInThought: true });
    expect([thinking, text]).toEqual(["hm\n", "yes"]);
  });
  test("and where the server keeps the thought for itself, the answer is still an answer", () => {
    const alone = ask([{ text: "yes" }, { finishReason: "stop" }], { opensInThought: true });
    expect(alone.text).toBe("yes");
    expect(alone.habits).toEqual([false]);
    expect(alone.conclusion).toMatchObject([{ type: "done", finishReason: "stop" }]);
    const apart = ask([{ thinking: "hm" }, { text: "yes" }], { opensInThought: true });
    expect([apart.thinking, apart.text, apart.habits]).toEqual(["hm", "yes", []]);
  });
  test("row 8: a thought that is not closed was cut", () => {
    expect(ask([{ text: "<think>hm" }, { finishReason: "stop" }]).conclusion).toMatchObject([
      { type: "done", finishReason: "length" },
    ]);
  });
  test("a call inside the reasoning channel counts when nothing else was said", () => {
    const thought = { thinking: `I look.\n${hermes}` };
    expect(ask([thought]).conclusion[0]).toMatchObject({ call: { name: "read_file" } });
    expect(ask([thought, { text: "No." }]).conclusion).toMatchObject([{ type: "done" }]);
  });
  test("what was held back of an answer that broke off is text", () => {
    const events: ProviderEvent[] = [];
    const cut = createAnswer({
      emit: (event) => events.push(event),
      maxTokens: 9,
      server: "host:1",
      tools: sampleTools,
    });
    cut.take({ text: "a <tool" });
    expect(cut.hasBegun()).toBe(true);
    cut.release();
    expect(events).toEqual([
      { type: "text", text: "a " },
      { type: "text", text: "<tool" },
    ]);
  });
});
