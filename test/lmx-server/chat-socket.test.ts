import { expect, test } from "bun:test";
import { once } from "node:events";
import { connect } from "node:net";
import type { ScenarioInput } from "../../src/lmx-server/scenario.ts";
import { chatRequest } from "../support/chat-request.ts";
import { startScripted } from "../support/lmx.ts";
import { isOver, openRawSocket } from "../support/raw-socket.ts";
import type { Frame } from "../support/raw-socket.ts";

/** All frames of one request, their id replaced by "ID" once it proved to be the same everywhere. */
async function exchange(scenario: ScenarioInput, fields = {}): Promise<readonly Frame[]> {
  await using server = await startScripted(scenario);
  using socket = await openRawSocket(server.webSocketUrl);
  socket.send(chatRequest(fields));
  const frames = await socket.until(isOver);
  const id = frames[0]?.request_id ?? "";
  expect(id).toMatch(/^chatcmpl-[A-Za-z0-9_-]{22}$/);
  return frames.map((frame) => (frame.request_id === id ? { ...frame, request_id: "ID" } : frame));
}

test("thinking, text, a whole tool call and done are the flat frames of the contract", async () => {
  const frames = await exchange({
    turns: [
      {
        thinking: "I look.",
        text: "Let me see.",
        toolCalls: [{ id: "call_1", name: "read_file", arguments: { path: "a.txt" } }],
        usage: { promptTokens: 12, completionTokens: 34 },
      },
    ],
  });
  expect(frames).toEqual([
    { type: "chat.reasoning", request_id: "ID", content: "I" },
    { type: "chat.reasoning", request_id: "ID", content: " look." },
    { type: "chat.token", request_id: "ID", content: "Let" },
    { type: "chat.token", request_id: "ID", content: " me" },
    { type: "chat.token", request_id: "ID", content: " see." },
    {
      type: "chat.tool_call",
      request_id: "ID",
      tool_call: { index: 0, id: "call_1", name: "read_file", arguments: '{"path":"a.txt"}' },
    },
    {
      type: "chat.done",
      request_id: "ID",
      finish_reason: "tool_calls",
      usage: { prompt_tokens: 12, completion_tokens: 34 },
    },
  ]);
});

test("usage is counted as LMX counts it when the scenario names none", async () => {
  const frames = await exchange({ turns: [{ text: "one two three" }] });
  expect(frames.at(-1)).toEqual({
    type: "chat.done",
    request_id: "ID",
    finish_reason: "stop",
    usage: { prompt_tokens: 2, completion_tokens: 3 },
  });
});

test("thinking as tags is text, and a length finish is told truthfully", async () => {
  const turn = { thinking: "hm", thinkingAs: "tags", chunks: "whole", text: "Yes" } as const;
  const frames = await exchange({ turns: [{ ...turn, finishReason: "length", usage: null }] });
  expect(frames).toEqual([
    { type: "chat.token", request_id: "ID", content: "<think>hm</think>" },
    { type: "chat.token", request_id: "ID", content: "Yes" },
    { type: "chat.done", request_id: "ID", finish_reason: "length", usage: null },
  ]);
});

test("without streaming, done carries the content and tool calls are dropped", async () => {
  const call = { name: "read_file", arguments: {} };
  const frames = await exchange(
    { turns: [{ text: "All at once.", toolCalls: [call] }] },
    { stream: false },
  );
  expect(frames).toEqual([
    {
      type: "chat.done",
      request_id: "ID",
      finish_reason: "tool_calls",
      usage: { prompt_tokens: 2, completion_tokens: 4 },
      content: "All at once.",
    },
  ]);
});

test("text is the same whichever way it is cut into chunks", async () => {
  const text = "  Über 3\tfiles:\n\n```\n\tx  \n``` 🦊🦊 done \n";
  const cuts = ["whole", "words", { everyChars: 1 }, { everyChars: 7 }] as const;
  await using server = await startScripted({ turns: cuts.map((chunks) => ({ text, chunks })) });
  for (const _ of cuts) {
    using socket = await openRawSocket(server.webSocketUrl);
    socket.send(chatRequest());
    const frames = await socket.until(isOver);
    expect(frames.map((frame) => frame["content"] ?? "").join("")).toBe(text);
  }
});

