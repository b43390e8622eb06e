import { describe, expect, test } from "bun:test";
import {
  chatRequest,
  collect,
  converse,
  lmxFrame,
  neverAborted,
  sse,
  startFake,
  textOf,
  type FakeSocket,
} from "../../support/fake-model-server.ts";
import { createTestClock } from "../../support/test-clock.ts";

const overSse = () =>
  sse([
    'data: {"choices":[{"delta":{"content":"sse"},"finish_reason":"stop"}]}\n\n',
    "data: [DONE]\n\n",
  ]);
const overSocket = (socket: FakeSocket) => {
  socket.send(lmxFrame.token("ws"));
  socket.send(lmxFrame.done());
};
const status = (code: number) => () => new Response("", { status: code });
const upgrades = (requests: readonly string[], path = "/v1/chat/stream") =>
  requests.filter((request) => request === `GET ${path}`).length;

describe("row 13: a refused upgrade", () => {
  test.each([403, 404, 426, 500, 503])(
    "with %d leads to SSE, once noted, and is remembered for five minutes",
    async (code) => {
      using fake = startFake({
        routes: { "/v1/chat/stream": status(code), "/v1/chat/completions": overSse },
      });
      const clock = createTestClock();
      const provider = fake.provider({ clock });
      const first = await collect(provider.stream(chatRequest(), neverAborted));
      expect(first).toMatchObject([
        { type: "progress", message: expect.stringContaining(`HTTP ${code}`) },
        { type: "text", text: "sse" },
        { type: "done" },
      ]);
      const second = await collect(provider.stream(chatRequest(), neverAborted));
      expect(second.map(({ type }) => type)).toEqual(["text", "done"]);
      expect(upgrades(fake.requests)).toBe(1);
      clock.advance(5 * 60_000);
      await converse(provider);
      expect(upgrades(fake.requests)).toBe(2);
    },
  );
  test("with 401 is an authentication error, without a blind SSE retry", async () => {
    using fake = startFake({
      routes: { "/v1/chat/stream": status(401), "/v1/chat/completions": overSse },
    });
    const events = await converse(fake.provider({ apiKey: "wrong" }));
    expect(events).toMatchObject([{ type: "error", code: "auth-failed" }]);
    expect(fake.requests).not.toContain("POST /v1/chat/completions");
  });
  test.each([401, 403])(
    "with 403 is an authentication error when SSE says %d too",
    async (code) => {
      using fake = startFake({
        routes: { "/v1/chat/stream": status(403), "/v1/chat/completions": status(code) },
      });
      const events = await converse(fake.provider({ apiKey: "wrong" }));
      expect(events.at(-1)).toMatchObject({ type: "error", code: "auth-failed" });
      expect(fake.requests.filter((request) => request.startsWith("POST"))).toHaveLength(1);
    },
  );
});

describe("row 14: a request larger than 16 MiB", () => {
  test("goes over SSE although there is a WebSocket", async () => {
    using fake = startFake({ onFrame: overSocket, routes: { "/v1/chat/completions": overSse } });
    const messages = [{ role: "user", content: "x".repeat(17 * 1024 * 1024) }] as const;
    const events = await converse(fake.provider(), chatRequest({ messages }));
    expect(events[0]).toMatchObject({
      type: "progress",
      message: expect.stringContaining("16 MiB"),
    });
    expect(textOf(events)).toBe("sse");
    expect(fake.frames).toEqual([]);
  });
});

