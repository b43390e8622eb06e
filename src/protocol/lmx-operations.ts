// The rows of the operations table that are about the model server: what it has, and what it is to load or fetch.
import * as z from "zod";
import {
  downloadProgressSchema,
  loadResultSchema,
  modelListSchema,
  serverStatusSchema,
} from "./model.ts";
import type { OperationRow } from "./operation-row.ts";

/** What the model server answered, as it is. */
const forwardedSchema = z.lazy(() => z.object({ status: z.number(), body: z.unknown() }));

export const lmxOperations = {
  "lmx.status": {
    method: "GET",
    path: "/v3/lmx/status",
    summary: "The model server that would answer now.",
    params: z.lazy(() => z.object({})),
    result: z.lazy(() => serverStatusSchema),
  },
  "lmx.models": {
    method: "GET",
    path: "/v3/lmx/models",
    summary: "The model server's models, loaded ones first.",
    params: z.lazy(() => z.object({})),
    result: z.lazy(() => modelListSchema),
  },
  "lmx.load": {
    method: "POST",
    path: "/v3/lmx/models/load",
    summary: "Loads a model; may take minutes.",
    params: z.lazy(() => z.object({ modelId: z.string().min(1) })),
    result: z.lazy(() => loadResultSchema),
  },
  "lmx.download": {
    method: "POST",
    path: "/v3/lmx/models/load/confirm",
    summary: "Confirms the download that `lmx.load` found to be necessary; the token works once.",
    params: z.lazy(() =>
      z.object({
        /** Existing clients leave it out. */
        modelId: z.string().default(""),
        confirmationToken: z.string().min(1),
      }),
    ),
    result: z.lazy(() => loadResultSchema),
  },
  "lmx.downloadProgress": {
    method: "GET",
    path: "/v3/lmx/models/download/:downloadId/progress",
    summary: "How far a download is.",
    params: z.lazy(() => z.object({ downloadId: z.string().min(1) })),
    result: z.lazy(() => downloadProgressSchema),
  },
  "lmx.unload": {
    method: "POST",
    path: "/v3/lmx/models/unload",
    summary: "Takes a model out of memory.",
    params: z.lazy(() => z.object({ modelId: z.string().min(1) })),
    result: z.lazy(() => z.object({ modelId: z.string(), freedBytes: z.number().nullable() })),
  },
  "lmx.discovery": {
    method: "GET",
    path: "/v3/lmx/discovery",
    forwarded: true,
    summary: "The model server's discovery document, and how opta reaches it.",
    params: z.lazy(() => z.object({})),
    result: forwardedSchema,
  },
  "lmx.memory": {
    method: "GET",
    path: "/v3/lmx/memory",
    forwarded: true,
    summary: "The model server's memory.",
    params: z.lazy(() => z.object({})),
    result: forwardedSchema,
  },
  "lmx.available": {
    method: "GET",
    path: "/v3/lmx/models/available",
    forwarded: true,
    summary: "Models on the model server's disk.",
    params: z.lazy(() => z.object({})),
    result: forwardedSchema,
  },
  "lmx.downloads": {
    method: "GET",
    path: "/v3/lmx/models/downloads",
    forwarded: true,
    summary: "Downloads on the model server.",
    params: z.lazy(() => z.object({ includeInactive: z.stringbool().optional() })),
    result: forwardedSchema,
  },
  "lmx.startDownload": {
    method: "POST",
    path: "/v3/lmx/models/download",
    forwarded: true,
    summary: "Begins a download on the model server.",
    params: z.lazy(() => z.object({ repoId: z.string().min(1) })),
    result: forwardedSchema,
  },
  "lmx.deleteModel": {
    method: "DELETE",
    path: "/v3/lmx/models/:modelId",
    forwarded: true,
    summary: "Deletes a model from the model server's disk.",
    params: z.lazy(() => z.object({ modelId: z.string().min(1) })),
    result: forwardedSchema,
  },
} as const satisfies Record<string, OperationRow>;
