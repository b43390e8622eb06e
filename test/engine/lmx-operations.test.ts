import { describe, expect, test } from "bun:test";
import { createLmxOperations } from "../../src/engine/lmx-operations.ts";
import type { ScenarioInput } from "../../src/lmx-server/scenario.ts";
import { OptaError } from "../../src/protocol/error.ts";
import { createCloudOptIn } from "../../src/providers/cloud-opt-in.ts";
import { createLmxProvider } from "../../src/providers/lmx/provider.ts";
import { neverAborted, startFake } from "../support/fake-model-server.ts";
import { startScripted } from "../support/lmx.ts";

const gib = 1024 ** 3;
type Server = NonNullable<ScenarioInput["server"]>;

/** The operations over a scripted LMX with a model in memory, one on disk and one to be fetched. */
async function start(server: Server = {}, adminKey?: string) {
  const lmx = await startScripted({
    turns: [],
    models: [
      { id: "org/A", sizeGb: 2 },
      { id: "org/B", sizeGb: 1, state: "on-disk" },
      { id: "org/C", sizeGb: 3, state: "downloadable", downloadMs: 20 },
    ],
    server: { downloads: true, ...server },
  });
  const provider = createLmxProvider({
    host: "127.0.0.1",
    port: lmx.port,
    fallbackHosts: [],
    adminKey,
  });
  return {
    lmx,
    operations: createLmxOperations(() => provider),
    async [Symbol.asyncDispose]() {
      provider.close();
      await lmx.stop();
    },
  };
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  const thrown: unknown = await promise.then(
    () => "it succeeded",
    (error: unknown) => error,
  );
  if (thrown instanceof OptaError) return { ...thrown, message: thrown.message };
  throw new Error(`expected an OptaError, got ${String(thrown)}`);
}

describe("in opta's own shapes", () => {
  test("status, models, load and unload are the provider's", async () => {
    await using started = await start();
    const { operations } = started;
    const { server, loadedModels } = await operations["lmx.status"]({}, neverAborted);
    expect([server, loadedModels]).toEqual([`127.0.0.1:${started.lmx.port}`, ["org/A"]]);
    const { models } = await operations["lmx.models"]({}, neverAborted);
    expect(models.map(({ modelId }) => modelId)).toEqual(["org/A", "org/B"]);
    expect(await operations["lmx.load"]({ modelId: "org/B" }, neverAborted)).toMatchObject({
      status: "loaded",
      memoryBytes: gib,
    });
    expect(await operations["lmx.unload"]({ modelId: "org/A" }, neverAborted)).toEqual({
      modelId: "org/A",
      freedBytes: 2 * gib,
    });
  });

  test("the provider is asked for at every call, so that another can take its place", async () => {
    const calls: string[] = [];
    using fake = startFake();
    const operations = createLmxOperations(() => {
      calls.push("asked");
      return fake.provider();
    });
    await operations["lmx.status"]({}, neverAborted);
    await operations["lmx.models"]({}, neverAborted);
    expect(calls).toEqual(["asked", "asked"]);
  });
});

describe("confirming a download", () => {
  async function ask({ operations }: Awaited<ReturnType<typeof start>>): Promise<string> {
    const asked = await operations["lmx.load"]({ modelId: "org/C" }, neverAborted);
    if (asked.status !== "download-required") throw new Error(`unexpected ${asked.status}`);
    return asked.confirmationToken;
  }

  test("with the token alone names the model", async () => {
    await using started = await start();
    const confirmationToken = await ask(started);
    const result = await started.operations["lmx.download"](
      { modelId: "", confirmationToken },
      neverAborted,
    );
    expect(result).toEqual({
      status: "downloading",
      modelId: "org/C",
      downloadId: expect.any(String),
    });
  });

  test("with token and model asks nothing more, and can be followed", async () => {
    await using started = await start();
    const { operations, lmx } = started;
    const confirmationToken = await ask(started);
    const asked = { modelId: "org/C", confirmationToken };
    const result = await operations["lmx.download"](asked, neverAborted);
    expect(result).toMatchObject({ status: "downloading", modelId: "org/C" });
    if (result.status !== "downloading") return;
    const { downloadId } = result;
    expect(lmx.traffic.filter(({ path }) => path.endsWith("/progress"))).toEqual([]);
    expect(await operations["lmx.downloadProgress"]({ downloadId }, neverAborted)).toMatchObject({
      downloadId,
      modelId: "org/C",
      totalBytes: 3 * gib,
    });
  });

  test("has begun even when it cannot be asked about", async () => {
    await using started = await start({
      routes: [{ path: "/admin/models/download/*", status: 500, body: "no" }],
    });
    const confirmationToken = await ask(started);
    expect(
      await started.operations["lmx.download"]({ modelId: "", confirmationToken }, neverAborted),
    ).toMatchObject({ status: "downloading", modelId: "" });
  });

  test("twice is refused in words that make sense without a model's name", async () => {
    await using started = await start();
    const confirm = { modelId: "", confirmationToken: "dl-used" };
    expect(
      await failureOf(started.operations["lmx.download"](confirm, neverAborted)),
    ).toMatchObject({
      code: "not-found",
      message: `127.0.0.1:${started.lmx.port}: the question about MODEL is no longer open`,
      hint: "opta models load MODEL",
    });
  });
});