test("requests on one socket are interleaved and told apart by their id", async () => {
  const delays = { betweenChunksMs: 5 };
  await using server = await startScripted({
    turns: [
      { text: "a1 a2 a3 a4 a5 a6", delays },
      { text: "b1 b2 b3 b4 b5 b6", delays },
    ],
  });
  using socket = await openRawSocket(server.webSocketUrl);
  socket.send(chatRequest());
  socket.send(chatRequest());
  const frames = await socket.until(
    (all) => all.filter((frame) => frame.type === "chat.done").length === 2,
  );
  const ids = [...new Set(frames.map((frame) => frame.request_id))];
  const texts = ids.map((id) =>
    frames
      .filter((frame) => frame.request_id === id)
      .map((frame) => frame["content"] ?? `[${frame.type}]`)
      .join(""),
  );
  expect(texts).toEqual(["a1 a2 a3 a4 a5 a6[chat.done]", "b1 b2 b3 b4 b5 b6[chat.done]"]);
  const firstDone = frames.findIndex((frame) => frame.type === "chat.done");
  const before = new Set(frames.slice(0, firstDone).map((frame) => frame.request_id));
  expect(before.size).toBe(2);
});

test("a cancel ends an endless answer with done, cancelled, and no usage", async () => {
  await using server = await startScripted({
    turns: [{ repeat: { text: "on ", times: 1_000_000_000 } }, { text: "still here" }],
  });
  using socket = await openRawSocket(server.webSocketUrl);
  socket.send(chatRequest());
  const [first] = await socket.until((frames) => frames.length > 0);
  socket.send({ type: "chat.cancel", request_id: first?.request_id });
  const frames = await socket.until(isOver);
  expect(frames.at(-1)).toEqual({
    type: "chat.done",
    request_id: first?.request_id ?? "",
    finish_reason: "cancelled",
    usage: { prompt_tokens: 0, completion_tokens: 0 },
  });
  expect(server.requests[0]?.outcome).toBe("cancelled");
});

test("a cancel of an unknown id is ignored, as the keepalive of clients needs it", async () => {
  await using server = await startScripted({ turns: [{ text: "Hello" }] });
  using socket = await openRawSocket(server.webSocketUrl);
  socket.send({ type: "chat.cancel", request_id: "keepalive" });
  socket.send(chatRequest());
  const frames = await socket.until(isOver);
  expect(frames.map((frame) => frame.type)).toEqual(["chat.token", "chat.done"]);
});

test("an unknown message type is an error without an id, and the socket stays open", async () => {
  await using server = await startScripted({ turns: [{ text: "Hello" }] });
  using socket = await openRawSocket(server.webSocketUrl);
  socket.send({ type: "chat.ping" });
  expect(await socket.until(isOver)).toEqual([
    { type: "chat.error", request_id: null, error: "Unknown message type: chat.ping" },
  ]);
  socket.send(chatRequest());
  await socket.until((frames) => frames.at(-1)?.type === "chat.done");
});

for (const [what, frame] of [
  ["invalid JSON", "{oops"],
  ["a JSON array", "[1]"],
  ["null", "null"],
] as const)
  test(`${what} closes the socket with 1000 and no frame`, async () => {
    await using server = await startScripted({ turns: [] });
    using socket = await openRawSocket(server.webSocketUrl);
    socket.send(frame);
    expect(await socket.closed).toBe(1000);
    expect(socket.frames).toEqual([]);
  });

test("a binary frame closes the socket with 1000", async () => {
  await using server = await startScripted({ turns: [] });
  const socket = new WebSocket(server.webSocketUrl);
  socket.addEventListener("open", () => socket.send(new Uint8Array([123, 125])));
  const code = await new Promise((resolve) =>
    socket.addEventListener("close", (event) => resolve(event.code)),
  );
  expect(code).toBe(1000);
});

