import { describe, expect, test } from "bun:test";
import { OptaError } from "../../../src/protocol/error.ts";
import { createLmxProvider } from "../../../src/providers/lmx/provider.ts";
import {
  chatRequest,
  collect,
  converse,
  fakeModel,
  lmxFrame,
  neverAborted,
  startFake,
  textOf,
  until,
} from "../../support/fake-model-server.ts";

async function failureOf(promise: Promise<unknown>): Promise<OptaError> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (thrown instanceof OptaError) return thrown;
  throw new Error(`expected an OptaError, got ${String(thrown)}`);
}

/** A port on which nobody listens: it was free a moment ago. */
async function closedPort(): Promise<number> {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("") });
  const port = server.port!;
  await server.stop(true);
  return port;
}

const notFound = () => Response.json({ detail: "Not Found" }, { status: 404 });
const forbidden = () => Response.json({ detail: "Invalid admin key" }, { status: 403 });
const unauthorized = () => Response.json({ detail: "Invalid API key" }, { status: 401 });
const loaded =
  (...ids: readonly string[]) =>
  () =>
    Response.json({ loaded: ids.map((id) => ({ id, loaded: true })), count: ids.length });
const openAiModels =
  (...models: readonly object[]) =>
  () =>
    Response.json({ object: "list", data: models });

