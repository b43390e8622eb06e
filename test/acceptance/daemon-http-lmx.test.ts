// The model server's routes over the daemon's HTTP, on the built binary against a scripted LMX: shapes of existing
// clients, ETag, and what is told when the server is away or refuses (contracts/daemon-v3.md section 2).
import { expect, test } from "bun:test";
import type { ScenarioInput } from "../../src/lmx-server/scenario.ts";
import { startDaemon, until } from "../support/daemon.ts";
import {
  ask,
  call,
  isForwarded,
  type RouteName,
  routeNames,
  rowOf,
} from "../support/daemon-http.ts";
import { startScripted } from "../support/lmx.ts";
import { createPlace } from "../support/workspace.ts";

const scenario: ScenarioInput = {
  models: [
    { id: "org/loaded", sizeGb: 2, contextLength: 4096 },
    { id: "org/disk", sizeGb: 1, state: "on-disk" },
    { id: "org/remote", sizeGb: 1, state: "downloadable" },
  ],
  turns: [],
  server: { downloads: true, version: "9.9.9" },
};

const lmxRoutes = routeNames.filter((name) => name.startsWith("lmx."));
const params = {
  modelId: "org/disk",
  confirmationToken: "t",
  downloadId: "d",
  repoId: "org/remote",
};

test("status, models, memory, discovery and downloads have the shapes that existing clients read", async () => {
  using place = createPlace();
  await using lmx = await startScripted(scenario);
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  const read = async (name: RouteName) => (await call(daemon, name)).body;
  expect(await read("lmx.status")).toMatchObject({
    status: "ok",
    version: "9.9.9",
    server: `127.0.0.1:${lmx.port}`,
    models: [{ model_id: "org/loaded", status: "loaded", context_length: 4096 }],
    memory: { total_gb: expect.any(Number), used_gb: expect.any(Number) },
  });
  expect(await read("lmx.models")).toMatchObject({
    models: [{ model_id: "org/loaded", status: "loaded", memory_bytes: 2 * 1024 ** 3 }],
    onDisk: [{ modelId: "org/disk", state: "on-disk" }],
  });
  expect(await read("lmx.available")).toMatchObject([
    { repo_id: "org/loaded", size_bytes: 2 * 1024 ** 3 },
    { repo_id: "org/disk" },
  ]);
  expect(await read("lmx.memory")).toMatchObject({ total_unified_memory_gb: expect.any(Number) });
  expect(await read("lmx.discovery")).toMatchObject({
    service: "opta-lmx",
    target: { host: "127.0.0.1", port: lmx.port, fallbackHosts: [], autoDiscover: false },
  });
  expect(await read("lmx.downloads")).toEqual({ downloads: [], count: 0, includeInactive: false });
});

test("models carry an ETag: who has them gets a 304, until a load changes them", async () => {
  using place = createPlace();
  await using lmx = await startScripted(scenario);
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  const read = (etag: string) =>
    ask(daemon, "GET /v3/lmx/models", { headers: etag === "" ? {} : { "if-none-match": etag } });
  const first = await read("");
  const etag = first.headers.get("etag") ?? "";
  expect([first.status, etag]).toEqual([200, expect.stringMatching(/^"[0-9a-f]+"$/)]);
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
    const { status, headers, body } = await read(known);
    expect([known, status, headers.get("etag"), body]).toEqual([known, 304, etag, undefined]);
  }
  expect((await read('"other"')).status).toBe(200);
  await call(daemon, "lmx.load", { modelId: "org/disk" });
  const changed = await read(etag);
  expect(changed.status).toBe(200);
  expect(changed.headers.get("etag")).not.toBe(etag);
  expect(changed.body).toMatchObject({
    models: [{ model_id: "org/disk" }, { model_id: "org/loaded" }],
    onDisk: [],
  });
});

test("a model is loaded, unloaded, downloaded after a confirmation, watched and deleted; LMX's own names do as well", async () => {
  using place = createPlace();
  await using lmx = await startScripted(scenario);
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  const loaded = await call(daemon, "lmx.load", { model_id: "org/disk", backend: "mlx" });
  expect(loaded.body).toMatchObject({ model_id: "org/disk", status: "loaded" });
  const unloaded = await call(daemon, "lmx.unload", { modelId: "org/disk" });
  expect(unloaded.body).toMatchObject({
    model_id: "org/disk",
    status: "unloaded",
    freed_bytes: expect.any(Number),
  });
  const asked = await call(daemon, "lmx.load", { modelId: "org/remote" });
  expect(asked.body).toMatchObject({
    model_id: "org/remote",
    status: "download_required",
    estimated_size_bytes: 1024 ** 3,
  });
  const { confirmation_token: token } = asked.body as { readonly confirmation_token: string };
  const confirmed = await call(daemon, "lmx.download", { confirmation_token: token });
  expect(confirmed.body).toMatchObject({ status: "downloading", model_id: "org/remote" });
  const { download_id: downloadId } = confirmed.body as { readonly download_id: string };
  const progress = await call(daemon, "lmx.downloadProgress", { downloadId });
  expect(progress.body).toMatchObject({
    download_id: downloadId,
    repo_id: "org/remote",
    status: "completed",
    progress_percent: 100,
  });
  const used = await call(daemon, "lmx.download", { confirmationToken: token });
  expect(used.status).toBeGreaterThanOrEqual(400);
  // It is loaded as soon as it is there.
  await until(async () => {
    const { status } = await call(daemon, "lmx.unload", { modelId: "org/remote" });
    return status === 200;
  }, "the downloaded model");
  // An id has slashes of its own: escaped or not, it is one parameter.
  for (const path of ["org%2Fremote", "org/disk"]) {
    const { status } = await ask(daemon, `DELETE /v3/lmx/models/${path}`);
    expect([path, status]).toEqual([path, 200]);
  }
  const { body } = await call(daemon, "lmx.available");
  expect(body).toMatchObject([{ repo_id: "org/loaded" }]);
});

