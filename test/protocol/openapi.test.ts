import { describe, expect, test } from "bun:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import * as z from "zod";
import { ownRoutes } from "../../src/daemon/own-routes.ts";
import { daemonRoutes } from "../../src/protocol/daemon-routes.ts";
import { eventPayloadSchemas } from "../../src/protocol/event.ts";
import { toLmxWire } from "../../src/protocol/lmx-wire.ts";
import { lmxWireSchemas } from "../../src/protocol/lmx-wire-schemas.ts";
import type {
  DownloadProgress,
  LoadResult,
  ModelList,
  ServerStatus,
} from "../../src/protocol/model.ts";
import { describeApi } from "../../src/protocol/openapi.ts";
import { type OperationName, operationRoutes } from "../../src/protocol/operation-routes.ts";
import { operations } from "../../src/protocol/operations.ts";

const api = describeApi("1.2.3");
const described = Object.entries(api.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

/** As it travels: what is undefined is gone. */
const asJson = (value: unknown) => JSON.parse(JSON.stringify(value)) as Record<string, unknown>;

describe("the API's description", () => {
  test("is a valid OpenAPI 3.1 document", async () => {
    expect(await new Validator().validate(asJson(api))).toEqual({ valid: true });
  });

  test("and one with a parameter too few is found to be invalid", async () => {
    const broken = asJson(api);
    const [path] = Object.values(broken["paths"] as Record<string, { get?: object }>);
    Object.assign(path?.get ?? {}, { parameters: [{ in: "query" }] });
    expect(await new Validator().validate(broken)).toMatchObject({ valid: false });
  });

  test("has every operation and every route of the daemon, once, with its summary and status", () => {
    const rows = { ...daemonRoutes, ...operationRoutes };
    const summaries = { ...daemonRoutes, ...operations };
    expect(described.map(({ operation }) => operation.operationId).toSorted()).toEqual(
      Object.keys(rows).toSorted(),
    );
    for (const [name, row] of Object.entries(rows)) {
      const path = row.path.replaceAll(/:(\w+)/g, "{$1}");
      const operation = api.paths[path]?.[row.method.toLowerCase()];
      expect(operation).toMatchObject({
        operationId: name,
        summary: summaries[name as keyof typeof summaries].summary,
      });
      const status = "forwarded" in row ? "2XX" : "status" in row ? row.status : 200;
      expect(Object.keys(operation?.responses ?? {})).toContain(String(status));
    }
  });

  test("declares each parameter of a path, and no reference leads nowhere", () => {
    for (const { path, operation } of described) {
      const inPath = (operation.parameters ?? []).filter((parameter) => parameter.in === "path");
      const declared = inPath.map(({ name }) => `{${name}}`);
      expect([path, declared]).toEqual([path, path.match(/\{\w+\}/g) ?? []]);
    }
    const references = JSON.stringify(api).match(/#\/components\/[\w./]+/g) ?? [];
    expect(references.length).toBeGreaterThan(50);
    for (const reference of new Set(references)) {
      const [, , kind, ...name] = reference.split("/");
      expect([reference, asJson(asJson(api)["components"])[kind ?? ""]]).toEqual([
        reference,
        expect.objectContaining({ [name.join("/")]: expect.anything() }),
      ]);
    }
  });

  test("has every kind of event with its payload's keys", () => {
    for (const [kind, payload] of Object.entries(eventPayloadSchemas)) {
      const shown = api.components.schemas[kind]?.properties?.["payload"];
      expect(Object.keys(shown?.properties ?? {})).toEqual(Object.keys(payload.shape));
    }
  });

  test("asks for a token everywhere but at /health", () => {
    const open = described.filter(({ operation }) => operation.security?.length === 0);
    expect(open.map(({ path }) => path)).toEqual(["/health"]);
    const told = described.filter(({ operation }) => operation.responses["401"] !== undefined);
    expect(told.length).toBe(described.length - 1);
  });
});

test("the table of the daemon's own routes names what own-routes.ts serves, and the two of server.ts", () => {
  const inServer = ["GET /health", "GET /v3/ws"];
  const named = Object.values(daemonRoutes).map(({ method, path }) => `${method} ${path}`);
  const served = ownRoutes.map(({ method, path }) => `${method} ${path}`);
  expect(named.toSorted()).toEqual([...served, ...inServer].toSorted());
});

describe("what /v3/lmx answers is what its description says, and no key more:", () => {
  const status: ServerStatus = {
    server: "127.0.0.1:1234",
    kind: "lmx",
    version: "1.0",
    ready: true,
    transport: "websocket",
    loadedModels: ["a", "b"],
    windows: [
      { modelId: "a", contextLength: 4096, windowSource: "server" },
      { modelId: "b", contextLength: null, windowSource: "unknown" },
    ],
    memory: { totalBytes: 2, usedBytes: 1 },
    latencyMs: 1,
    candidates: [],
  };
  const models: ModelList = {
    server: "127.0.0.1:1234",
    models: [
      { modelId: "a", state: "loaded", sizeBytes: 1, contextLength: 1 },
      { modelId: "b", state: "loading", sizeBytes: null, contextLength: null },
      { modelId: "c", state: "on-disk", sizeBytes: 1, contextLength: null },
    ],
  };
  const loads: readonly LoadResult[] = [
    { status: "loaded", modelId: "a", memoryBytes: 1, loadTimeMs: 1 },
    { status: "loaded", modelId: "a", memoryBytes: null, loadTimeMs: null },
    { status: "download-required", modelId: "a", sizeBytes: 1, confirmationToken: "t" },
    { status: "download-required", modelId: "a", sizeBytes: null, confirmationToken: "t" },
    { status: "downloading", modelId: "a", downloadId: "d" },
  ];
  const progress: DownloadProgress = {
    downloadId: "d",
    modelId: "a",
    status: "failed",
    downloadedBytes: 1,
    totalBytes: 2,
    error: "no space",
  };
  const results: readonly (readonly [OperationName, readonly unknown[]])[] = [
    ["lmx.status", [status, { ...status, version: null, memory: null }]],
    ["lmx.models", [models]],
    ["lmx.load", loads],
    ["lmx.download", loads],
    ["lmx.downloadProgress", [progress, { ...progress, totalBytes: null }]],
    [
      "lmx.unload",
      [
        { modelId: "a", freedBytes: 1 },
        { modelId: "a", freedBytes: null },
      ],
    ],
  ];
  for (const [name, examples] of results) {
    test(name, () => {
      const schema = lmxWireSchemas[name] ?? z.never();
      for (const example of examples) {
        const body = asJson(toLmxWire(name, example));
        // Parsing drops keys that the schema does not know.
        expect(schema.parse(body)).toEqual(body);
      }
    });
  }
  test("and every answer that is changed on its way has a row here", () => {
    const forwarded = Object.entries(operationRoutes).filter(([, row]) => "forwarded" in row);
    const lmx = Object.keys(operations).filter((name) => name.startsWith("lmx."));
    const own = lmx.filter((name) => !forwarded.some(([other]) => other === name));
    expect(Object.keys(lmxWireSchemas).toSorted()).toEqual(own.toSorted());
    expect(results.map(([name]) => name).toSorted()).toEqual(own.toSorted() as OperationName[]);
  });
});
