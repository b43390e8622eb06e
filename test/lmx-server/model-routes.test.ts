import { expect, test } from "bun:test";
import { startScripted } from "../support/lmx.ts";

async function get(url: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url);
  return { status: response.status, body: await response.json() };
}

const models = [
  { id: "mlx-community/Qwen2.5-72B", sizeGb: 40 },
  { id: "small", state: "on-disk" as const },
];

test("health answers without a model, readiness does not", async () => {
  await using server = await startScripted({
    turns: [],
    models: [{ id: "small", state: "on-disk" }],
    server: { version: "9.9" },
  });
  expect(await get(`${server.url}/healthz`)).toEqual({
    status: 200,
    body: { status: "ok", version: "9.9" },
  });
  expect(await get(`${server.url}/readyz`)).toEqual({
    status: 503,
    body: { status: "unavailable", reason: "no models loaded" },
  });
});

test("readiness counts the loaded models", async () => {
  await using server = await startScripted({ turns: [], models });
  expect(await get(`${server.url}/readyz`)).toEqual({
    status: 200,
    body: { status: "ready", version: "0.1.0", models_loaded: 1 },
  });
});

test("the list of models has the loaded ones, and ids may carry slashes", async () => {
  await using server = await startScripted({ turns: [], models });
  const model = {
    id: "mlx-community/Qwen2.5-72B",
    object: "model",
    created: expect.any(Number),
    owned_by: "local",
  };
  expect((await get(`${server.url}/v1/models`)).body).toEqual({ object: "list", data: [model] });
  expect((await get(`${server.url}/v1/models/mlx-community/Qwen2.5-72B`)).body).toEqual(model);
  expect((await get(`${server.url}/v1/models/mlx-community%2FQwen2.5-72B`)).body).toEqual(model);
  expect((await get(`${server.url}/v1/models/small`)).status).toBe(404);
  expect((await get(`${server.url}/v1/models/%E0%A4%A`)).status).toBe(404);
});

test("discovery says who it is, where the socket is and that events cannot be resumed", async () => {
  await using server = await startScripted({ turns: [], models, server: { apiKey: "k" } });
  const { body } = await get(`${server.url}/.well-known/opta-lmx`);
  expect(body).toMatchObject({
    schema_version: "2026-03-02",
    service: "opta-lmx",
    instance_id: `127.0.0.1:${server.port}`,
    ready: true,
    loaded_models: ["mlx-community/Qwen2.5-72B"],
    loaded_model_count: 1,
    in_flight_requests: 0,
    auth: { admin_key_required: false, inference_key_required: true },
    endpoints: { websocket_url: server.webSocketUrl, openai_base_url: `${server.url}/v1` },
    continuity: { event_resume_supported: false },
  });
  expect((await get(`${server.url}/v1/discovery`)).body).toEqual(body);
});

test("an unknown route is a 404 in the OpenAI shape", async () => {
  await using server = await startScripted({ turns: [] });
  expect(await get(`${server.url}/v1/nothing`)).toEqual({
    status: 404,
    body: {
      error: {
        message: "no route GET /v1/nothing",
        type: "invalid_request_error",
        param: null,
        code: "not_found",
      },
    },
  });
  expect((await get(`${server.url}/__requests`)).status).toBe(404);
});

test("what was recorded is served when asked for", async () => {
  await using server = await startScripted({ turns: [] }, { inspect: true });
  await fetch(`${server.url}/healthz`);
  const { body } = await get(`${server.url}/__requests`);
  expect(body).toMatchObject({
    requests: [],
    traffic: [{ path: "/healthz", outcome: "done" }, { path: "/__requests" }],
  });
});
