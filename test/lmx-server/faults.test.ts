// Every fault of a scenario, as a client sees it over both transports.
import { expect, test } from "bun:test";
import type { ScenarioInput } from "../../src/lmx-server/scenario.ts";
import { chatRequest, postChat } from "../support/chat-request.ts";
import { startScripted } from "../support/lmx.ts";
import { isOver, openRawSocket } from "../support/raw-socket.ts";
import type { Frame } from "../support/raw-socket.ts";

type Fault = NonNullable<ScenarioInput["turns"][number]["fault"]>;
const faulty = (fault: Fault): ScenarioInput => ({ turns: [{ text: "a b c d", fault }] });

/** What each frame says, in short, and the close code when the socket ended. */
async function overSocket(scenario: ScenarioInput, headers = {}) {
  await using server = await startScripted(scenario);
  using socket = await openRawSocket(server.webSocketUrl, headers);
  socket.send(chatRequest());
  const ended = socket.until(isOver).then(
    () => "answered" as const,
    () => "closed" as const,
  );
  const code = (await ended) === "closed" ? await socket.closed : null;
  return { said: socket.frames.map((frame) => inShort(frame as Frame)), code, server };
}

function inShort(frame: Frame): unknown {
  return frame["content"] ?? frame.type ?? frame["text"] ?? frame["bytes"];
}

/** The body as far as it came, and whether it ended as if it were complete. */
async function overHttp(scenario: ScenarioInput) {
  await using server = await startScripted(scenario);
  const response = await postChat(server.url);
  let text = "";
  try {
    const decoder = new TextDecoder();
    for await (const bytes of response.body ?? []) text += decoder.decode(bytes, { stream: true });
  } catch (error) {
    return { text, failed: (error as { code?: string }).code };
  }
  return { text, failed: null };
}

const contents = (text: string) =>
  [...text.matchAll(/"content":"([^"]+)"/g)].map((match) => match[1]);

for (let chunk = 0; chunk <= 4; chunk += 1) {
  const arrived = ["a", " b", " c", " d"].slice(0, chunk);

  test(`a drop at chunk ${chunk} ends the socket without a close frame`, async () => {
    const { said, code } = await overSocket(faulty({ kind: "drop", atChunk: chunk }));
    expect(said).toEqual(arrived);
    expect(code).toBe(1006);
  });

  test(`a drop at chunk ${chunk} resets the HTTP connection`, async () => {
    const { text, failed } = await overHttp(faulty({ kind: "drop", atChunk: chunk }));
    expect(contents(text)).toEqual(arrived);
    expect(failed).toBe("ECONNRESET");
  });
}

for (const code of [1000, 1001, 1005, 1011])
  test(`a close with ${code} comes without done`, async () => {
    const result = await overSocket(faulty({ kind: "close", atChunk: 2, code }));
    expect(result.said).toEqual(["a", " b"]);
    expect(result.code).toBe(code);
  });

test("a close with 1006 is a drop", async () => {
  const result = await overSocket(faulty({ kind: "close", atChunk: 2, code: 1006 }));
  expect([result.said, result.code]).toEqual([["a", " b"], 1006]);
});

test("a close at a chunk beyond the last one comes before the finish", async () => {
  const result = await overSocket(faulty({ kind: "close", atChunk: 99 }));
  expect([result.said, result.code]).toEqual([["a", " b", " c", " d"], 1000]);
});

test("over SSE a close ends the body cleanly, without finish and [DONE]", async () => {
  const { text, failed } = await overHttp(faulty({ kind: "close", atChunk: 2 }));
  expect(contents(text)).toEqual(["a", " b"]);
  expect(text).not.toContain('"finish_reason":"stop"');
  expect(text).not.toContain("[DONE]");
  expect(failed).toBeNull();
});