describe("row 20: the discovery document", () => {
  const discovery = (url: string | null) => () =>
    Response.json({ service: "opta-lmx", endpoints: { websocket_url: url } });
  test("names another path: it is used, on the host that was configured", async () => {
    using fake = startFake({
      onFrame: overSocket,
      webSocketPath: "/ws/chat",
      routes: { "/.well-known/opta-lmx": discovery("ws://other-host.invalid:9/ws/chat") },
    });
    const provider = fake.provider();
    expect(textOf(await collect(provider.stream(chatRequest(), neverAborted)))).toBe("ws");
    expect(textOf(await converse(provider))).toBe("ws");
    expect(upgrades(fake.requests)).toBe(1);
    expect(upgrades(fake.requests, "/ws/chat")).toBe(2);
  });
  test.each([
    ["is absent", undefined],
    ["says null", discovery(null)],
    ["names the path that was refused", discovery("ws://host/v1/chat/stream")],
    ["names a path that is refused too", discovery("ws://host/nowhere")],
    ["names no web address", discovery("data:/ws/chat")],
    ["names a path like a host", discovery("ws://host//other/ws")],
    ["is nonsense", () => new Response("<html>")],
  ])("%s: SSE", async (_name, route) => {
    using fake = startFake({
      routes: { "/v1/chat/completions": overSse, ...(route && { "/.well-known/opta-lmx": route }) },
    });
    expect(textOf(await converse(fake.provider()))).toBe("sse");
  });
});

describe("row 20: keys stay with the configured server", () => {
  test.each([
    "x:@HOST/ws",
    "ws:///HOST/ws",
    "ws://HOST//HOST/ws",
    "//HOST/ws",
    "x:@HOST",
    "ws://me:pw@HOST/ws",
    "ws:\\\\HOST\\ws",
  ])("whatever address the discovery document names: %s", async (address) => {
    const reached: string[] = [];
    using elsewhere = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket, bytes) => void (reached.push(bytes.toString()), socket.end()) },
    });
    using fake = startFake({
      routes: {
        "/v1/chat/completions": overSse,
        "/.well-known/opta-lmx": () =>
          Response.json({
            endpoints: { websocket_url: address.replaceAll("HOST", `127.0.0.1:${elsewhere.port}`) },
          }),
      },
    });
    const provider = fake.provider({ apiKey: "key", adminKey: "admin" });
    expect(textOf(await converse(provider))).toBe("sse");
    expect(reached).toEqual([]);
  });
});

describe("row 21: a plain OpenAI-compatible server", () => {
  const models = () =>
    Response.json({ object: "list", data: [{ id: "m.gguf", meta: { n_ctx: 8192 } }] });
  const missing = () => new Response("Not Found", { status: 404 });
  const kinds = [
    ["with /health", { "/healthz": missing, "/health": () => Response.json({ status: "ok" }) }],
    ["with /v1/models only", { "/healthz": missing }],
    ["whose /healthz says OK in plain text", { "/healthz": () => new Response("OK") }],
  ] as const;
  test.each(kinds)("%s: SSE only, models from /v1/models", async (_name, routes) => {
    using fake = startFake({
      onFrame: overSocket,
      routes: {
        "/admin/models": missing,
        "/v1/models": models,
        "/v1/chat/completions": overSse,
        ...routes,
      },
    });
    const provider = fake.provider();
    expect(await provider.connect(undefined, neverAborted)).toMatchObject({
      model: "m.gguf",
      contextLength: 8192,
    });
    expect(await provider.status(neverAborted)).toMatchObject({
      kind: "openai",
      transport: "sse",
      ready: true,
      loadedModels: ["m.gguf"],
      memory: null,
    });
    const events = await converse(provider);
    expect(events.map(({ type }) => type)).toEqual(["text", "done"]);
    expect(fake.frames).toEqual([]);
  });
  test("does not load or unload", async () => {
    using fake = startFake({
      routes: { "/healthz": missing, "/admin/models": missing, "/v1/models": models },
    });
    const thrown: unknown = await fake
      .provider()
      .load({ modelId: "m" }, neverAborted)
      .catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "usage" });
  });
});

describe("a server that went away between two requests", () => {
  test("is said to be gone, not waited for", async () => {
    const fake = startFake({ onFrame: overSocket });
    const provider = fake.provider();
    await collect(provider.stream(chatRequest(), neverAborted));
    fake[Symbol.dispose]();
    const events = await converse(provider);
    expect(events).toMatchObject([{ type: "error", code: "lmx-connection-refused" }]);
  });
});
