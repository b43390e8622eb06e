import { describe, expect, test } from "bun:test";
import { fromLmxWire, lmxRequest, toLmxWire } from "../../src/protocol/lmx-wire.ts";
import { fromLmxErrorCode, lmxErrorCode } from "../../src/protocol/lmx-wire-errors.ts";
import { OptaError } from "../../src/protocol/error.ts";
import type { OperationName, OperationResult } from "../../src/protocol/operations.ts";

const gib = 1024 ** 3;

/** Over the wire and back, as an attached client would have it. */
function roundTrip<N extends OperationName>(operation: N, result: OperationResult<N>): unknown {
  const body: unknown = JSON.parse(JSON.stringify(toLmxWire(operation, result)));
  return fromLmxWire(operation, body);
}

const status: OperationResult<"lmx.status"> = {
  server: "127.0.0.1:1234",
  kind: "lmx",
  version: "1.0",
  ready: true,
  transport: "websocket",
  loadedModels: ["org/A", "org/B"],
  windows: [
    { modelId: "org/A", contextLength: 4096, windowSource: "server" },
    { modelId: "org/B", contextLength: null, windowSource: "unknown" },
  ],
  memory: { totalBytes: 8 * gib, usedBytes: 2 * gib },
  latencyMs: 1,
  candidates: [{ server: "127.0.0.1:1234", outcome: "answers (LMX 1.0)" }],
};
const models: OperationResult<"lmx.models"> = {
  server: "127.0.0.1:1234",
  models: [
    { modelId: "org/A", state: "loaded", sizeBytes: 2 * gib, contextLength: 4096 },
    { modelId: "org/Q", state: "quarantined", sizeBytes: null, contextLength: null },
    { modelId: "org/D", state: "on-disk", sizeBytes: 7, contextLength: null },
  ],
};
const loads: readonly OperationResult<"lmx.load">[] = [
  { status: "loaded", modelId: "org/A", memoryBytes: 2 * gib, loadTimeMs: 1500 },
  { status: "loaded", modelId: "org/A", memoryBytes: null, loadTimeMs: null },
  { status: "download-required", modelId: "org/C", sizeBytes: 7, confirmationToken: "dl-1" },
  { status: "download-required", modelId: "org/C", sizeBytes: null, confirmationToken: "dl-1" },
  { status: "downloading", modelId: "org/C", downloadId: "d1" },
];
const progress: OperationResult<"lmx.downloadProgress"> = {
  downloadId: "d1",
  modelId: "org/C",
  status: "downloading",
  downloadedBytes: 25,
  totalBytes: 100,
  error: null,
};

