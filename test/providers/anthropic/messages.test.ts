import { expect, test } from "bun:test";
import type { Message, ToolCall } from "../../../src/protocol/message.ts";
import { toMessageParams } from "../../../src/providers/anthropic/messages.ts";

const model = "claude-test";
const params = (messages: readonly Message[]) => toMessageParams(messages, model);

function call(id: string, args = "{}"): ToolCall {
  return { id, type: "function", function: { name: "read_file", arguments: args } };
}
const result = (id: string, content: string): Message => ({
  role: "tool",
  tool_call_id: id,
  content,
});
const asked = (...calls: ToolCall[]): Message => ({
  role: "assistant",
  content: "",
  tool_calls: calls,
});
const use = (id: string, input = {}) => ({ type: "tool_use", id, name: "read_file", input });

test("system messages are left to the system field", () => {
  const messages: Message[] = [
    { role: "system", content: "rules" },
    { role: "user", content: "hi" },
  ];
  expect(params(messages)).toEqual([{ role: "user", content: [{ type: "text", text: "hi" }] }]);
});

test("tool calls become tool_use with parsed arguments, their results one user message", () => {
  const messages = [
    { ...asked(call("a", '{"path":"x"}'), call("b")), content: "I look." },
    result("a", "content of x"),
    result("b", ""),
  ];
  expect(params(messages)).toEqual([
    {
      role: "assistant",
      content: [{ type: "text", text: "I look." }, use("a", { path: "x" }), use("b")],
    },
    {
      role: "user",
      content: [
        { type: "tool_result", tool_use_id: "a", content: "content of x" },
        { type: "tool_result", tool_use_id: "b" },
      ],
    },
  ] as never);
});

test("results of two steps stay in two messages", () => {
  const messages = [asked(call("a")), result("a", "1"), asked(call("b")), result("b", "2")];
  expect(params(messages).map(({ role }) => role)).toEqual([
    "assistant",
    "user",
    "assistant",
    "user",
  ]);
});

test("ids that the API refuses are spelt anew, the same way for call and result", () => {
  const messages = [
    asked(call("functions.read_file:0")),
    result("functions.read_file:0", "first"),
    asked(call("functions.read_file:0")),
    result("functions.read_file:0", "second"),
  ];
  const [first, , second, answer] = params(messages);
  expect(first?.content).toEqual([use("functions_read_file_0")] as never);
  expect(second?.content).toEqual([use("functions_read_file_0_2")] as never);
  expect(answer?.content).toMatchObject([{ tool_use_id: "functions_read_file_0_2" }]);
});

test.each(["[1]", "null", '"text"', "{half", ""])(
  "arguments that are no object go as {}: %p",
  (text) => {
    expect(params([asked(call("a", text))])[0]?.content).toEqual([use("a")] as never);
  },
);

test("a message without a visible character still has words", () => {
  expect(
    params([
      { role: "user", content: " \n" },
      { role: "assistant", content: null },
    ]),
  ).toEqual([
    { role: "user", content: [{ type: "text", text: "(no text)" }] },
    { role: "assistant", content: [{ type: "text", text: "(no text)" }] },
  ]);
});

test("images go as data or by their address", () => {
  const content = [
    { type: "text" as const, text: "what is it?" },
    { type: "image_url" as const, image_url: { url: "data:image/png;base64,AAAA" } },
    { type: "image_url" as const, image_url: { url: "https://example.org/a.png" } },
  ];
  expect(params([{ role: "user", content }])[0]?.content).toEqual([
    { type: "text", text: "what is it?" },
    { type: "image", source: { type: "base64", media_type: "image/png", data: "AAAA" } },
    { type: "image", source: { type: "url", url: "https://example.org/a.png" } },
  ]);
});

const thinking = { type: "thinking", thinking: "hm", signature: "signed" };
const thought = (anthropic: object): Message => ({
  role: "assistant",
  content: "AB",
  tool_calls: [call("a")],
  reasoning: "hm",
  anthropic,
});

test("signed thinking goes back in its place", () => {
  const blocks = [
    thinking,
    { type: "text", chars: 1 },
    { type: "redacted_thinking", data: "sealed" },
    { type: "text", chars: 1 },
    { type: "tool_use" },
  ];
  expect(params([thought({ model, blocks })])[0]?.content).toEqual([
    thinking,
    { type: "text", text: "A" },
    { type: "redacted_thinking", data: "sealed" },
    { type: "text", text: "B" },
    use("a"),
  ] as never);
});

test("thinking goes first where the text is not what it was", () => {
  const blocks = [{ type: "text", chars: 7 }, thinking, { type: "tool_use" }];
  expect(params([thought({ model, blocks })])[0]?.content).toEqual([
    thinking,
    { type: "text", text: "AB" },
    use("a"),
  ] as never);
});

test.each([
  ["another model signed it", { model: "claude-other", blocks: [thinking] }],
  ["it is not ours", { blocks: "x" }],
])("thinking is left out when %s", (_why, kept) => {
  const plain = [{ type: "text", text: "AB" }, use("a")];
  expect(params([thought(kept)])[0]?.content).toEqual(plain as never);
});

test("a longer conversation begins with the same bytes", () => {
  const messages: Message[] = [{ role: "user", content: "go" }];
  for (let step = 0; step < 30; step += 1) {
    const blocks = [
      { ...thinking, thinking: `hm ${step}` },
      { type: "text", chars: 2 },
      { type: "tool_use" },
      { type: "tool_use" },
    ];
    messages.push({
      ...asked(call(`x.${step % 3}`), call("y")),
      content: "ab",
      anthropic: { model, blocks },
    });
    messages.push(result(`x.${step % 3}`, "1"), result("y", "2"));
  }
  const texts = messages.map((_message, index) =>
    JSON.stringify(params(messages.slice(0, index + 1))),
  );
  for (const [index, text] of texts.slice(0, -1).entries()) {
    const isInsideResults =
      messages[index + 1]?.role === "tool" && messages[index]?.role === "tool";
    // A list that still grows inside its last message ends in three brackets more.
    expect(texts[index + 1]?.startsWith(text.slice(0, isInsideResults ? -3 : -1))).toBe(true);
  }
});
