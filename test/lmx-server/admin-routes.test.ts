import { expect, test } from "bun:test";
import { startScripted } from "../support/lmx.ts";
import { postChat } from "../support/chat-request.ts";

const gib = 1024 ** 3;

async function get(url: string): Promise<unknown> {
  return (await fetch(url)).json();
}

async function post(url: string, body: unknown): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}

test("admin lists loaded models with their readiness, and those on disk as a bare array", async () => {
  await using server = await startScripted({
    turns: [],
    models: [
      { id: "a/big", sizeGb: 40, readiness: "quarantined", contextLength: null },
      { id: "small", sizeGb: 2, state: "on-disk" },
      { id: "remote", state: "downloadable" },
    ],
  });
  expect(await get(`${server.url}/admin/models`)).toEqual({
    loaded: [
      {
        id: "a/big",
        loaded: true,
        memory_gb: 40,
        loaded_at: expect.any(Number),
        use_batching: false,
        request_count: 0,
        last_used_at: null,
        context_length: null,
        performance: {},
        speculative: {},
        readiness: { state: "quarantined", reason: null, crash_count: 0 },
      },
    ],
    count: 1,
  });
  expect(await get(`${server.url}/admin/models/available`)).toEqual([
    {
      repo_id: "a/big",
      local_path: "/models/a/big",
      size_bytes: 40 * gib,
      downloaded_at: expect.any(Number),
    },
    {
      repo_id: "small",
      local_path: "/models/small",
      size_bytes: 2 * gib,
      downloaded_at: expect.any(Number),
    },
  ]);
  expect(await get(`${server.url}/admin/status`)).toMatchObject({
    loaded_models: 1,
    models: ["a/big"],
    memory: { total_gb: 128, used_gb: 40, available_gb: 88, usage_percent: 31.25 },
    in_flight_requests: 0,
  });
  expect(await get(`${server.url}/admin/memory`)).toMatchObject({
    used_gb: 40,
    models: { "a/big": { memory_gb: 40, loaded: true } },
  });
});

test("a load blocks until the model answers, and another load of it is told that it is there", async () => {
  await using server = await startScripted({
    turns: [{ text: "Hi" }],
    models: [{ id: "small", sizeGb: 2, state: "on-disk", loadMs: 30 }],
  });
  expect((await postChat(server.url, { model: "small" })).status).toBe(404);
  const load = `${server.url}/admin/models/load`;
  expect(await post(load, { model_id: "small" })).toEqual({
    status: 200,
    body: { success: true, model_id: "small", memory_after_load_gb: 2, time_to_load_ms: 30 },
  });
  expect(await post(load, { model_id: "small" })).toEqual({
    status: 200,
    body: { success: true, model_id: "small", memory_after_load_gb: null, time_to_load_ms: null },
  });
  expect((await postChat(server.url, { model: "small" })).status).toBe(200);
});

test("a load that fails says why, and can be tried again", async () => {
  const loadError = { status: 507, code: "insufficient_memory", message: "projected 97 %" };
  await using server = await startScripted({
    turns: [],
    models: [{ id: "big", state: "on-disk", loadError }],
  });
  for (let attempt = 0; attempt < 2; attempt += 1)
    expect(await post(`${server.url}/admin/models/load`, { model_id: "big" })).toEqual({
      status: 507,
      body: {
        error: {
          message: "projected 97 %",
          type: "server_error",
          param: null,
          code: "insufficient_memory",
        },
      },
    });
});

test("max_context_length and a body without model_id are a 400", async () => {
  await using server = await startScripted({ turns: [] });
  const load = `${server.url}/admin/models/load`;
  const unsupported = { model_id: "scripted", max_context_length: 4096 };
  expect(await post(load, unsupported)).toMatchObject({
    status: 400,
    body: { error: { code: "not_supported" } },
  });
  for (const path of ["load", "load/confirm", "unload"])
    expect(await post(`${server.url}/admin/models/${path}`, {})).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_input" } },
    });
});

test("unload frees the memory once; then, and for unknown models, it is a 404", async () => {
  await using server = await startScripted({ turns: [], models: [{ id: "a/big", sizeGb: 40 }] });
  const unload = () => post(`${server.url}/admin/models/unload`, { model_id: "a/big" });
  expect(await unload()).toEqual({
    status: 200,
    body: { success: true, model_id: "a/big", memory_freed_gb: 40 },
  });
  expect(await unload()).toMatchObject({
    status: 404,
    body: { error: { code: "model_not_found" } },
  });
  expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
});

const remote = { id: "remote", sizeGb: 3, state: "downloadable", downloadMs: 60 } as const;

