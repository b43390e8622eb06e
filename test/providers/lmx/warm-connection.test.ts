// What the server sees before the chat request of a second process, and that a memory which is no longer true
// costs a detour and nothing else.
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Provider, ProviderEvent } from "../../../src/providers/provider.ts";
import {
  chatRequest,
  collect,
  fakeModel,
  lmxFrame,
  neverAborted,
  sse,
  startFake,
  textOf,
  until,
  type FakeModelServer,
  type FakeSocket,
} from "../../support/fake-model-server.ts";
import { llamaServer, routesOf } from "../../support/recorded-servers.ts";

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});
function newCache(): string {
  const directory = mkdtempSync(join(tmpdir(), "opta-warm-"));
  directories.push(directory);
  return join(directory, "endpoints.json");
}

const overSocket = (text: string) => (socket: FakeSocket) => {
  socket.send(lmxFrame.token(text));
  socket.send(lmxFrame.done());
};
const overSse = (text: string) => () =>
  sse([
    `data: ${JSON.stringify({ choices: [{ delta: { content: text }, finish_reason: "stop" }] })}\n\n`,
  ]);
const loaded =
  (...ids: readonly string[]) =>
  () =>
    Response.json({ loaded: ids.map((id) => ({ id })) });

/** One process: connects, asks once, ends. */
async function session(
  provider: Provider,
  wanted?: string,
): Promise<{ model: string; events: readonly ProviderEvent[] }> {
  const { model } = await provider.connect(wanted, neverAborted);
  const events = await collect(provider.stream(chatRequest({ model }), neverAborted));
  provider.close();
  return { model, events };
}

/** A process that learns, so that the next one remembers. */
async function learn(fake: FakeModelServer, cacheFile: string): Promise<void> {
  await session(fake.provider({ cacheFile }));
  await until(() => existsSync(cacheFile));
  fake.requests.length = 0;
  fake.frames.length = 0;
}

/** Moves a memory to a server on another port: the same server, replaced. */
function moveCache(cacheFile: string, from: FakeModelServer, to: FakeModelServer): Promise<number> {
  return Bun.write(cacheFile, readFileSync(cacheFile, "utf8").replaceAll(from.server, to.server));
}

describe("the second process", () => {
  test("sends its request after the handshake, and asks nothing before", async () => {
    const cacheFile = newCache();
    using fake = startFake({ onFrame: overSocket("warm") });
    await learn(fake, cacheFile);
    const provider = fake.provider({ cacheFile });
    expect(await provider.connect(undefined, neverAborted)).toMatchObject({
      model: fakeModel,
      contextLength: 32_768,
    });
    const seen: string[] = [];
    for await (const event of provider.stream(chatRequest(), neverAborted)) {
      if (event.type === "text") seen.push(...fake.requests);
    }
    provider.close();
    // What is there at the first token: one handshake; the check of the memory follows it at the earliest.
    expect(seen[0]).toBe("GET /v1/chat/stream");
    expect(
      seen
        .filter((request) => request !== "GET /v1/chat/stream")
        .every((request) => ["GET /healthz", "GET /admin/models"].includes(request)),
    ).toBe(true);
    expect(fake.frames).toHaveLength(1);
  });
  test("over SSE sends its request at once", async () => {
    const cacheFile = newCache();
    /** What had been asked at each chat request. */
    const seen: string[][] = [];
    const fakeRoutes = {
      ...routesOf(llamaServer),
      "/v1/chat/completions": () => {
        seen.push([...fake.requests]);
        return overSse("warm")();
      },
    };
    using fake = startFake({ routes: fakeRoutes });
    await learn(fake, cacheFile);
    const { events } = await session(fake.provider({ cacheFile }));
    expect(textOf(events)).toBe("warm");
    expect(seen[1]).toEqual(["POST /v1/chat/completions"]);
  });
  test("checks its memory while the answer comes, and keeps what is true now", async () => {
    const cacheFile = newCache();
    let ids = [fakeModel];
    using fake = startFake({
      onFrame: overSocket("a"),
      routes: { "/admin/models": () => loaded(...ids)() },
    });
    await learn(fake, cacheFile);
    ids = [fakeModel, "org/New"];
    const provider = fake.provider({ cacheFile });
    await provider.connect(undefined, neverAborted);
    await collect(provider.stream(chatRequest(), neverAborted));
    await until(() => readFileSync(cacheFile, "utf8").includes("org/New"));
    provider.close();
  });
  test("asks as before for a model that it does not remember", async () => {
    const cacheFile = newCache();
    let ids = [fakeModel];
    using fake = startFake({
      onFrame: overSocket("a"),
      routes: { "/admin/models": () => loaded(...ids)() },
    });
    await learn(fake, cacheFile);
    ids = ["org/Other"];
    const provider = fake.provider({ cacheFile });
    expect(await provider.connect("other", neverAborted)).toMatchObject({ model: "org/Other" });
    provider.close();
  });
  test("remembers nothing of a fallback when there is a primary to be asked", async () => {
    const cacheFile = newCache();
    using fallback = startFake({ onFrame: overSocket("fallback") });
    using primary = startFake({ onFrame: overSocket("primary") });
    await learn(fallback, cacheFile);
    const provider = primary.provider({ cacheFile, fallbackHosts: [fallback.server] });
    expect(textOf((await session(provider)).events)).toBe("primary");
    expect(fallback.frames).toEqual([]);
  });
});

