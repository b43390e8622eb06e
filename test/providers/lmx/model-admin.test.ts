import { describe, expect, test } from "bun:test";
import { OptaError } from "../../../src/protocol/error.ts";
import type { ModelList } from "../../../src/protocol/model.ts";
import { neverAborted, startFake, until } from "../../support/fake-model-server.ts";
import { startScripted } from "../../support/lmx.ts";
import { createLmxProvider } from "../../../src/providers/lmx/provider.ts";

const gib = 1024 ** 3;

/** What `load` gives when the server answers the POST so; and how often it was posted. */
async function load(
  answer: () => Response | Promise<Response>,
  listed: () => unknown[] = () => [],
) {
  using fake = startFake({
    routes: {
      "/admin/models/load": answer,
      "/admin/models": () => Response.json({ loaded: listed() }),
      "/admin/models/available": () => Response.json([{ repo_id: "org/Big" }]),
    },
  });
  const provider = fake.provider({ timeouts: { loadPollAfterMs: 5, loadPollMs: 2, loadMs: 300 } });
  const result = await provider.load({ modelId: "big" }, neverAborted).catch((thrown: unknown) => {
    if (thrown instanceof OptaError) return thrown;
    throw thrown;
  });
  return { result, posts: fake.requests.filter((request) => request.startsWith("POST")).length };
}
const refuse = (status: number, code: string) => () =>
  Response.json({ error: { message: `refused: ${code}`, type: "t", code } }, { status });
const never = () => new Promise<Response>(() => undefined);

describe("row 17: loading", () => {
  test("answered at once", async () => {
    const said = {
      success: true,
      model_id: "org/Big",
      memory_after_load_gb: 2,
      time_to_load_ms: 900,
    };
    expect(await load(() => Response.json(said))).toEqual({
      result: { status: "loaded", modelId: "org/Big", memoryBytes: 2 * gib, loadTimeMs: 900 },
      posts: 1,
    });
  });
  test("already loaded: nulls instead of numbers", async () => {
    const said = {
      success: true,
      model_id: "org/Big",
      memory_after_load_gb: null,
      time_to_load_ms: null,
    };
    const { result } = await load(() => Response.json(said));
    expect(result).toEqual({
      status: "loaded",
      modelId: "org/Big",
      memoryBytes: null,
      loadTimeMs: null,
    });
  });
  test("not answered: the list is polled until the model is routable, and nothing is posted again", async () => {
    const states = ["loading", "canary_pending", "routable"];
    const { result, posts } = await load(never, () => {
      const state = states.length > 1 ? states.shift() : states[0];
      return [{ id: "org/Big", memory_gb: 3, readiness: { state } }];
    });
    expect(result).toEqual({
      status: "loaded",
      modelId: "org/Big",
      memoryBytes: 3 * gib,
      loadTimeMs: null,
    });
    expect([posts, states]).toEqual([1, ["routable"]]);
  });
  test("never finished: a time-out, and nothing is posted again", async () => {
    const { result, posts } = await load(never);
    expect(result).toMatchObject({ code: "lmx-timeout", hint: "opta models list" });
    expect(posts).toBe(1);
  });
  test("to be downloaded first", async () => {
    const said = {
      status: "download_required",
      model_id: "org/Big",
      estimated_size_bytes: 7,
      confirmation_token: "dl-1",
    };
    const { result, posts } = await load(() => Response.json(said, { status: 202 }));
    expect(result).toEqual({
      status: "download-required",
      modelId: "org/Big",
      sizeBytes: 7,
      confirmationToken: "dl-1",
    });
    expect(posts).toBe(1);
  });
  test("downloading already", async () => {
    const { result } = await load(() =>
      Response.json({ status: "downloading", download_id: "d1" }, { status: 202 }),
    );
    expect(result).toEqual({ status: "downloading", modelId: "org/Big", downloadId: "d1" });
  });
  const refusals: readonly (readonly [string, number, string, string, string])[] = [
    ["downloads are off", 403, "downloads_disabled", "model-not-found", "opta models list"],
    ["the admin key is wrong", 403, "", "auth-failed", "connection.adminKey"],
    [
      "row 16: memory is short",
      507,
      "insufficient_memory",
      "insufficient-memory",
      "opta models unload",
    ],
    ["row 16: the model is unstable", 409, "model_unstable", "model-server-failed", "opta status"],
    ["the model is unknown", 404, "model_not_found", "model-not-found", "opta models list"],
    ["another load runs (500)", 500, "internal_error", "model-server-failed", "opta models list"],
    [
      "row 16: the server is busy, and a load is not posted twice",
      429,
      "rate_limit_exceeded",
      "model-server-busy",
      "try again",
    ],
  ];
  test.each(refusals)("refused because %s", async (_name, status, serverCode, code, hint) => {
    const { result, posts } = await load(refuse(status, serverCode));
    if (!(result instanceof OptaError)) throw new Error("expected a refusal");
    expect([result.code as string, posts]).toEqual([code, 1]);
    expect(result.hint).toContain(hint);
  });
  test("an abort ends the wait at once", async () => {
    using fake = startFake({ routes: { "/admin/models/load": never } });
    const stop = new AbortController();
    const loading = fake
      .provider()
      .load({ modelId: "m" }, stop.signal)
      .catch((thrown: unknown) => thrown);
    await until(() => fake.requests.includes("POST /admin/models/load"));
    stop.abort();
    expect(await loading).toMatchObject({ code: "cancelled" });
  });
});

