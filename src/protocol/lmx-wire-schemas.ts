// The bodies of /v3/lmx answers as lmx-wire.ts makes them: our results with the names of existing clients beside
// them. For the API's description, and for tests that hold the one to the other.
import * as z from "zod";
import {
  downloadProgressSchema,
  loadResultSchema,
  modelInfoSchema,
  serverStatusSchema,
} from "./model.ts";
import type { OperationName } from "./operations.ts";

const [loaded, downloadRequired, downloading] = loadResultSchema.unwrap().options;

const loadWireSchema = z.lazy(() =>
  z.discriminatedUnion("status", [
    loaded.extend({
      model_id: z.string(),
      memory_bytes: z.number().optional(),
      load_time_seconds: z.number().optional(),
    }),
    downloadRequired.extend({
      status: z.literal("download_required"),
      model_id: z.string(),
      confirmation_token: z.string(),
      estimated_size_bytes: z.number().optional(),
    }),
    downloading.extend({ model_id: z.string(), download_id: z.string() }),
  ]),
);

/** Absent: the operation's own result, or the model server's words as they are. */
export const lmxWireSchemas: { readonly [N in OperationName]?: z.ZodType } = {
  "lmx.status": z.lazy(() =>
    serverStatusSchema.unwrap().extend({
      status: z.literal("ok"),
      models: z.array(
        z.object({
          model_id: z.string(),
          status: z.literal("loaded"),
          context_length: z.number().optional(),
        }),
      ),
      /** Absent where the server does not say. */
      memory: z
        .object({
          totalBytes: z.number(),
          usedBytes: z.number(),
          total_gb: z.number(),
          used_gb: z.number(),
          available_gb: z.number(),
        })
        .optional(),
    }),
  ),
  "lmx.models": z.lazy(() =>
    z.object({
      server: z.string(),
      /** All but those on disk. */
      models: z.array(
        modelInfoSchema.extend({
          model_id: z.string(),
          status: modelInfoSchema.shape.state,
          memory_bytes: z.number().optional(),
          context_length: z.number().optional(),
        }),
      ),
      onDisk: z.array(modelInfoSchema),
    }),
  ),
  "lmx.load": loadWireSchema,
  "lmx.download": loadWireSchema,
  "lmx.downloadProgress": z.lazy(() =>
    downloadProgressSchema.unwrap().extend({
      download_id: z.string(),
      repo_id: z.string(),
      progress_percent: z.number(),
      downloaded_bytes: z.number(),
      /** 0: not known. */
      total_bytes: z.number(),
    }),
  ),
  "lmx.unload": z.lazy(() =>
    z.object({
      modelId: z.string(),
      freedBytes: z.number().nullable(),
      model_id: z.string(),
      status: z.literal("unloaded"),
      freed_bytes: z.number(),
    }),
  ),
};