describe("connecting", () => {
  test("starts probe, model look-up and WebSocket handshake together", async () => {
    const waiting: (() => void)[] = [];
    // Nobody is answered before all three have asked.
    const meet = () =>
      new Promise<void>((resolve) => {
        waiting.push(resolve);
        if (waiting.length === 3) for (const release of waiting) release();
      });
    using fake = startFake({
      onFrame: (socket) => {
        socket.send(lmxFrame.token("a"));
        socket.send(lmxFrame.done());
      },
      routes: {
        "/healthz": async () => {
          await meet();
          return Response.json({ status: "ok", version: "1" });
        },
        "/admin/models": async () => {
          await meet();
          return loaded(fakeModel)();
        },
      },
    });
    const provider = fake.provider();
    const connecting = provider.connect(undefined, neverAborted);
    await until(() => fake.requests.includes("GET /v1/chat/stream"));
    await until(() => waiting.length === 2);
    for (const release of waiting) release();
    expect(await connecting).toEqual({
      model: fakeModel,
      contextLength: null,
      windowSource: "unknown",
      parallelTools: true,
      server: fake.server,
    });
    // The request goes over the socket that was opened ahead.
    expect(textOf(await converse(provider))).toBe("a");
    expect(fake.requests.filter((request) => request === "GET /v1/chat/stream")).toHaveLength(1);
  });
  test("opens a socket per request", async () => {
    using fake = startFake({
      onFrame: (socket) => void socket.send(lmxFrame.token("a") && lmxFrame.done()),
    });
    const provider = fake.provider();
    await provider.connect(undefined, neverAborted);
    await collect(provider.stream(chatRequest(), neverAborted));
    await collect(provider.stream(chatRequest(), neverAborted));
    expect(fake.requests.filter((request) => request === "GET /v1/chat/stream")).toHaveLength(2);
  });
  test("closes the waiting socket on close()", async () => {
    using fake = startFake({ onFrame: () => undefined });
    const provider = fake.provider();
    await provider.connect(undefined, neverAborted);
    await until(() => fake.requests.includes("GET /v1/chat/stream"));
    await Bun.sleep(10);
    provider.close();
    await until(() => fake.closes.length === 1);
  });
  test("over localhost reaches a server on IPv4 and one on IPv6", async () => {
    for (const hostname of ["127.0.0.1", "::1"]) {
      const server = Bun.serve({
        hostname,
        port: 0,
        fetch(request, upgrade) {
          const { pathname } = new URL(request.url);
          if (pathname === "/healthz") return Response.json({ status: "ok" });
          if (pathname === "/admin/models") return loaded("m")();
          return upgrade.upgrade(request) ? undefined : notFound();
        },
        websocket: {
          message(socket) {
            socket.send(lmxFrame.token(hostname));
            socket.send(lmxFrame.done());
          },
        },
      });
      const provider = createLmxProvider({
        host: "localhost",
        port: server.port!,
        fallbackHosts: [],
      });
      await provider.connect(undefined, neverAborted);
      expect(textOf(await converse(provider))).toBe(hostname);
      await server.stop(true);
    }
  });
  test("takes a fallback when the primary is down, and asks it for its models", async () => {
    using fallback = startFake({ onFrame: (socket) => void socket.send(lmxFrame.done()) });
    const provider = createLmxProvider({
      host: "127.0.0.1",
      port: await closedPort(),
      fallbackHosts: [fallback.server],
    });
    expect(await provider.connect(undefined, neverAborted)).toMatchObject({
      server: fallback.server,
    });
    provider.close();
  });
  test("says in one line what was tried when nothing is reachable, within 3 s", async () => {
    const silent = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: () => undefined },
    });
    const garbage = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.end("SSH-2.0-OpenSSH\r\n") },
    });
    const web = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response("<html>hi"),
    });
    const port = await closedPort();
    const startedMs = performance.now();
    const provider = createLmxProvider({
      host: "127.0.0.1",
      port,
      fallbackHosts: [
        `127.0.0.1:${silent.port}`,
        `127.0.0.1:${garbage.port}`,
        `127.0.0.1:${web.port}`,
        "no-such-host.invalid",
      ],
    });
    const error = await failureOf(provider.connect(undefined, neverAborted));
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    expect(error.code).toBe("lmx-connection-refused");
    expect(error.message.split("\n")).toHaveLength(1);
    expect(error.message).toContain(`127.0.0.1:${port} (connection refused)`);
    expect(error.message).toContain(`127.0.0.1:${silent.port} (timed out after 2.5 s)`);
    expect(error.message).toContain(`127.0.0.1:${garbage.port} (does not speak HTTP)`);
    expect(error.message).toContain(
      `127.0.0.1:${web.port} (answers HTTP, but is no model server (HTTP 200))`,
    );
    expect(error.message).toContain(`no-such-host.invalid:${port} (host name not found)`);
    expect(error.hint).toBe(
      "opta status   (another server, once: --device HOST, or for good: opta config set connection.host HOST)",
    );
    silent.stop(true);
    garbage.stop(true);
    await web.stop(true);
  });
  test("ends at once on abort", async () => {
    using fake = startFake({ routes: { "/healthz": () => new Promise(() => undefined) } });
    const stop = new AbortController();
    const connecting = failureOf(fake.provider().connect(undefined, stop.signal));
    await until(() => fake.requests.includes("GET /healthz"));
    stop.abort();
    expect((await connecting).code).toBe("cancelled");
  });
  test("looks again after it failed", async () => {
    let isUp = false;
    using fake = startFake({
      routes: { "/admin/models": () => (isUp ? loaded("m")() : Response.json({ loaded: [] })) },
    });
    const provider = fake.provider();
    expect((await failureOf(provider.connect(undefined, neverAborted))).code).toBe(
      "no-model-loaded",
    );
    isUp = true;
    expect(await provider.connect(undefined, neverAborted)).toMatchObject({ model: "m" });
    provider.close();
  });
  test("does not go through a proxy from the environment", async () => {
    using fake = startFake({
      onFrame: (socket) => void socket.send(lmxFrame.token("a") && lmxFrame.done()),
    });
    const script = `
      import { createLmxProvider } from ${JSON.stringify(new URL("../../../src/providers/lmx/provider.ts", import.meta.url).pathname)};
      const provider = createLmxProvider({ host: "127.0.0.1", port: ${fake.port}, fallbackHosts: [] });
      console.log((await provider.connect(undefined, new AbortController().signal)).model);
      provider.close();`;
    const proxy = `http://127.0.0.1:${await closedPort()}`;
    const child = Bun.spawn([process.execPath, "-e", script], {
      env: { ...process.env, http_proxy: proxy, HTTP_PROXY: proxy, ALL_PROXY: proxy },
      stdout: "pipe",
    });
    expect((await child.stdout.text()).trim()).toBe(fakeModel);
    await child.exited;
  });
});