test("what a load says beside the model reaches the server, and a download that was asked for begins", async () => {
  using place = createPlace();
  await using lmx = await startScripted(scenario);
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  await call(daemon, "lmx.load", {
    modelId: "org/disk",
    backend: "mlx-lm",
    performanceOverrides: { kv_bits: 8 },
    keep_alive_sec: 0,
    allowUnsupportedRuntime: true,
  });
  const posted = lmx.traffic.find(({ path }) => path === "/admin/models/load");
  expect(JSON.parse(posted?.body ?? "")).toEqual({
    model_id: "org/disk",
    backend: "mlx-lm",
    performance_overrides: { kv_bits: 8 },
    keep_alive_sec: 0,
    allow_unsupported_runtime: true,
  });
  const begun = await call(daemon, "lmx.load", { modelId: "org/remote", autoDownload: true });
  expect(begun.body).toMatchObject({ model_id: "org/remote", status: "downloading" });
});

test("a server that is away is a 502 connection_error on every route, and the daemon stays well", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  for (const name of lmxRoutes) {
    const { status, body } = await call(daemon, name, params);
    expect([name, status, body]).toEqual([
      name,
      502,
      { error: expect.any(String), code: "connection_error", hint: expect.any(String) },
    ]);
  }
  expect((await call(daemon, "daemon.health")).status).toBe(200);
});

test("a server that refuses our key is a 502 in words that no client takes for a refusal of its own token", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    ...scenario,
    server: { ...scenario.server, adminKey: "secret" },
  });
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  // What these need no key of an administrator for.
  const open = ["lmx.status", "lmx.discovery", "lmx.models"];
  const refused = lmxRoutes.filter((name) => !open.includes(name));
  for (const name of refused) {
    const { status, body } = await call(daemon, name, params);
    expect([name, status, body]).toMatchObject([name, 502, { code: "upstream_auth" }]);
    expect([name, JSON.stringify(body)]).toEqual([
      name,
      expect.not.stringMatching(/\b401\b|\b403\b|unauthori[sz]ed/i),
    ]);
  }
});

test("what else the server answers is passed on with its status; what is malformed never reaches it", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    ...scenario,
    server: {
      routes: [{ path: "/admin/memory", status: 418, body: { error: { message: "a teapot" } } }],
    },
  });
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  const { status, body } = await call(daemon, "lmx.memory");
  expect([status, body]).toEqual([418, { error: { message: "a teapot" } }]);
  expect(await call(daemon, "lmx.downloadProgress", { downloadId: "none" })).toMatchObject({
    status: 404,
  });
  const posts = lmxRoutes.filter((name) => rowOf(name).method === "POST");
  expect(posts.filter(isForwarded)).toEqual(["lmx.startDownload"]);
  for (const name of posts) {
    const answer = await call(daemon, name, {});
    expect([name, answer.status, answer.body]).toMatchObject([name, 400, { code: "usage" }]);
  }
  const wayUp = await ask(daemon, "DELETE /v3/lmx/models/..%2F..%2Fadmin");
  expect(wayUp).toMatchObject({ status: 400, body: { code: "usage" } });
});

test("an operation of existing clients is answered before they give up, whatever the model server does", async () => {
  using place = createPlace();
  // There, and busy: no question about its models is ever answered.
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) =>
      new URL(url).pathname === "/healthz"
        ? Response.json({ status: "ok", version: "1" })
        : new Promise<Response>(() => undefined),
  });
  await using daemon = await startDaemon({ place, modelPort: server.port ?? 0 });
  const askAll = async (name: string) => {
    const input = { modelId: "m" };
    const { status, body } = await ask(daemon, `POST /v3/operations/${name}`, {
      rawBody: JSON.stringify({ input }),
    });
    return [name, status, (body as { error?: { code?: string } }).error?.code];
  };
  const names = ["list", "health", "browse.library", "use", "unload"].map(
    (name) => `models.${name}`,
  );
  const patience = Bun.sleep(8_000).then(() => "no answer in 8 s");
  expect(await Promise.race([Promise.all(names.map(askAll)), patience])).toEqual(
    names.map((name) => [name, 503, "upstream_unavailable"]),
  );
}, 20_000);
