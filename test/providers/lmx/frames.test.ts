import { describe, expect, test } from "bun:test";
import { decodeSocketFrame, decodeSseData, type Frame } from "../../../src/providers/lmx/frames.ts";

const id = "chatcmpl-a_b-c";
const usage = { promptTokens: 12, completionTokens: 3 };
const wireUsage = { prompt_tokens: 12, completion_tokens: 3 };
const call = { index: 0, id: "call_1", name: "read_file", arguments: '{"path":"a"}' };
const fault = (message: string, more = {}) => ({
  status: null,
  code: null,
  message,
  retryAfterMs: null,
  ...more,
});

describe("a WebSocket frame", () => {
  const cases: readonly (readonly [string, unknown, Frame])[] = [
    [
      "row 1: a token",
      { type: "chat.token", request_id: id, content: " a\n" },
      { requestId: id, text: " a\n" },
    ],
    [
      "row 1: reasoning",
      { type: "chat.reasoning", request_id: id, content: "hm" },
      { requestId: id, thinking: "hm" },
    ],
    [
      "row 1: a tool call",
      { type: "chat.tool_call", request_id: id, tool_call: call },
      { requestId: id, toolCalls: [call] },
    ],
    [
      "row 1: done",
      { type: "chat.done", request_id: id, finish_reason: "stop", usage: wireUsage },
      { requestId: id, done: true, finishReason: "stop", usage },
    ],
    [
      "row 1: chat.complete",
      { type: "chat.complete", request_id: id },
      { requestId: id, done: true },
    ],
    [
      "row 1: chat.completed",
      { type: "chat.completed", request_id: id },
      { requestId: id, done: true },
    ],
    [
      "row 1: done as an alias",
      { type: "done", request_id: id, model: "m" },
      { requestId: id, done: true },
    ],
    [
      "row 1: extra fields",
      { type: "chat.token", request_id: id, content: "a", x: 1 },
      { requestId: id, text: "a" },
    ],
    ["row 1: an unknown type", { type: "chat.queued", request_id: id, position: 2 }, {}],
    ["row 1: an unknown type with an error key", { type: "chat.note", error: "x" }, {}],
    [
      "row 1: an error",
      { type: "chat.error", request_id: id, error: "no" },
      { requestId: id, fault: fault("no") },
    ],
    [
      "row 16: an error with code and retry_after",
      {
        type: "chat.error",
        request_id: id,
        error: "busy",
        code: "rate_limit_exceeded",
        retry_after: 5,
      },
      { requestId: id, fault: fault("busy", { code: "rate_limit_exceeded", retryAfterMs: 5000 }) },
    ],
    [
      "row 11: a protocol note",
      { type: "chat.error", request_id: null, error: "Unknown message type: X" },
      { requestId: null, fault: fault("Unknown message type: X") },
    ],
    ["row 2: the ecosystem's chunk", { chunk: { delta: { content: "a" } } }, { text: "a" }],
    [
      "row 2: its tool call with args as an object",
      { chunk: { delta: { tool_calls: [{ name: "read_file", args: { path: "a" } }] } } },
      { toolCalls: [{ index: null, id: "", name: "read_file", arguments: '{"path":"a"}' }] },
    ],
    [
      "row 2: its tool call with args as a string",
      { delta: { tool_calls: [{ name: "f", args: "{}" }] } },
      { toolCalls: [{ index: null, id: "", name: "f", arguments: "{}" }] },
    ],
    [
      "row 2: OpenAI choices, ended by their finish_reason",
      { choices: [{ delta: { content: "a" }, finish_reason: "stop" }] },
      { text: "a", finishReason: "stop", done: true },
    ],
    [
      "row 4: a token without content",
      { type: "chat.token", request_id: id, content: null },
      { requestId: id, text: "" },
    ],
    ["row 4: an empty id", { type: "chat.token", request_id: "", content: "a" }, { text: "a" }],
    [
      "row 4: done without usage and finish_reason",
      { type: "chat.done", request_id: id, usage: null, finish_reason: null },
      { requestId: id, done: true },
    ],
    ["an array", [1], {}],
    ["a string", "hello", {}],
    ["null", null, {}],
  ];
  test.each(cases)("%s", (_name, value, expected) => {
    expect(decodeSocketFrame(JSON.stringify(value))).toEqual(expected);
  });
  test.each(["", "{", "ping", '{"type":"chat.tok'])("of garbage %p is ignored", (text) => {
    expect(decodeSocketFrame(text)).toEqual({});
  });
});

describe("the data of a server-sent event", () => {
  const cases: readonly (readonly [string, unknown, Frame])[] = [
    ["row 4: the role chunk", chunk({ role: "assistant", content: "", tool_calls: null }), {}],
    ["row 4: all keys null", chunk({ role: null, content: null, tool_calls: null }), {}],
    ["row 4: no tool calls", chunk({ content: "a", tool_calls: [] }), { text: "a" }],
    ["text", chunk({ content: "grüße\t" }), { text: "grüße\t" }],
    ["reasoning_content", chunk({ reasoning_content: "hm" }), { thinking: "hm" }],
    ["reasoning", chunk({ reasoning: "hm" }), { thinking: "hm" }],
    [
      "row 3: a whole tool call",
      chunk({
        tool_calls: [
          {
            index: 0,
            id: "call_1",
            type: "function",
            function: { name: "read_file", arguments: '{"path":"a"}' },
          },
        ],
      }),
      { toolCalls: [call] },
    ],
    [
      "row 3: a fragment without id and name",
      chunk({ tool_calls: [{ index: 1, function: { arguments: '{"p' } }] }),
      { toolCalls: [{ index: 1, id: "", name: "", arguments: '{"p' }] },
    ],
    [
      "row 3: arguments as an object, null index and id",
      chunk({
        tool_calls: [{ index: null, id: null, function: { name: "f", arguments: { a: 1 } } }],
      }),
      { toolCalls: [{ index: null, id: "", name: "f", arguments: '{"a":1}' }] },
    ],
    ["the finish", chunk({ content: null }, "tool_calls"), { finishReason: "tool_calls" }],
    ["row 22: usage in its own chunk", { choices: [], usage: wireUsage }, { usage }],
    [
      "row 22: usage in the last chunk",
      { ...chunk({}, "stop"), usage: wireUsage },
      { finishReason: "stop", usage },
    ],
    [
      "row 22: an error chunk",
      { error: { message: "boom", type: "server_error" } },
      { fault: fault("boom", { code: "server_error" }) },
    ],
    ["row 15: an error as a string", { error: "boom" }, { fault: fault("boom") }],
    ["choices that are no objects", { choices: [null] }, {}],
  ];
  test.each(cases)("%s", (_name, value, expected) => {
    expect(decodeSseData(JSON.stringify(value))).toEqual(expected);
  });
  test("row 22: [DONE] ends the answer", () => {
    expect(decodeSseData("[DONE]")).toEqual({ done: true });
    expect(decodeSseData("[DONE] ")).toEqual({ done: true });
  });
  test("of garbage carries nothing", () => {
    expect(decodeSseData('{"choices":[')).toEqual({ unreadable: true });
  });
});

function chunk(delta: Record<string, unknown>, finishReason: string | null = null) {
  return {
    id: "c",
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta, finish_reason: finishReason }],
    usage: null,
  };
}
