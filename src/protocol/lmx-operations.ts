// The rows of the operations table that are about the model server: what it has, and what it is to load or fetch.
import * as z from "zod";
import {
  downloadProgressSchema,
  loadRequestSchema,
  loadResultSchema,
  modelListSchema,
  serverStatusSchema,
} from "./model.ts";
import type { OperationName } from "./operation-routes.ts";
import type { OperationRow } from "./operation-row.ts";

/** What the model server answered, as it is. */
const forwardedSchema = z.lazy(() => z.object({ status: z.number(), body: z.unknown() }));

export const lmxOperations = {
  "lmx.status": {
    summary: "The model server that would answer now.",
    params: z.lazy(() => z.object({})),
    result: serverStatusSchema,
  },
  "lmx.models": {
    summary: "The model server's models, loaded ones first.",
    params: z.lazy(() => z.object({})),
    result: modelListSchema,
  },
  "lmx.load": {
    summary: "Loads a model; may take minutes.",
    params: loadRequestSchema,
    result: loadResultSchema,
  },
  "lmx.download": {
    summary: "Confirms the download that `lmx.load` found to be necessary; the token works once.",
    params: z.lazy(() =>
      z.object({
        /** Existing clients leave it out. */
        modelId: z.string().default(""),
        confirmationToken: z.string().min(1),
      }),
    ),
    result: loadResultSchema,
  },
  "lmx.downloadProgress": {
    summary: "How far a download is.",
    params: z.lazy(() => z.object({ downloadId: z.string().min(1) })),
    result: downloadProgressSchema,
  },
  "lmx.unload": {
    summary: "Takes a model out of memory.",
    params: z.lazy(() => z.object({ modelId: z.string().min(1) })),
    result: z.lazy(() => z.object({ modelId: z.string(), freedBytes: z.number().nullable() })),
  },
  "lmx.discovery": {
    summary: "The model server's discovery document, and how opta reaches it.",
    params: z.lazy(() => z.object({})),
    result: forwardedSchema,
  },
  "lmx.memory": {
    summary: "The model server's memory.",
    params: z.lazy(() => z.object({})),
    result: forwardedSchema,
  },
  "lmx.available": {
    summary: "Models on the model server's disk.",
    params: z.lazy(() => z.object({})),
    result: forwardedSchema,
  },
  "lmx.downloads": {
    summary: "Downloads on the model server.",
    params: z.lazy(() => z.object({ includeInactive: z.stringbool().optional() })),
    result: forwardedSchema,
  },
  "lmx.startDownload": {
    summary: "Begins a download on the model server.",
    params: z.lazy(() => z.object({ repoId: z.string().min(1) })),
    result: forwardedSchema,
  },
  "lmx.deleteModel": {
    summary: "Deletes a model from the model server's disk.",
    params: z.lazy(() => z.object({ modelId: z.string().min(1) })),
    result: forwardedSchema,
  },
} as const satisfies Record<Extract<OperationName, `lmx.${string}`>, OperationRow>;
