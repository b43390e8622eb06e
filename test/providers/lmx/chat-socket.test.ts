import { describe, expect, test } from "bun:test";
import type { LmxProviderOptions } from "../../../src/providers/lmx/provider.ts";
import type { ProviderEvent } from "../../../src/providers/provider.ts";
import {
  chatRequest,
  collect,
  converse,
  lmxFrame,
  neverAborted,
  sse,
  startFake,
  textOf,
  until,
  type FakeSocket,
} from "../../support/fake-model-server.ts";
import { createTestClock } from "../../support/test-clock.ts";

const minuteMs = 60_000;
const done = {
  type: "done",
  finishReason: "stop",
  usage: { promptTokens: 3, completionTokens: 2 },
};

/** What a conversation gives when the server answers a request so. */
async function answered(onFrame: (socket: FakeSocket, frame: string) => void) {
  using fake = startFake({ onFrame });
  return await converse(fake.provider());
}

/** Starts a request with a clock that the test moves; `events` fills as they come. */
function startTimed(
  onFrame: (socket: FakeSocket) => void,
  timeouts: LmxProviderOptions["timeouts"] = {},
) {
  const fake = startFake({ onFrame });
  const clock = createTestClock();
  const provider = fake.provider({ clock, timeouts });
  const events: ProviderEvent[] = [];
  const finished = (async () => {
    for await (const event of provider.stream(chatRequest(), neverAborted)) events.push(event);
  })();
  return { fake, clock, events, finished };
}

describe("a conversation over WebSocket", () => {
  test("row 1: carries on over unknown types, binary frames, garbage and extra fields", async () => {
    const events = await answered((socket) => {
      socket.send(JSON.stringify({ type: "chat.queued", request_id: "chatcmpl-1", position: 3 }));
      socket.send(lmxFrame.token("a"));
      socket.sendBinary(new Uint8Array([1, 2]));
      socket.send("{nonsense");
      socket.send("[]");
      socket.send(
        JSON.stringify({ type: "chat.token", request_id: "chatcmpl-1", content: "b", model: "m" }),
      );
      socket.send(lmxFrame.done());
    });
    expect(events).toEqual([
      { type: "text", text: "a" },
      { type: "text", text: "b" },
      done as ProviderEvent,
    ]);
  });
  test("row 1: the first frame's id is ours and frames for others are ignored", async () => {
    const events = await answered((socket) => {
      socket.send(lmxFrame.token("a"));
      socket.send(lmxFrame.token("stray", "chatcmpl-2"));
      socket.send(
        JSON.stringify({ type: "chat.error", request_id: "chatcmpl-2", error: "not ours" }),
      );
      socket.send(lmxFrame.done("stop", "chatcmpl-2"));
      socket.send(lmxFrame.token("b"));
      socket.send(lmxFrame.done());
    });
    expect(textOf(events)).toBe("ab");
    expect(events.at(-1)).toEqual(done as ProviderEvent);
  });
  test("row 1: nothing after done is heard", async () => {
    const events = await answered((socket) => {
      socket.send(lmxFrame.token("a"));
      socket.send(lmxFrame.done());
      socket.send(lmxFrame.token("late"));
    });
    expect(textOf(events)).toBe("a");
  });
  test("row 2: OpenAI chunks and the ecosystem's chunks are understood", async () => {
    const events = await answered((socket) => {
      socket.send(JSON.stringify({ chunk: { delta: { content: "I read." } } }));
      socket.send(
        JSON.stringify({
          chunk: { delta: { tool_calls: [{ name: "read_file", args: { path: "a" } }] } },
        }),
      );
      socket.send(JSON.stringify({ choices: [{ delta: {}, finish_reason: "tool_calls" }] }));
    });
    expect(events.slice(1)).toMatchObject([
      { type: "tool_call", call: { name: "read_file", arguments: '{"path":"a"}' } },
      { type: "done", finishReason: "tool_calls" },
    ]);
  });
  test("row 8: length is said when the server says it", async () => {
    const events = await answered((socket) => {
      socket.send(lmxFrame.token("a"));
      socket.send(lmxFrame.done("length"));
    });
    expect(events.at(-1)).toMatchObject({ type: "done", finishReason: "length" });
  });
  test("row 12: the server's own time limit is told as such", async () => {
    const events = await answered((socket) => {
      socket.send(lmxFrame.token("a"));
      const error = "Stream inference timed out after 300s";
      socket.send(JSON.stringify({ type: "chat.error", request_id: "chatcmpl-1", error }));
    });
    expect(events.at(-1)).toMatchObject({
      type: "error",
      code: "lmx-timeout",
      message: expect.stringContaining("timed out after 300s"),
      hint: expect.stringContaining("--continue"),
    });
  });
  test("a request that the server cancelled by itself is incomplete", async () => {
    const events = await answered((socket) => {
      socket.send(lmxFrame.token("a"));
      socket.send(lmxFrame.done("cancelled"));
    });
    expect(events.at(-1)).toMatchObject({ type: "error", code: "lmx-ws-closed" });
  });
  test("a frame larger than 16 MiB ends it", async () => {
    const events = await answered(
      (socket) => void socket.send(lmxFrame.token("x".repeat(17 * 1024 * 1024))),
    );
    expect(events).toMatchObject([{ type: "error", message: expect.stringContaining("16 MiB") }]);
  });
  test("keys travel as headers and never in the URL; nothing else is offered", async () => {
    using fake = startFake({ onFrame: (socket) => void socket.send(lmxFrame.done()) });
    await converse(fake.provider({ adminKey: "admin-k", apiKey: "api-k" }));
    const upgrade = fake.headers[fake.requests.indexOf("GET /v1/chat/stream")];
    expect(upgrade?.get("x-admin-key")).toBe("admin-k");
    expect(upgrade?.get("authorization")).toBe("Bearer api-k");
    expect(upgrade?.get("sec-websocket-protocol")).toBeNull();
    expect(upgrade?.get("sec-websocket-extensions")).toBeNull();
    const probe = fake.headers[fake.requests.indexOf("GET /healthz")];
    expect(probe?.get("authorization")).toBeNull();
    expect(probe?.get("x-admin-key")).toBeNull();
  });
});

