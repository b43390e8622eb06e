import { describe, expect, test } from "bun:test";
import { OptaError } from "../../../src/protocol/error.ts";
import type { Message } from "../../../src/protocol/message.ts";
import { encodeChatRequest } from "../../../src/providers/lmx/request.ts";
import type { ToolSchema } from "../../../src/providers/provider.ts";
import { chatRequest } from "../../support/fake-model-server.ts";
import { requestStyleOf } from "../../../src/providers/openai/request-style.ts";

const tool: ToolSchema = {
  type: "function",
  function: { name: "read_file", description: "Reads.", parameters: { type: "object" } },
};
const history: readonly Message[] = [
  { role: "system", content: "You help." },
  { role: "user", content: "read a" },
  {
    role: "assistant",
    content: null,
    tool_calls: [
      { id: "c1", type: "function", function: { name: "read_file", arguments: '{"path":"a"}' } },
    ],
  },
  { role: "tool", tool_call_id: "c1", content: "A" },
];

describe("the request's bytes", () => {
  test("row 26: WebSocket: stream and max_tokens always, messages last", () => {
    const text = encodeChatRequest(chatRequest({ tools: [tool], messages: history }), "websocket");
    expect(Object.keys(JSON.parse(text) as object)).toEqual([
      "type",
      "model",
      "stream",
      "max_tokens",
      "tools",
      "messages",
    ]);
    expect(JSON.parse(text)).toMatchObject({
      type: "chat.request",
      stream: true,
      max_tokens: 2048,
    });
  });
  test("row 26: SSE asks for usage and has no type", () => {
    const body = JSON.parse(encodeChatRequest(chatRequest(), "sse")) as Record<string, unknown>;
    expect(Object.keys(body)).toEqual([
      "model",
      "stream",
      "stream_options",
      "max_tokens",
      "messages",
    ]);
    expect(body.stream_options).toEqual({ include_usage: true });
  });
  test("request N is a byte prefix of request N+1", () => {
    for (const transport of ["websocket", "sse"] as const) {
      const texts = history.map((_message, index) =>
        encodeChatRequest(
          chatRequest({ tools: [tool], messages: history.slice(0, index + 1) }),
          transport,
        ),
      );
      texts.slice(1).forEach((text, index) => {
        expect(text).toStartWith(texts[index]!.slice(0, -"]}".length));
      });
    }
  });
  test("row 26: content is never omitted and keys that are not of the wire stay at home", () => {
    const messages = [{ role: "assistant", tool_calls: [], model: "m", content: undefined }];
    const text = encodeChatRequest(
      chatRequest({ messages: messages as unknown as Message[] }),
      "websocket",
    );
    expect(JSON.parse(text)).toMatchObject({ messages: [{ role: "assistant", content: null }] });
    expect(text).toEndWith('"messages":[{"role":"assistant","content":null}]}');
  });
  const thoughtful: readonly Message[] = [
    ...history.slice(0, 2),
    { ...(history[2] as Message), reasoning: "\nI look.\n" },
    history[3] as Message,
    { role: "assistant", content: "It says A.", reasoning: "Easy." },
    { role: "user", content: "thanks" },
    { role: "assistant", content: "Welcome.", reasoning: " " },
  ];
  const reasoningsOf = (text: string) =>
    (JSON.parse(text) as { messages: { reasoning_content?: string }[] }).messages.map(
      (message) => message.reasoning_content,
    );
  test("text-tool-calls rule 7: reasoning goes back to the families that want it, in all their messages", () => {
    const request = chatRequest({ model: "org/GLM-4.6", messages: thoughtful });
    const resent = [undefined, undefined, "I look.", undefined, "Easy.", undefined, undefined];
    expect(reasoningsOf(encodeChatRequest(request, "sse"))).toEqual(resent);
    const none = thoughtful.map(() => undefined);
    for (const model of ["Qwen3-32B", "scripted"]) {
      expect(reasoningsOf(encodeChatRequest({ ...request, model }, "websocket"))).toEqual(none);
    }
    const dropped = { style: requestStyleOf("lmx"), settings: { reasoning: "drop" } } as const;
    expect(reasoningsOf(encodeChatRequest(request, "sse", dropped))).toEqual(none);
    const kept = { style: requestStyleOf("lmx"), settings: { reasoning: "resend" } } as const;
    expect(reasoningsOf(encodeChatRequest({ ...request, model: "x" }, "sse", kept))).toEqual(
      resent,
    );
  });
  test("and with it, too, request N is a byte prefix of request N+1", () => {
    const texts = thoughtful.map((_message, index) => {
      const messages = thoughtful.slice(0, index + 1);
      return encodeChatRequest(chatRequest({ model: "MiniMax-M2.5", messages }), "websocket");
    });
    expect(texts.at(-1)).toContain("I look.");
    texts.slice(1).forEach((text, index) => {
      expect(text).toStartWith(texts[index]!.slice(0, -"]}".length));
    });
  });
  const malformed: readonly (readonly [string, unknown, string])[] = [
    ["no role", { content: "x" }, "messages.0.role"],
    [
      "arguments as an object",
      {
        role: "assistant",
        content: "",
        tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: {} } }],
      },
      "messages.0.tool_calls.0.function.arguments",
    ],
    ["content as a number", { role: "user", content: 5 }, "messages.0.content"],
  ];
  test.each(malformed)("row 26: %s is not sent", (_name, message, place) => {
    const encode = () => encodeChatRequest(chatRequest({ messages: [message as Message] }), "sse");
    expect(encode).toThrow(OptaError);
    expect(encode).toThrow(place);
  });
});