const user = { role: "user", content: "Hello" };
const call = { id: "c1", type: "function", function: { name: "read_file", arguments: "{}" } };
const asked = { role: "assistant", content: null, tool_calls: [call] };
const result = { role: "tool", tool_call_id: "c1", content: "text" };
const tool = { type: "function", function: { name: "read_file", parameters: { type: "object" } } };
const objectArguments = { ...call, function: { name: "read_file", arguments: {} } };

for (const [what, fields, words] of [
  ["no model", { model: null }, "model"],
  ["no messages", { messages: undefined }, "messages"],
  ["an unknown role", { messages: [{ role: "robot", content: "x" }] }, "messages[0].role"],
  ["a missing content", { messages: [{ role: "user" }] }, "messages[0].content"],
  [
    "arguments that are no string",
    { messages: [user, { ...asked, tool_calls: [objectArguments] }, result] },
    "arguments must be a JSON string",
  ],
  ["a tool call without result", { messages: [user, asked] }, "'c1' has no result"],
  ["a tool call answered too late", { messages: [user, asked, user, result] }, "messages[2]"],
  ["a result nobody asked for", { messages: [user, result] }, "messages[1]"],
  [
    "a second system message",
    { messages: [{ role: "system", content: "a" }, { role: "system", content: "b" }, user] },
    "messages[1]",
  ],
  [
    "an assistant's message last",
    { messages: [user, { role: "assistant", content: "x" }] },
    "last message",
  ],
  [
    "a tool without a name",
    { tools: [{ type: "function", function: { parameters: {} } }] },
    "tools[0]",
  ],
  ["a tool offered twice", { tools: [tool, tool] }, "'read_file' is offered twice"],
  ["a model that is not loaded", { model: "other" }, "Model 'other' is not loaded"],
  [
    "a prompt that cannot fit",
    { messages: [{ role: "user", content: "x".repeat(200_000) }] },
    "context",
  ],
] as const)
  test(`a request with ${what} is answered with an error that bears its id`, async () => {
    const frames = await exchange({ turns: [{ text: "never" }] }, fields);
    expect(frames).toHaveLength(1);
    expect(frames[0]?.type).toBe("chat.error");
    expect(frames[0]?.["error"]).toContain(words);
  });

test("a whole conversation with tool results is accepted, and a refused request uses up no turn", async () => {
  await using server = await startScripted({ turns: [{ text: "First" }] });
  using socket = await openRawSocket(server.webSocketUrl);
  socket.send(chatRequest({ messages: [user, asked] }));
  await socket.until(isOver);
  const system = { role: "system", content: "Be brief." };
  socket.send(chatRequest({ messages: [system, user, asked, result], tools: [tool] }));
  const frames = await socket.until((all) => all.at(-1)?.type === "chat.done");
  expect(frames.map((frame) => frame["content"] ?? frame.type)).toEqual([
    "chat.error",
    "First",
    "chat.done",
  ]);
});

test("the alias auto means the model that is loaded", async () => {
  const frames = await exchange({ turns: [{ text: "Hello" }] }, { model: "auto" });
  expect(frames.at(-1)?.type).toBe("chat.done");
});

test("progress comes until the first frame, so that clients that expect signs of life stay", async () => {
  const frames = await exchange({
    turns: [{ text: "late but here", delays: { firstTokenMs: 150, betweenChunksMs: 40 } }],
    server: { progressEveryMs: 20 },
  });
  const types = frames.map((frame) => frame.type);
  const progress = types.filter((type) => type === "chat.progress").length;
  expect(progress).toBeGreaterThanOrEqual(2);
  expect(types.slice(progress)).toEqual(["chat.token", "chat.token", "chat.token", "chat.done"]);
});

test("pings come while a request runs", async () => {
  await using server = await startScripted({
    turns: [{ text: "late", delays: { firstTokenMs: 150 } }],
    server: { pingEveryMs: 10 },
  });
  const socket = new WebSocket(server.webSocketUrl);
  const pinged = new Promise((resolve) => socket.addEventListener("ping" as "message", resolve));
  socket.addEventListener("open", () => socket.send(JSON.stringify(chatRequest())));
  await pinged;
  socket.terminate();
});