describe("which model (rows 18, 19, 24)", () => {
  test("row 18: an id spelt differently becomes the server's spelling", async () => {
    using fake = startFake();
    const provider = fake.provider();
    for (const wanted of [fakeModel, "ORG/model-7b", "model-7b", "other-org/Model-7B"]) {
      expect(await provider.connect(wanted, neverAborted)).toMatchObject({
        model: fakeModel,
        contextLength: 32768,
      });
    }
    provider.close();
  });
  test("row 18: an ambiguous tail names the choices", async () => {
    using fake = startFake({ routes: { "/admin/models": loaded("a/M", "b/M") } });
    const error = await failureOf(fake.provider().connect("m", neverAborted));
    expect(error.code).toBe("model-not-found");
    expect(error.message).toContain("a/M, b/M");
  });
  test.each(["auto", "preset:fast"])(
    "row 18: the server's own name %s is passed on",
    async (alias) => {
      using fake = startFake();
      const provider = fake.provider();
      expect(await provider.connect(alias, neverAborted)).toMatchObject({ model: alias });
      provider.close();
    },
  );
  test("one that is on disk only comes with the command that loads it", async () => {
    using fake = startFake({
      routes: {
        "/admin/models/available": () =>
          Response.json([{ repo_id: "org/Big", local_path: "/x", size_bytes: 5 }]),
      },
    });
    const error = await failureOf(fake.provider().connect("big", neverAborted));
    expect(error).toMatchObject({ code: "model-not-found", hint: "opta models load org/Big" });
  });
  test("none loaded: says which are on disk and the command that loads one", async () => {
    using fake = startFake({
      routes: {
        "/admin/models": () => Response.json({ loaded: [], count: 0 }),
        "/admin/models/available": () =>
          Response.json([{ repo_id: "org/A" }, { repo_id: "org/B" }]),
      },
    });
    const error = await failureOf(fake.provider().connect(undefined, neverAborted));
    expect(error.message).toContain("org/A, org/B");
    expect(error).toMatchObject({ code: "no-model-loaded", hint: "opta models load org/A" });
    const wanted = await failureOf(fake.provider().connect("b", neverAborted));
    expect(wanted).toMatchObject({ code: "no-model-loaded", hint: "opta models load org/B" });
  });
  test("none loaded and none on disk: no command that cannot work", async () => {
    using fake = startFake({
      routes: { "/admin/models": () => Response.json({ loaded: [], count: 0 }) },
    });
    for (const wanted of [undefined, "org/A"]) {
      expect(await failureOf(fake.provider().connect(wanted, neverAborted))).toMatchObject({
        code: "no-model-loaded",
        message: `${fake.server} has no model loaded, and names none that it could load`,
        hint: "load one on the server itself, then: opta models list",
      });
    }
  });
  test.each([notFound, forbidden, unauthorized])(
    "row 19: without /admin the list is /v1/models",
    async (closed) => {
      using fake = startFake({
        routes: {
          "/admin/models": closed,
          "/v1/models": openAiModels(
            { id: "embed", owned_by: "local-embedding" },
            { id: "m", owned_by: "local" },
          ),
        },
      });
      const provider = fake.provider();
      expect(await provider.connect(undefined, neverAborted)).toMatchObject({
        model: "m",
        contextLength: null,
      });
      provider.close();
    },
  );
  test("row 19: null, missing and wrong fields are no reason to fail", async () => {
    using fake = startFake({
      routes: {
        "/admin/models": () =>
          Response.json({
            loaded: [null, {}, { id: 5 }, { id: "m", context_length: null, memory_gb: "x" }],
          }),
      },
    });
    const provider = fake.provider();
    expect(await provider.connect(undefined, neverAborted)).toMatchObject({
      model: "m",
      contextLength: null,
    });
    provider.close();
  });
  test("row 24: cloud ids behind LMX are refused before anything is sent", async () => {
    using fake = startFake({ onFrame: () => undefined });
    const provider = fake.provider();
    for (const id of ["copilot/gpt", "github-copilot/x", "gemini-cli/pro"]) {
      expect(await failureOf(provider.connect(id, neverAborted))).toMatchObject({
        code: "model-not-found",
      });
      expect(
        await collect(provider.stream(chatRequest({ model: id }), neverAborted)),
      ).toMatchObject([
        { type: "error", code: "model-not-found", message: expect.stringContaining("cloud") },
      ]);
    }
    expect(fake.requests).toEqual([]);
  });
  test("row 24: nor are they reached by their tail or by default", async () => {
    using fake = startFake({ routes: { "/admin/models": loaded("copilot/gpt") } });
    const byTail = await failureOf(fake.provider().connect("gpt", neverAborted));
    expect(byTail.message).toContain("cloud");
    const byDefault = await failureOf(fake.provider().connect(undefined, neverAborted));
    expect(byDefault.code).toBe("no-model-loaded");
    expect(byDefault.message).toContain("only cloud models");
  });
});

describe("row 13: a refused key", () => {
  test("is an authentication error at once", async () => {
    using fake = startFake({
      routes: { "/admin/models": unauthorized, "/v1/models": unauthorized },
    });
    const error = await failureOf(
      fake.provider({ apiKey: "wrong" }).connect(undefined, neverAborted),
    );
    expect(error.code).toBe("auth-failed");
    expect(error.hint).toContain("connection.apiKey");
    expect(error.message).not.toContain("wrong");
  });
});