describe("passed on to LMX", () => {
  test("discovery also says where opta found it", async () => {
    await using started = await start();
    const { status, body } = await started.operations["lmx.discovery"]({}, neverAborted);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      service: "opta-lmx",
      loaded_models: ["org/A"],
      target: {
        host: "127.0.0.1",
        port: started.lmx.port,
        fallbackHosts: [],
        autoDiscover: false,
      },
    });
  });

  test("an IPv6 host is told without its brackets, and who would be tried in its place", async () => {
    const operations = createLmxOperations(() => ({
      ...createLmxProvider({ host: "::1", port: 1234, fallbackHosts: [] }),
      forward: async () => ({
        status: 200,
        body: {},
        server: "[::1]:1234",
        fallbackHosts: ["studio-2"],
      }),
    }));
    expect(await operations["lmx.discovery"]({}, neverAborted)).toMatchObject({
      body: { target: { host: "::1", port: 1234, fallbackHosts: ["studio-2"] } },
    });
  });

  test("memory and the models on disk come as LMX says them", async () => {
    await using started = await start();
    expect(await started.operations["lmx.memory"]({}, neverAborted)).toEqual({
      status: 200,
      body: {
        total_unified_memory_gb: 128,
        used_gb: 2,
        available_gb: 126,
        threshold_percent: 90,
        models: { "org/A": { memory_gb: 2, loaded: true } },
      },
    });
    const available = await started.operations["lmx.available"]({}, neverAborted);
    expect(available.body).toMatchObject([
      { repo_id: "org/A", size_bytes: 2 * gib, local_path: "/models/org/A" },
      { repo_id: "org/B", size_bytes: gib },
    ]);
  });

  test("the models on disk are a bare array, also where the server wraps them", async () => {
    await using started = await start({
      routes: [
        { path: "/admin/models/available", status: 200, body: { models: [{ repo_id: "x" }] } },
      ],
    });
    expect(await started.operations["lmx.available"]({}, neverAborted)).toEqual({
      status: 200,
      body: [{ repo_id: "x" }],
    });
  });

  test("a download is begun, and listed in the names that clients know", async () => {
    await using started = await start();
    const { operations } = started;
    const begun = await operations["lmx.startDownload"]({ repoId: "org/C" }, neverAborted);
    expect(begun).toEqual({
      status: 202,
      body: {
        download_id: expect.any(String),
        repo_id: "org/C",
        estimated_size_bytes: 3 * gib,
        status: "downloading",
      },
    });
    const list = (params: { includeInactive?: boolean }) =>
      operations["lmx.downloads"](params, neverAborted);
    let listed = await list({ includeInactive: true });
    while (!JSON.stringify(listed).includes('"completed"'))
      listed = await list({ includeInactive: true });
    expect(listed).toEqual({
      status: 200,
      body: {
        downloads: [
          {
            downloadId: expect.any(String),
            repoId: "org/C",
            status: "completed",
            progressPercent: 100,
            downloadedBytes: 3 * gib,
            totalBytes: 3 * gib,
            filesCompleted: 1,
            filesTotal: 1,
            startedAt: expect.any(Number),
            completedAt: expect.any(Number),
            error: null,
          },
        ],
        count: 1,
        includeInactive: true,
      },
    });
    expect(await list({})).toEqual({
      status: 200,
      body: { downloads: [], count: 0, includeInactive: false },
    });
  });

  test("row 19: older servers list downloads as a bare array, rows without a shape are dropped", async () => {
    await using started = await start({
      routes: [
        {
          path: "/admin/models/downloads",
          status: 200,
          body: [{ download_id: "d1", repo_id: "r", status: "failed", error: "disk full" }, null],
        },
      ],
    });
    const { body } = await started.operations["lmx.downloads"]({}, neverAborted);
    expect(body).toMatchObject({
      downloads: [{ downloadId: "d1", repoId: "r", status: "failed", error: "disk full" }],
      count: 1,
    });
  });

  test("a model is deleted by its whole id, slashes and all", async () => {
    await using started = await start({
      routes: [{ method: "DELETE", path: "/admin/models/*", status: 200, body: { success: true } }],
    });
    const { operations, lmx } = started;
    expect(await operations["lmx.deleteModel"]({ modelId: "org/B" }, neverAborted)).toEqual({
      status: 200,
      body: { success: true },
    });
    const { method, path } = lmx.traffic.at(-1)!;
    expect([method, path]).toEqual(["DELETE", "/admin/models/org%2FB"]);
  });

  test.each(["..", ".", "org/../B", "..\\B", "\ud800"])(
    "%j is no model id, and nothing is sent",
    async (modelId) => {
      await using started = await start();
      const { operations, lmx } = started;
      expect(
        await failureOf(operations["lmx.deleteModel"]({ modelId }, neverAborted)),
      ).toMatchObject({ code: "usage" });
      expect(lmx.traffic).toEqual([]);
    },
  );
});