describe("a memory that is no longer true", () => {
  test("server gone: the fallback answers", async () => {
    const cacheFile = newCache();
    const gone = startFake({ onFrame: overSocket("gone") });
    await learn(gone, cacheFile);
    using fallback = startFake({ onFrame: overSocket("fallback") });
    const provider = gone.provider({ cacheFile, fallbackHosts: [fallback.server] });
    gone[Symbol.dispose]();
    expect(textOf((await session(provider)).events)).toBe("fallback");
  });
  test("server gone and nothing else: the same clear line as ever", async () => {
    const cacheFile = newCache();
    const gone = startFake({ onFrame: overSocket("gone") });
    await learn(gone, cacheFile);
    const provider = gone.provider({ cacheFile });
    gone[Symbol.dispose]();
    const { events } = await session(provider);
    expect(events).toMatchObject([
      {
        type: "error",
        code: "lmx-connection-refused",
        message: expect.stringContaining(`${gone.server} (connection refused)`),
      },
    ]);
  });
  test("WebSocket gone: SSE answers", async () => {
    const cacheFile = newCache();
    using before = startFake({ onFrame: overSocket("ws") });
    await learn(before, cacheFile);
    using now = startFake({ routes: { "/v1/chat/completions": overSse("sse") } });
    await moveCache(cacheFile, before, now);
    expect(textOf((await session(now.provider({ cacheFile }))).events)).toBe("sse");
  });
  test("another kind of server in its place: asked as that kind wants it", async () => {
    const cacheFile = newCache();
    using before = startFake({ onFrame: overSocket("lmx") });
    await learn(before, cacheFile);
    let body: Record<string, unknown> = {};
    using now = startFake({
      routes: {
        ...routesOf(llamaServer),
        "/v1/chat/completions": async (request) => {
          body = (await request.json()) as Record<string, unknown>;
          return overSse("llama")();
        },
      },
    });
    await moveCache(cacheFile, before, now);
    const { events } = await session(now.provider({ cacheFile }));
    expect(textOf(events)).toBe("llama");
    expect(body).toMatchObject({ model: "unsloth/Qwen3.6-35B-A3B-GGUF", return_progress: true });
    expect(events.find(({ type }) => type === "model")).toMatchObject({
      resolved: { model: "unsloth/Qwen3.6-35B-A3B-GGUF", contextLength: 65_536 },
    });
  });
  test("model unloaded: the one that is loaded answers, and it is said which", async () => {
    const cacheFile = newCache();
    const refuse = (socket: FakeSocket, frame: string) => {
      if (frame.includes(fakeModel)) {
        socket.send(
          JSON.stringify({
            type: "chat.error",
            request_id: "chatcmpl-1",
            error: `Model '${fakeModel}' is not loaded`,
          }),
        );
      } else overSocket("other")(socket);
    };
    using before = startFake({ onFrame: overSocket("a") });
    await learn(before, cacheFile);
    using now = startFake({ onFrame: refuse, routes: { "/admin/models": loaded("org/Other") } });
    await moveCache(cacheFile, before, now);
    const provider = now.provider({ cacheFile });
    const { model } = await provider.connect(undefined, neverAborted);
    expect(model).toBe(fakeModel);
    const events = await collect(provider.stream(chatRequest({ model }), neverAborted));
    expect(events.map(({ type }) => type)).toEqual(["progress", "model", "text", "done"]);
    expect(events[0]).toMatchObject({ message: `${fakeModel} is gone; org/Other answers` });
    // The next step still names the old one; it is asked of the new one at once.
    expect(textOf(await collect(provider.stream(chatRequest({ model }), neverAborted)))).toBe(
      "other",
    );
    expect(now.frames.filter((frame) => frame.includes("chat.request"))).toHaveLength(3);
    provider.close();
  });
  test("model unloaded that the user had named: an error with what to do, no other model", async () => {
    const cacheFile = newCache();
    using before = startFake({ onFrame: overSocket("a") });
    await learn(before, cacheFile);
    using now = startFake({
      onFrame: (socket) =>
        void socket.send(
          JSON.stringify({
            type: "chat.error",
            request_id: "chatcmpl-1",
            error: `Model '${fakeModel}' is not loaded`,
          }),
        ),
      routes: { "/admin/models": loaded("org/Other") },
    });
    await moveCache(cacheFile, before, now);
    const { events } = await session(now.provider({ cacheFile }), fakeModel);
    expect(events).toMatchObject([
      { type: "error", code: "model-not-found", message: expect.stringContaining("org/Other") },
    ]);
  });
  test("an answer that had begun is not asked for again", async () => {
    const cacheFile = newCache();
    using before = startFake({ onFrame: overSocket("a") });
    await learn(before, cacheFile);
    using now = startFake({
      onFrame: (socket) => {
        socket.send(lmxFrame.token("half"));
        socket.terminate();
      },
    });
    await moveCache(cacheFile, before, now);
    const { events } = await session(now.provider({ cacheFile }));
    expect(events.at(-1)).toMatchObject({ type: "error", code: "lmx-ws-closed" });
    expect(now.frames).toHaveLength(1);
  });
});