test("5,000 chunks arrive one frame each, in order, and none is lost", async () => {
  await using server = await startScripted({ turns: [{ repeat: { text: "x ", times: 5000 } }] });
  using socket = await openRawSocket(server.webSocketUrl);
  socket.send(chatRequest());
  const frames = await socket.until((all) => all.at(-1)?.type === "chat.done");
  expect(frames).toHaveLength(5001);
});

test("a client that stops reading stops its generation instead of filling memory", async () => {
  await using server = await startScripted({
    turns: [{ repeat: { text: "x".repeat(4000), times: 1_000_000 } }],
  });
  const socket = connect(server.port, "127.0.0.1");
  const handshake = [
    "GET /v1/chat/stream HTTP/1.1",
    "Host: 127.0.0.1",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  ];
  socket.write(`${handshake.join("\r\n")}\r\n\r\n`);
  await once(socket, "data");
  socket.pause();
  const payload = Buffer.from(JSON.stringify(chatRequest()));
  // A masked text frame with a 16-bit length and a mask of zeros.
  const head = [0x81, 0xfe, payload.length >> 8, payload.length & 255, 0, 0, 0, 0];
  socket.write(Buffer.concat([Buffer.from(head), payload]));
  let before = -1;
  for (let sent = 0; sent === 0 || sent !== before; await Bun.sleep(50)) {
    before = sent;
    sent = server.requests[0]?.framesSent ?? 0;
  }
  expect(before).toBeLessThan(10_000); // 40 MB; the kernel's own buffers take a few
  expect(server.requests[0]?.outcome).toBe("pending");
  socket.destroy();
  while (server.requests[0]?.outcome === "pending") await Bun.sleep(5);
  expect(server.requests[0]?.outcome).toBe("gone");
});

test("a frame above 16 MiB closes the socket, one of 15 MiB does not", async () => {
  await using server = await startScripted({
    turns: [{ text: "read it" }],
    models: [{ id: "scripted", contextLength: null }],
  });
  using socket = await openRawSocket(server.webSocketUrl);
  const ofMiB = (size: number) =>
    chatRequest({ messages: [{ role: "user", content: "x".repeat(size * 1024 * 1024) }] });
  socket.send(ofMiB(15));
  await socket.until((frames) => frames.at(-1)?.type === "chat.done");
  socket.send(ofMiB(17));
  expect([1006, 1009]).toContain(await socket.closed);
  expect(server.requests).toHaveLength(1);
});

test("a lost connection frees its request", async () => {
  await using server = await startScripted({
    turns: [{ repeat: { text: "on ", times: 1_000_000_000 } }],
  });
  const socket = await openRawSocket(server.webSocketUrl);
  socket.send(chatRequest());
  await socket.until((frames) => frames.length > 0);
  socket[Symbol.dispose]();
  while (server.requests[0]?.outcome === "pending") await Bun.sleep(5);
  expect(server.requests[0]?.outcome).toBe("gone");
});

test("each frame is recorded byte for byte with its headers, socket and times", async () => {
  await using server = await startScripted({ turns: [{ text: "Hello you" }] });
  using socket = await openRawSocket(server.webSocketUrl, { "X-Trace": "t1" });
  const text = `{ "type":"chat.request" , "model":"scripted","messages":[{"role":"user","content":"ü"}]}`;
  const sentAtMs = performance.timeOrigin + performance.now();
  socket.send(text);
  await socket.until(isOver);
  expect(server.traffic.map((entry) => entry.transport)).toEqual(["upgrade", "websocket"]);
  const [record] = server.requests;
  if (!record) throw new Error("nothing recorded");
  expect(record.body).toBe(text);
  expect(record.headers["x-trace"]).toBe("t1");
  expect(record.connection).toBe(1);
  expect(record.framesSent).toBe(3);
  expect(record.receivedAtMs).toBeGreaterThanOrEqual(sentAtMs);
  expect(record.lastFrameAtMs).toBeGreaterThanOrEqual(record.firstFrameAtMs ?? Infinity);
  expect(server.chats()[0]?.messages[0]?.content).toBe("ü");
});