test("an error is chat.error with the request's id, code and retry_after, and the socket stays open", async () => {
  await using server = await startScripted({
    turns: [
      {
        text: "a b",
        fault: {
          kind: "error",
          atChunk: 1,
          message: "Server is busy",
          code: "rate_limit_exceeded",
          retryAfterSeconds: 5,
        },
      },
      { text: "again" },
    ],
  });
  using socket = await openRawSocket(server.webSocketUrl);
  socket.send(chatRequest());
  const frames = await socket.until(isOver);
  const id = frames[0]?.request_id ?? "";
  expect(frames).toEqual([
    { type: "chat.token", request_id: id, content: "a" },
    {
      type: "chat.error",
      request_id: id,
      error: "Server is busy",
      code: "rate_limit_exceeded",
      retry_after: 5,
    },
  ]);
  socket.send(chatRequest());
  await socket.until((all) => all.at(-1)?.type === "chat.done");
  expect(server.requests.map((request) => request.outcome)).toEqual(["error", "done"]);
});

test("over SSE an error is an error chunk without finish", async () => {
  const { text } = await overHttp(faulty({ kind: "error", atChunk: 1, message: "boom" }));
  const last = text.trimEnd().split("\n\n").at(-1);
  expect(last).toBe(
    'data: {"error":{"message":"boom","type":"server_error","param":null,"code":null}}',
  );
});

test("a disguised error is content and a stop over SSE, and a plain error over the socket", async () => {
  const fault = { kind: "error", atChunk: 1, message: "busy", disguised: true } as const;
  const { text } = await overHttp(faulty(fault));
  expect(contents(text)).toEqual(["a", "\\n\\n[Error: busy]"]);
  expect(text).toContain('"finish_reason":"stop"');
  expect(text).toEndWith("data: [DONE]\n\n");
  expect((await overSocket(faulty(fault))).said).toEqual(["a", "chat.error"]);
});

test("garbage comes in between, as text or binary, and the answer goes on", async () => {
  const rest = [" b", " c", " d", "chat.done"];
  const text = await overSocket(faulty({ kind: "garbage", atChunk: 1 }));
  expect(text.said).toEqual(["a", "{this is not json", ...rest]);
  const binary = await overSocket(
    faulty({ kind: "garbage", atChunk: 1, text: "xx", binary: true }),
  );
  expect(binary.said).toEqual(["a", "xx", ...rest]);
  const sse = await overHttp(faulty({ kind: "garbage", atChunk: 1 }));
  expect(sse.text).toContain("\n\ndata: {this is not json\n\n");
  expect(contents(sse.text)).toEqual(["a", " b", " c", " d"]);
});

test("without its end marker an SSE answer finishes and ends", async () => {
  const { text, failed } = await overHttp(faulty({ kind: "no-end-marker" }));
  expect(text).toContain('"finish_reason":"stop"');
  expect(text).not.toContain("[DONE]");
  expect(failed).toBeNull();
});

test("silence keeps the connection open and says nothing more, not even progress", async () => {
  const scenario = {
    ...faulty({ kind: "silence", atChunk: 1 }),
    server: { progressEveryMs: 5 },
  };
  await using server = await startScripted(scenario);
  using socket = await openRawSocket(server.webSocketUrl);
  socket.send(chatRequest());
  await socket.until((frames) => frames.some((frame) => frame["content"] === "a"));
  const count = socket.frames.length;
  await Bun.sleep(50);
  expect(socket.frames).toHaveLength(count);
  expect(server.requests[0]?.outcome).toBe("fault");
});

test("silence over SSE lasts until the client leaves", async () => {
  await using server = await startScripted(faulty({ kind: "silence", atChunk: 2 }));
  const stop = new AbortController();
  const response = await postChat(server.url, {}, { signal: stop.signal });
  const reader = response.body?.getReader();
  let text = "";
  while (!text.includes('" b"')) text += new TextDecoder().decode((await reader?.read())?.value);
  const more = reader?.read().then(
    () => "more",
    () => "aborted",
  );
  expect(await Promise.race([more, Bun.sleep(50).then(() => "silent")])).toBe("silent");
  stop.abort();
  expect(await more).toBe("aborted");
});