test("loading or unloading a model makes what was remembered of it void", async () => {
  const cacheFile = newCache();
  using fake = startFake({
    onFrame: overSocket("a"),
    routes: {
      "/admin/models/unload": () => Response.json({ success: true, memory_freed_gb: 1 }),
    },
  });
  await learn(fake, cacheFile);
  await fake.provider({ cacheFile }).unload(fakeModel, neverAborted);
  await until(() => !readFileSync(cacheFile, "utf8").includes(fake.server));
});

describe("a process that lives for many turns", () => {
  test("goes on with what it knows, and asks at once only for the next answer", async () => {
    using fake = startFake({ onFrame: overSocket("again") });
    const provider = fake.provider();
    const { model } = await provider.connect(undefined, neverAborted);
    await collect(provider.stream(chatRequest({ model }), neverAborted));
    await until(() => fake.requests.length >= 3);
    fake.requests.length = 0;
    await provider.connect(undefined, neverAborted);
    const events = await collect(provider.stream(chatRequest({ model }), neverAborted));
    expect(textOf(events)).toBe("again");
    expect(fake.requests[0]).toBe("GET /v1/chat/stream");
    provider.close();
  });
  test("finds the model that the server has now, when the one it knew is gone", async () => {
    let ids = ["org/Old-7B"];
    using fake = startFake({
      routes: { "/admin/models": () => loaded(...ids)() },
      onFrame(socket, frame) {
        const { model } = JSON.parse(frame) as { model: string };
        if (ids.includes(model)) return overSocket(`from ${model}`)(socket);
        const error = `Model '${model}' is not loaded`;
        socket.send(JSON.stringify({ type: "chat.error", request_id: "chatcmpl-1", error }));
      },
    });
    const provider = fake.provider();
    const first = await provider.connect(undefined, neverAborted);
    await collect(provider.stream(chatRequest({ model: first.model }), neverAborted));
    ids = ["org/New-7B"];
    const second = await provider.connect(undefined, neverAborted);
    const events = await collect(
      provider.stream(chatRequest({ model: second.model }), neverAborted),
    );
    expect(textOf(events)).toBe("from org/New-7B");
    provider.close();
  });
});