describe("existing clients read", () => {
  test("a status with its loaded models, and memory in LMX's GB", () => {
    expect(toLmxWire("lmx.status", status)).toMatchObject({
      status: "ok",
      version: "1.0",
      models: [
        { model_id: "org/A", status: "loaded", context_length: 4096 },
        { model_id: "org/B", status: "loaded" },
      ],
      memory: { total_gb: 8, used_gb: 2, available_gb: 6 },
    });
  });
  test("a status without a memory that is not known", () => {
    expect(toLmxWire("lmx.status", { ...status, memory: null })).not.toHaveProperty("memory");
  });
  test("models that are in memory only: they take every row for a loaded one", () => {
    expect(toLmxWire("lmx.models", models)).toEqual({
      server: "127.0.0.1:1234",
      models: [
        {
          modelId: "org/A",
          state: "loaded",
          sizeBytes: 2 * gib,
          contextLength: 4096,
          model_id: "org/A",
          status: "loaded",
          memory_bytes: 2 * gib,
          context_length: 4096,
        },
        {
          modelId: "org/Q",
          state: "quarantined",
          sizeBytes: null,
          contextLength: null,
          model_id: "org/Q",
          status: "quarantined",
        },
      ],
      onDisk: [{ modelId: "org/D", state: "on-disk", sizeBytes: 7, contextLength: null }],
    });
  });
  test("a load in one of three words, with what each has", () => {
    expect(loads.map((result) => toLmxWire("lmx.load", result))).toEqual([
      {
        ...loads[0],
        model_id: "org/A",
        memory_bytes: 2 * gib,
        load_time_seconds: 1.5,
      },
      { ...loads[1], model_id: "org/A" },
      {
        ...loads[2],
        status: "download_required",
        model_id: "org/C",
        confirmation_token: "dl-1",
        estimated_size_bytes: 7,
      },
      {
        ...loads[3],
        status: "download_required",
        model_id: "org/C",
        confirmation_token: "dl-1",
      },
      { ...loads[4], model_id: "org/C", download_id: "d1" },
    ]);
    expect(toLmxWire("lmx.download", loads[4])).toEqual(toLmxWire("lmx.load", loads[4]));
  });
  test("a download's progress in numbers throughout", () => {
    expect(toLmxWire("lmx.downloadProgress", progress)).toEqual({
      ...progress,
      download_id: "d1",
      repo_id: "org/C",
      progress_percent: 25,
      downloaded_bytes: 25,
      total_bytes: 100,
    });
    const unsized = { ...progress, totalBytes: null };
    expect(toLmxWire("lmx.downloadProgress", unsized)).toMatchObject({
      progress_percent: 0,
      total_bytes: 0,
    });
    const completed = { ...unsized, status: "completed" };
    expect(toLmxWire("lmx.downloadProgress", completed)).toMatchObject({ progress_percent: 100 });
  });
  test("an unload with what it freed", () => {
    expect(toLmxWire("lmx.unload", { modelId: "org/A", freedBytes: 5 })).toEqual({
      modelId: "org/A",
      freedBytes: 5,
      model_id: "org/A",
      status: "unloaded",
      freed_bytes: 5,
    });
    expect(toLmxWire("lmx.unload", { modelId: "org/A", freedBytes: null })).toMatchObject({
      freedBytes: null,
      freed_bytes: 0,
    });
  });
  test("what is LMX's own, and other operations, as they are", () => {
    const forwarded = { status: 200, body: [{ repo_id: "org/D" }] };
    expect(toLmxWire("lmx.available", forwarded)).toBe(forwarded);
    expect(lmxRequest("turn.cancel", { model_id: "x" })).toEqual({ model_id: "x" });
  });
});

describe("our attached client has exactly what an embedded one has", () => {
  const results: readonly (readonly [OperationName, unknown])[] = [
    ["lmx.status", status],
    ["lmx.status", { ...status, version: null, memory: null }],
    ["lmx.models", models],
    ["lmx.models", { server: "s", models: [] }],
    ...loads.map((result) => ["lmx.load", result] as const),
    ["lmx.download", loads[4]],
    ["lmx.downloadProgress", progress],
    ["lmx.downloadProgress", { ...progress, totalBytes: null, error: "disk full" }],
    ["lmx.unload", { modelId: "org/A", freedBytes: null }],
    ["lmx.memory", { status: 200, body: { used_gb: 1 } }],
  ];
  test.each(results)("%s %#", (operation, result) => {
    // The texts are compared: `--json` prints keys in their order.
    expect(JSON.stringify(roundTrip(operation, result as never))).toBe(JSON.stringify(result));
  });
  test("and an error for what no daemon of ours sends", () => {
    for (const body of [undefined, "hello", [], { status: "loaded" }]) {
      expect(() => fromLmxWire("lmx.load", body)).toThrow(OptaError);
    }
  });
});

describe("requests", () => {
  test("may use LMX's names; ours count where both are there", () => {
    expect(lmxRequest("lmx.load", { model_id: "org/A", keepAliveSec: 5 })).toMatchObject({
      modelId: "org/A",
      keepAliveSec: 5,
    });
    expect(lmxRequest("lmx.startDownload", { repo_id: "r" })).toMatchObject({ repoId: "r" });
    expect(lmxRequest("lmx.load", { modelId: "ours", model_id: "theirs" })).toMatchObject({
      modelId: "ours",
    });
  });
  test.each([undefined, null, "text", [1]])("that are no object stay as they are: %j", (body) => {
    expect(lmxRequest("lmx.load", body)).toBe(body);
  });
});

test("an unreachable model server has the code that existing clients know, and ours comes back", () => {
  expect(lmxErrorCode("lmx-connection-refused")).toBe("connection_error");
  expect(lmxErrorCode("auth-failed")).toBe("upstream_auth");
  expect(lmxErrorCode("model-not-found")).toBe("model-not-found");
  for (const code of ["lmx-connection-refused", "auth-failed", "not-found"] as const) {
    expect(fromLmxErrorCode(lmxErrorCode(code))).toBe(code);
  }
});