for (const [status, code] of [
  [401, null],
  [403, null],
  [404, "model_not_found"],
  [429, "rate_limit_exceeded"],
  [500, "internal_error"],
  [503, "overloaded"],
  [507, "insufficient_memory"],
] as const)
  test(`a scripted ${status} is that status before any byte, and chat.error over the socket`, async () => {
    const refusal = { kind: "http", status, code, message: "no", retryAfterSeconds: 7 } as const;
    await using server = await startScripted({ turns: [{ fault: refusal }, { fault: refusal }] });
    const response = await postChat(server.url);
    expect(response.status).toBe(status);
    expect(response.headers.get("retry-after")).toBe("7");
    expect(await response.json()).toMatchObject({ error: { message: "no", code } });
    using socket = await openRawSocket(server.webSocketUrl);
    socket.send(chatRequest());
    const [frame] = await socket.until(isOver);
    expect(frame).toMatchObject({ type: "chat.error", error: "no", retry_after: 7 });
    expect(frame?.["code"] ?? null).toBe(code);
  });

test("a refusal's body can be anything", async () => {
  const body = "<html>502</html>";
  await using server = await startScripted({
    turns: [{ fault: { kind: "http", status: 502, body } }],
  });
  const response = await postChat(server.url);
  expect([response.status, await response.text()]).toEqual([502, body]);
});

test("a raw turn is written piece by piece, bytes and the request's id included", async () => {
  const pieces = [
    ": keepalive\r\n\r\n",
    'data: {"x":"',
    { base64: Buffer.from("ü").subarray(0, 1).toString("base64") },
    { base64: Buffer.from("ü").subarray(1).toString("base64") },
    '"}\r\n\r\n',
  ];
  const { text } = await overHttp({ turns: [{ raw: { sse: pieces } }] });
  expect(text).toBe(': keepalive\r\n\r\ndata: {"x":"ü"}\r\n\r\n');
  const { said } = await overSocket({
    turns: [
      {
        raw: {
          ws: [
            { choices: [{ delta: { content: "x" } }] },
            "plain",
            { type: "chat.done", request_id: "$id" },
          ],
        },
      },
    ],
  });
  expect(said).toEqual([undefined, "plain", "chat.done"]);
});

test("a socket that is switched off refuses the upgrade, and discovery says null", async () => {
  await using server = await startScripted({ turns: [], server: { webSocket: false } });
  expect(await upgradeStatus(server.url, "/v1/chat/stream")).toBe(403);
  const discovery = (await (await fetch(`${server.url}/v1/discovery`)).json()) as {
    endpoints: { websocket_url: unknown };
  };
  expect(discovery.endpoints.websocket_url).toBeNull();
});

test("a socket at another path refuses all others", async () => {
  await using server = await startScripted({ turns: [], server: { webSocket: "/ws/chat" } });
  expect(await upgradeStatus(server.url, "/v1/chat/stream")).toBe(403);
  using socket = await openRawSocket(server.webSocketUrl);
  expect(server.webSocketUrl).toEndWith("/ws/chat");
  expect(socket.frames).toEqual([]);
});

test("routes of the scenario answer in place of ours, late, for a while or never", async () => {
  await using server = await startScripted({
    turns: [{ text: "Hi" }],
    server: {
      routes: [
        { path: "/healthz", status: 503, body: "warming up", times: 1 },
        { path: "/admin/*", status: 404, body: { detail: "Not Found" } },
        { path: "/v1/chat/stream", status: 426 },
        { path: "/v1/models", hang: true, times: 1 },
        { path: "/readyz", delayMs: 60 },
      ],
    },
  });
  const health = await fetch(`${server.url}/healthz`);
  expect([health.status, await health.text()]).toEqual([503, "warming up"]);
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  expect(await (await fetch(`${server.url}/admin/models`)).json()).toEqual({ detail: "Not Found" });
  expect(await upgradeStatus(server.url, "/v1/chat/stream")).toBe(426);
  const hanging = fetch(`${server.url}/v1/models`, { signal: AbortSignal.timeout(50) });
  expect(
    await hanging.then(
      () => "answered",
      (error: Error) => error.name,
    ),
  ).toBe("TimeoutError");
  expect((await fetch(`${server.url}/v1/models`)).status).toBe(200);
  const started = performance.now();
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  expect(performance.now() - started).toBeGreaterThan(50);
});

async function upgradeStatus(url: string, path: string): Promise<number> {
  const headers = {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  };
  return (await fetch(url + path, { headers })).status;
}