describe("a refusal by LMX", () => {
  test.each([
    { status: 401, body: { detail: "Unauthorized" } },
    { status: 403, body: { detail: "Invalid admin key" } },
  ])("of the key ($status) cannot be taken for the daemon's own", async ({ status, body }) => {
    await using started = await start({ routes: [{ path: "/admin/memory", status, body }] });
    const answer = await started.operations["lmx.memory"]({}, neverAborted);
    expect(answer).toEqual({
      status: 502,
      body: {
        error: "the model server refused the key (connection.adminKey, connection.apiKey)",
        code: "upstream_auth",
      },
    });
    expect(JSON.stringify(answer)).not.toMatch(/401|403|unauthorized/i);
  });

  test("a right key opens what a missing one does not", async () => {
    await using locked = await start({ adminKey: "k" });
    expect(await locked.operations["lmx.memory"]({}, neverAborted)).toMatchObject({
      status: 502,
    });
    await using open = await start({ adminKey: "k" }, "k");
    expect(await open.operations["lmx.memory"]({}, neverAborted)).toMatchObject({ status: 200 });
  });

  test("of a download because they are switched off says so", async () => {
    await using started = await start({ downloads: false });
    expect(
      await started.operations["lmx.startDownload"]({ repoId: "org/C" }, neverAborted),
    ).toEqual({
      status: 502,
      body: {
        error: "downloads are switched off on the model server",
        code: "downloads_disabled",
      },
    });
  });

  test("of any other kind is passed on as it is", async () => {
    const body = { error: { message: "in use", code: "model_in_use" } };
    await using started = await start({
      routes: [{ method: "DELETE", path: "/admin/models/*", status: 409, body }],
    });
    expect(await started.operations["lmx.deleteModel"]({ modelId: "org/A" }, neverAborted)).toEqual(
      { status: 409, body },
    );
  });
});

test("a server that is gone is an error, not an answer", async () => {
  await using started = await start();
  await started.lmx.stop();
  expect(await failureOf(started.operations["lmx.memory"]({}, neverAborted))).toMatchObject({
    code: "lmx-connection-refused",
  });
});

describe("with a cloud", () => {
  const cloud = (use: "only" | "fallback", port: number) =>
    createCloudOptIn({
      use,
      local: createLmxProvider({ host: "127.0.0.1", port, fallbackHosts: [] }),
      name: "Cloud",
      isCloudModel: () => false,
      load: () => Promise.reject(new Error("the cloud is not asked")),
    });

  test("alone, there is nothing to pass on", async () => {
    using fake = startFake();
    const operations = createLmxOperations(() => cloud("only", fake.port));
    expect(await failureOf(operations["lmx.memory"]({}, neverAborted))).toEqual(
      expect.objectContaining({
        code: "usage",
        message: "only a local model server has this to show",
      }),
    );
    expect(fake.requests).toEqual([]);
  });

  test("behind it, the local server is asked", async () => {
    await using started = await start();
    const operations = createLmxOperations(() => cloud("fallback", started.lmx.port));
    expect(await operations["lmx.memory"]({}, neverAborted)).toMatchObject({ status: 200 });
  });
});