describe("row 9: a close without done is incomplete", () => {
  const closes: readonly (readonly [string, (socket: FakeSocket) => void, string])[] = [
    ["1000", (socket) => void socket.close(1000), "closed the connection (WebSocket code 1000)"],
    ["no code", (socket) => void socket.close(), "closed the connection"],
    ["1011", (socket) => void socket.close(1011), "1011"],
    [
      "a broken connection",
      (socket) => void socket.terminate(),
      "broke the connection (WebSocket code 1006)",
    ],
  ];
  test.each(closes)("after text: %s", async (_name, close, words) => {
    const events = await answered((socket) => {
      socket.send(lmxFrame.token("abc"));
      close(socket);
    });
    expect(events).toHaveLength(2);
    const last = events.at(-1);
    if (last?.type !== "error") throw new Error(`ended with ${last?.type}`);
    expect(last.code).toBe("lmx-ws-closed");
    expect(last.message).toContain("after 3 characters");
    expect(last.message).toContain(words);
  });
  test.each(closes)("before any frame: %s", async (_name, close) => {
    const events = await answered(close);
    expect(events).toMatchObject([
      { type: "error", code: "lmx-ws-closed", message: expect.stringContaining("before any text") },
    ]);
  });
  test("and tool calls of an incomplete answer are never yielded", async () => {
    const events = await answered((socket) => {
      const call = { index: 0, id: "c", name: "delete_file", arguments: '{"path":"a"}' };
      socket.send(
        JSON.stringify({ type: "chat.tool_call", request_id: "chatcmpl-1", tool_call: call }),
      );
      socket.close(1000);
    });
    expect(events.map(({ type }) => type)).toEqual(["error"]);
  });
});