test("what is not on disk is a 403 while downloads are off", async () => {
  await using server = await startScripted({ turns: [], models: [remote] });
  expect(await post(`${server.url}/admin/models/load`, { model_id: "remote" })).toMatchObject({
    status: 403,
    body: { error: { code: "downloads_disabled" } },
  });
});

test("a download is asked for, confirmed once, followed and loaded by itself", async () => {
  await using server = await startScripted({
    turns: [],
    models: [remote],
    server: { downloads: true },
  });
  const asked = await post(`${server.url}/admin/models/load`, { model_id: "remote" });
  expect(asked).toEqual({
    status: 202,
    body: {
      status: "download_required",
      model_id: "remote",
      estimated_size_bytes: 3 * gib,
      estimated_size_human: "3.0 GB",
      confirmation_token: expect.stringMatching(/^dl-/),
      message: expect.any(String),
      confirm_url: "/admin/models/load/confirm",
    },
  });
  const { confirmation_token } = asked.body as { confirmation_token: string };
  const confirm = () => post(`${server.url}/admin/models/load/confirm`, { confirmation_token });
  const started = await confirm();
  expect(started).toMatchObject({
    status: 202,
    body: { status: "downloading", model_id: "remote" },
  });
  expect(await confirm()).toMatchObject({
    status: 404,
    body: { error: { code: "token_not_found" } },
  });

  const { download_id, progress_url } = started.body as Record<string, string>;
  const follow = async () => (await get(server.url + progress_url)) as Record<string, unknown>;
  const first = await follow();
  expect(first).toMatchObject({
    download_id,
    repo_id: "remote",
    total_bytes: 3 * gib,
    files_total: 1,
    error: null,
  });
  while ((await follow())["status"] !== "completed") await Bun.sleep(5);
  expect(await follow()).toMatchObject({ progress_percent: 100, downloaded_bytes: 3 * gib });
  while ((await fetch(`${server.url}/readyz`)).status !== 200) await Bun.sleep(5);
  const downloads = `${server.url}/admin/models/downloads`;
  expect(await get(downloads)).toEqual({ downloads: [] });
  expect(await get(`${downloads}?include_inactive=true`)).toMatchObject({
    downloads: [{ download_id, status: "completed", completed_at: expect.any(Number) }],
  });
});

test("with auto_download the download starts at once", async () => {
  await using server = await startScripted({
    turns: [],
    models: [remote],
    server: { downloads: true },
  });
  const load = `${server.url}/admin/models/load`;
  expect(await post(load, { model_id: "remote", auto_download: true })).toMatchObject({
    status: 202,
    body: { status: "downloading", model_id: "remote" },
  });
  expect(await get(`${server.url}/admin/models/downloads`)).toMatchObject({
    downloads: [{ repo_id: "remote", status: "downloading" }],
  });
  expect(await post(load, { model_id: "no-such" })).toMatchObject({ status: 404 });
  expect((await fetch(`${server.url}/admin/models/download/none/progress`)).status).toBe(404);
});

test("a plain download is listed and ends on disk, not in memory", async () => {
  await using server = await startScripted({
    turns: [],
    models: [{ ...remote, downloadMs: 10 }],
    server: { downloads: true },
  });
  const download = (repo_id: string) => post(`${server.url}/admin/models/download`, { repo_id });
  expect(await download("remote")).toEqual({
    status: 202,
    body: {
      download_id: expect.any(String),
      repo_id: "remote",
      estimated_size_bytes: 3 * gib,
      status: "downloading",
    },
  });
  const onDisk = async () => (await get(`${server.url}/admin/models/available`)) as unknown[];
  while ((await onDisk()).length === 0) await Bun.sleep(2);
  expect(await get(`${server.url}/admin/models`)).toMatchObject({ count: 0 });
  expect(await download("no-such")).toMatchObject({ status: 404 });
  expect(await download("")).toMatchObject({
    status: 400,
    body: { error: { code: "invalid_input" } },
  });
});

test("a model is deleted from disk by its id, slashes and all, but not from memory", async () => {
  await using server = await startScripted({
    turns: [],
    models: [{ id: "org/A" }, { id: "org/B", state: "on-disk" }],
  });
  const remove = async (id: string) => {
    const url = `${server.url}/admin/models/${encodeURIComponent(id)}`;
    const response = await fetch(url, { method: "DELETE" });
    return [response.status, await response.json()];
  };
  expect(await remove("org/B")).toEqual([200, { success: true, model_id: "org/B" }]);
  expect(await remove("org/B")).toMatchObject([404, { error: { code: "model_not_found" } }]);
  expect(await remove("org/A")).toMatchObject([409, { error: { code: "model_in_use" } }]);
});