describe("the models of a server", () => {
  test("are listed, loaded and unloaded against a whole LMX", async () => {
    await using server = await startScripted({
      turns: [],
      models: [
        { id: "org/A", sizeGb: 2 },
        { id: "org/B", state: "on-disk", loadMs: 20 },
      ],
    });
    const provider = createLmxProvider({ host: "localhost", port: server.port, fallbackHosts: [] });
    const states = ({ models }: ModelList) =>
      models.map(({ modelId, state }) => `${modelId} ${state}`);
    expect(states(await provider.models(neverAborted))).toEqual(["org/A loaded", "org/B on-disk"]);
    expect(await provider.load({ modelId: "b" }, neverAborted)).toMatchObject({
      status: "loaded",
      modelId: "org/B",
    });
    expect(states(await provider.models(neverAborted))).toEqual(["org/A loaded", "org/B loaded"]);
    expect((await provider.unload("a", neverAborted)).freedBytes).toBe(2 * gib);
    expect(states(await provider.models(neverAborted))).toEqual(["org/B loaded", "org/A on-disk"]);
    const again: unknown = await provider
      .unload("org/A", neverAborted)
      .catch((error: unknown) => error);
    expect(again).toMatchObject({ code: "model-not-found" });
    expect(await provider.status(neverAborted)).toMatchObject({
      kind: "lmx",
      ready: true,
      transport: "websocket",
      loadedModels: ["org/B"],
      memory: { totalBytes: expect.any(Number), usedBytes: expect.any(Number) },
    });
    provider.close();
  });
  test("row 19: quarantined and loading ones are told apart", async () => {
    using fake = startFake({
      routes: {
        "/admin/models": () =>
          Response.json({
            loaded: [
              { id: "z" },
              { id: "q", readiness: { state: "quarantined" } },
              { id: "l", readiness: { state: "loading" } },
            ],
          }),
        "/admin/models/available": () =>
          Response.json([{ repo_id: "z" }, { repo_id: "d", size_bytes: 9 }]),
      },
    });
    const { models } = await fake.provider().models(neverAborted);
    expect(models.map(({ modelId, state, sizeBytes }) => [modelId, state, sizeBytes])).toEqual([
      ["l", "loading", null],
      ["q", "quarantined", null],
      ["z", "loaded", null],
      ["d", "on-disk", 9],
    ]);
  });
});

describe("status", () => {
  test("row 16: a server without a model is up but not ready", async () => {
    using fake = startFake({
      routes: { "/admin/models": () => Response.json({ loaded: [], count: 0 }) },
    });
    expect(await fake.provider().status(neverAborted)).toMatchObject({
      ready: false,
      loadedModels: [],
      version: "1.0",
    });
  });
  test("names every candidate and its outcome", async () => {
    using fake = startFake();
    using other = startFake({ routes: { "/healthz": () => new Response("", { status: 502 }) } });
    const { candidates } = await fake
      .provider({ fallbackHosts: [other.server] })
      .status(neverAborted);
    expect(candidates).toEqual([
      { server: fake.server, outcome: "answers (LMX 1.0)" },
      { server: other.server, outcome: "HTTP 502" },
    ]);
  });
  test("row 20: says SSE when discovery says that there is no WebSocket", async () => {
    using fake = startFake({
      routes: {
        "/.well-known/opta-lmx": () => Response.json({ endpoints: { websocket_url: null } }),
      },
    });
    expect((await fake.provider().status(neverAborted)).transport).toBe("sse");
  });
});
