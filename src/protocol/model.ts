// What a model server says about itself and its models, in the shapes that `opta status` and
// `opta models --json` print and the daemon will serve (contracts/daemon-v3.md section 2, lmx shapes).
import * as z from "zod";

/** What a server is, as far as opta treats it differently. "openai": compatible, and nothing more is known. */
export const serverKinds = [
  "lmx",
  "llama-server",
  "mlx-lm",
  "lm-studio",
  "ollama",
  "vllm",
  "openai",
  "anthropic",
] as const;

/** Where a model's window is known from: the server, the user's setting, or not at all. */
export const windowSources = ["server", "setting", "unknown"] as const;

export const modelStateSchema = z.enum(["loaded", "loading", "quarantined", "on-disk"]);

export const modelInfoSchema = z.object({
  modelId: z.string(),
  state: modelStateSchema,
  /** Bytes in memory when loaded, on disk otherwise; null when the server does not say. */
  sizeBytes: z.number().nullable(),
  /** Tokens; null when the server does not say. */
  contextLength: z.number().nullable(),
});

export const modelListSchema = z.lazy(() =>
  z.object({
    /** "host:port" of the server that answered. */
    server: z.string(),
    /** Loaded ones first, each group by id. */
    models: z.array(modelInfoSchema),
  }),
);

export const serverStatusSchema = z.lazy(() =>
  z.object({
    /** "host:port" of the server that answered. */
    server: z.string(),
    kind: z.enum(serverKinds),
    version: z.string().nullable(),
    /** True when a chat request would find a model. */
    ready: z.boolean(),
    /** How a chat request would travel. */
    transport: z.enum(["websocket", "sse"]),
    loadedModels: z.array(z.string()),
    /** The same models with their windows, in tokens; null when neither server nor settings say. */
    windows: z.array(
      z.object({
        modelId: z.string(),
        contextLength: z.number().nullable(),
        windowSource: z.enum(windowSources),
      }),
    ),
    memory: z.object({ totalBytes: z.number(), usedBytes: z.number() }).nullable(),
    /** Milliseconds from the first byte sent to the probe's answer. */
    latencyMs: z.number(),
    /** Every candidate that was probed, with its outcome in words. */
    candidates: z.array(z.object({ server: z.string(), outcome: z.string() })),
  }),
);

/** What a load may say beside the model; what it leaves open the server decides (contracts/lmx.md section 3). */
export const loadRequestSchema = z.lazy(() =>
  z.object({
    modelId: z.string().min(1),
    backend: z.string().nullish(),
    /** True: what is not on the server's disk is fetched, however large. */
    autoDownload: z.boolean().nullish(),
    performanceOverrides: z.record(z.string(), z.unknown()).nullish(),
    /** 0: it stays in memory. */
    keepAliveSec: z.number().min(0).nullish(),
    allowUnsupportedRuntime: z.boolean().nullish(),
  }),
);

export type LoadRequest = z.infer<typeof loadRequestSchema>;

export const loadResultSchema = z.lazy(() =>
  z.discriminatedUnion("status", [
    z.object({
      status: z.literal("loaded"),
      modelId: z.string(),
      memoryBytes: z.number().nullable(),
      loadTimeMs: z.number().nullable(),
    }),
    z.object({
      status: z.literal("download-required"),
      modelId: z.string(),
      sizeBytes: z.number().nullable(),
      confirmationToken: z.string(),
    }),
    z.object({ status: z.literal("downloading"), modelId: z.string(), downloadId: z.string() }),
  ]),
);

/** A download that runs on the server, whoever watches. */
export const downloadProgressSchema = z.lazy(() =>
  z.object({
    downloadId: z.string(),
    modelId: z.string(),
    status: z.enum(["downloading", "completed", "failed", "cancelled"]),
    downloadedBytes: z.number(),
    /** Null when the server does not say. */
    totalBytes: z.number().nullable(),
    /** Why it failed, in the server's words. */
    error: z.string().nullable(),
  }),
);

export type ServerKind = (typeof serverKinds)[number];
export type WindowSource = (typeof windowSources)[number];
export type DownloadProgress = z.infer<typeof downloadProgressSchema>;
export type ModelInfo = z.infer<typeof modelInfoSchema>;
export type ModelList = z.infer<typeof modelListSchema>;
export type ServerStatus = z.infer<typeof serverStatusSchema>;
export type LoadResult = z.infer<typeof loadResultSchema>;