describe("row 10: silence", () => {
  test("before the first token may last as long as it takes, and is shown every second", async () => {
    let answer: (frame: string) => void = () => undefined;
    const { fake, clock, events, finished } = startTimed(
      (socket) => (answer = (frame) => void socket.send(frame)),
    );
    using _ = fake;
    await until(() => fake.frames.length === 1);
    clock.advance(11 * minuteMs);
    await until(() => events.length === 660);
    expect(events[37]).toEqual({
      type: "progress",
      phase: "reading",
      message: "reading the prompt, 38 s (40 tokens estimated)",
    });
    answer(lmxFrame.token("late"));
    answer(lmxFrame.done());
    await finished;
    expect(events.slice(660).map(({ type }) => type)).toEqual(["text", "done"]);
    expect(clock.waiting()).toBe(0);
  });
  test("before the first token ends after the limit that the user set", async () => {
    const { fake, clock, events, finished } = startTimed(() => undefined, {
      firstTokenMs: 5 * minuteMs,
    });
    using _ = fake;
    await until(() => fake.frames.length === 1);
    clock.advance(5 * minuteMs - 1);
    await Bun.sleep(5);
    expect(events.every(({ type }) => type === "progress")).toBe(true);
    clock.advance(1);
    await finished;
    expect(events.at(-1)).toMatchObject({
      type: "error",
      code: "lmx-timeout",
      message: expect.stringContaining("timed out after 300 s"),
    });
    expect(clock.waiting()).toBe(0);
  });
  test("between tokens may last ten minutes, not longer", async () => {
    const { fake, clock, events, finished } = startTimed(
      (socket) => void socket.send(lmxFrame.token("a")),
    );
    using _ = fake;
    await until(() => events.length === 1);
    clock.advance(10 * minuteMs - 1);
    await Bun.sleep(5);
    expect(events).toHaveLength(1);
    clock.advance(1);
    await finished;
    expect(events.at(-1)).toMatchObject({
      code: "lmx-timeout",
      message: expect.stringContaining("600 s"),
    });
  });
  test("in the handshake ends after 3 s, and the answer comes over SSE", async () => {
    using fake = startFake({
      routes: {
        "/v1/chat/stream": () => new Promise(() => undefined),
        "/v1/chat/completions": () =>
          sse(['data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n']),
      },
    });
    const clock = createTestClock();
    const provider = fake.provider({ clock });
    const events = collect(provider.stream(chatRequest(), neverAborted));
    await until(() => fake.requests.includes("GET /v1/chat/stream"));
    clock.advance(3_000);
    expect(await events).toMatchObject([
      { type: "progress", message: expect.stringContaining("timed out after 3 s") },
      { type: "text", text: "a" },
      { type: "done" },
    ]);
    // Remembered: the next request does not wait for it again.
    expect(textOf(await converse(provider))).toBe("a");
    expect(fake.requests.filter((request) => request === "GET /v1/chat/stream")).toHaveLength(1);
  });
});

describe("row 11: the server's 300 s of client silence", () => {
  const keepAlive = '{"type":"chat.cancel","request_id":"keepalive"}';
  test("are kept away by a cancel for nobody every minute", async () => {
    const { fake, clock, events } = startTimed((socket) => void socket.send(lmxFrame.token("a")));
    using _ = fake;
    await until(() => events.length === 1);
    for (const minutes of [1, 2, 3]) {
      clock.advance(minuteMs);
      await until(() => fake.frames.filter((frame) => frame === keepAlive).length === minutes);
    }
  });
  test("a chat.error without id is a note, not our request's failure", async () => {
    const events = await answered((socket) => {
      socket.send(
        JSON.stringify({ type: "chat.error", request_id: null, error: "Unknown message type: X" }),
      );
      socket.send(lmxFrame.token("a"));
      socket.send(lmxFrame.done());
    });
    expect(events).toEqual([{ type: "text", text: "a" }, done as ProviderEvent]);
  });
  test("unless nothing of ours came and the socket closes: then it is why", async () => {
    const events = await answered((socket) => {
      socket.send(JSON.stringify({ type: "chat.error", request_id: null, error: "unreadable" }));
      socket.close(1000);
    });
    expect(events).toMatchObject([
      {
        type: "error",
        code: "model-server-failed",
        message: expect.stringContaining("unreadable"),
      },
    ]);
  });
});

describe("row 25: cancelling", () => {
  test("sends chat.cancel with the server's id, then closes at once", async () => {
    using fake = startFake({
      onFrame: (socket) => void socket.send(lmxFrame.token("a", "chatcmpl-xyz")),
    });
    const stop = new AbortController();
    const events: ProviderEvent[] = [];
    for await (const event of fake.provider().stream(chatRequest(), stop.signal)) {
      events.push(event);
      stop.abort();
    }
    await until(() => fake.closes.length === 1);
    expect(fake.frames[1]).toBe('{"type":"chat.cancel","request_id":"chatcmpl-xyz"}');
    expect(events).toHaveLength(1);
  });
  test("before the first frame just closes", async () => {
    using fake = startFake({ onFrame: () => undefined });
    const stop = new AbortController();
    const events = collect(fake.provider().stream(chatRequest(), stop.signal));
    await until(() => fake.frames.length === 1);
    stop.abort();
    expect(await events).toEqual([]);
    await until(() => fake.closes.length === 1);
    expect(fake.frames).toHaveLength(1);
  });
  test("before the request began sends nothing at all", async () => {
    using fake = startFake({ onFrame: () => undefined });
    expect(await collect(fake.provider().stream(chatRequest(), AbortSignal.abort()))).toEqual([]);
    expect(fake.frames).toEqual([]);
  });
});

test("5,000 tokens arrive as 5,000 events, in order", async () => {
  const count = 5_000;
  const events = await answered((socket) => {
    for (let index = 0; index < count; index += 1) socket.send(lmxFrame.token(`${index} `));
    socket.send(lmxFrame.done());
  });
  expect(events).toHaveLength(count + 1);
  expect(textOf(events)).toBe(Array.from({ length: count }, (_, index) => `${index} `).join(""));
});
