// Which OpenAI-compatible server this is and what it has loaded, from what it answers at the paths that each
// make has for itself. Pure: the answers come in, a kind and its models go out. Sources of the shapes:
// llama.cpp tools/server/README.md, mlx_lm/server.py, lmstudio.ai/docs/api/rest-api, docs.ollama.com/api,
// vllm/entrypoints/openai; all read in 2026.
import type { ModelInfo, ServerKind } from "../../protocol/model.ts";
import { isRecord } from "../lmx/http-errors.ts";

/** Any server but LMX (which answers its own probe) and Anthropic (which is no server of the user's). */
export type PlainKind = Exclude<ServerKind, "lmx" | "anthropic">;

/** What came back from one path. */
export interface Probed {
  readonly status: number;
  /** The parsed body; undefined when it is no JSON. */
  readonly json: unknown;
  /** The `Server` header. */
  readonly software: string | null;
}

/** Path -> its answer; a path that gave none is missing. */
export type Probes = ReadonlyMap<string, Probed>;

export interface Recognised {
  readonly kind: PlainKind;
  readonly version: string | null;
  /** Undefined where the list is closed to us or broken: asking for it again tells why. */
  readonly models: readonly ModelInfo[] | undefined;
  /** The server is up and reads its weights from disk. */
  readonly isLoading: boolean;
}

/** What to ask a server that is no LMX, all at once. */
export const probePaths = [
  "/v1/models",
  "/health",
  "/props",
  "/api/v0/models",
  "/api/version",
  "/api/ps",
  "/api/tags",
  "/version",
] as const;

/** What to ask a server of a known kind for its models. */
export const listingPaths: Readonly<Record<PlainKind, readonly string[]>> = {
  "llama-server": ["/v1/models", "/props", "/health"],
  "lm-studio": ["/api/v0/models"],
  ollama: ["/api/version", "/api/ps", "/api/tags"],
  vllm: ["/v1/models", "/version"],
  "mlx-lm": ["/v1/models"],
  openai: ["/v1/models", "/health"],
};

type Decoder = (probes: Probes) => Omit<Recognised, "kind"> | undefined;

/** In the order in which they are tried: some servers also answer at paths of others. */
const decoders: Readonly<Record<PlainKind, Decoder>> = {
  "lm-studio": decodeLmStudio,
  "llama-server": decodeLlamaServer,
  ollama: decodeOllama,
  vllm: decodeVllm,
  "mlx-lm": decodeMlxLm,
  openai: decodeOpenAi,
};

/** The kind of server that gave these answers; undefined when it is no model server. */
export function recognise(probes: Probes): Recognised | undefined {
  for (const [kind, decode] of Object.entries(decoders) as [PlainKind, Decoder][]) {
    const decoded = decode(probes);
    if (decoded !== undefined) return { kind, ...decoded };
  }
  return undefined;
}

/** True where a request for a model on disk loads it. */
export function loadsOnDemand(kind: ServerKind): boolean {
  return kind === "ollama" || kind === "lm-studio" || kind === "mlx-lm" || kind === "llama-server";
}

/** /api/v0/models: `state`, and `loaded_context_length` (not `max_context_length`, the model's own limit). */
function decodeLmStudio(probes: Probes): ReturnType<Decoder> {
  const rows = rowsOf(json(probes, "/api/v0/models"), "data");
  if (rows === undefined) return undefined;
  const models = rows
    .filter((row) => row.type !== "embeddings")
    .map((row) => {
      const state = row.state === "loaded" || row.state === "loading" ? row.state : "on-disk";
      const contextLength = state === "loaded" ? positive(row.loaded_context_length) : null;
      return { modelId: text(row.id), state, sizeBytes: null, contextLength } as const;
    });
  return { version: null, models: named(models), isLoading: false };
}

/**
 * /props tells the window of one slot, the one that a request gets. In router mode /v1/models carries a
 * status per model. While weights are read everything answers 503 "Loading model".
 */
function decodeLlamaServer(probes: Probes): ReturnType<Decoder> {
  const props = json(probes, "/props");
  const rows = rowsOf(json(probes, "/v1/models"), "data");
  const settings = isRecord(props?.default_generation_settings)
    ? props.default_generation_settings
    : undefined;
  const isLlama =
    settings !== undefined ||
    (props?.model_path !== undefined && props.total_slots !== undefined) ||
    rows?.some((row) => row.owned_by === "llamacpp") === true;
  const isLoading = isLoadingModel(probes.get("/health")) || isLoadingModel(probes.get("/props"));
  if (!isLlama && !isLoading) return undefined;
  const version = text(props?.build_info) || null;
  if (isLoading) return { version, models: [], isLoading };
  const windowOfSlot = positive(settings?.n_ctx);
  const models = rows?.map((row) => {
    const meta = isRecord(row.meta) ? row.meta : {};
    const status = isRecord(row.status) ? row.status.value : row.status;
    const isAway = status === "unloaded" || status === "sleeping" || status === "failed";
    const state = isAway ? "on-disk" : status === "loading" ? "loading" : "loaded";
    const contextLength = state === "loaded" ? (windowOfSlot ?? positive(meta.n_ctx)) : null;
    return { modelId: text(row.id), state, sizeBytes: positive(meta.size), contextLength } as const;
  });
  return { version, models: models && named(models), isLoading };
}

function isLoadingModel(probed: Probed | undefined): boolean {
  if (probed?.status !== 503 || !isRecord(probed.json)) return false;
  const error = isRecord(probed.json.error) ? probed.json.error : probed.json;
  return /\bloading model\b/i.test(`${text(error.message)} ${text(error.status)}`);
}

/** /api/ps: `context_length` is the window a loaded model was given; of the others nothing is known. */
function decodeOllama(probes: Probes): ReturnType<Decoder> {
  const version = text(json(probes, "/api/version")?.version);
  const running = rowsOf(json(probes, "/api/ps"), "models");
  if (version === "" || running === undefined) return undefined;
  const loaded = running.map((row) => ({
    modelId: text(row.name) || text(row.model),
    state: "loaded" as const,
    sizeBytes: positive(row.size),
    contextLength: positive(row.context_length),
  }));
  const isLoaded = new Set(loaded.map(({ modelId }) => modelId));
  const onDisk = (rowsOf(json(probes, "/api/tags"), "models") ?? []).map((row) => ({
    modelId: text(row.name) || text(row.model),
    state: "on-disk" as const,
    sizeBytes: positive(row.size),
    contextLength: null,
  }));
  const rest = onDisk.filter(({ modelId }) => !isLoaded.has(modelId));
  return { version, models: named([...loaded, ...rest]), isLoading: false };
}

function decodeVllm(probes: Probes): ReturnType<Decoder> {
  const rows = rowsOf(json(probes, "/v1/models"), "data");
  const version = text(json(probes, "/version")?.version);
  const isVllm =
    rows?.some((row) => row.owned_by === "vllm") === true ||
    (version !== "" && (rows === undefined || rows.some((row) => "max_model_len" in row)));
  if (!isVllm) return undefined;
  return {
    version: version || null,
    models: rows && named(rows.map(genericRow)),
    isLoading: false,
  };
}

/**
 * Python's own HTTP server, and a list of what lies in the Hugging Face cache: which of several is loaded,
 * and its window, it does not say.
 */
function decodeMlxLm(probes: Probes): ReturnType<Decoder> {
  const listed = probes.get("/v1/models");
  const rows = rowsOf(listed?.json, "data");
  if (rows === undefined || listed?.software?.startsWith("BaseHTTP") !== true) return undefined;
  const models = rows.map((row) => ({
    ...genericRow(row),
    state: rows.length === 1 ? ("loaded" as const) : ("on-disk" as const),
  }));
  return { version: null, models: named(models), isLoading: false };
}

function decodeOpenAi(probes: Probes): ReturnType<Decoder> {
  const listed = probes.get("/v1/models");
  const rows = listed?.status === 200 ? rowsOf(listed.json, "data") : undefined;
  const health = probes.get("/health");
  const isHealthy = (health?.status === 200 || health?.status === 503) && isRecord(health.json);
  const isClosed = listed?.status === 401 || listed?.status === 403;
  if (rows === undefined && !isClosed && !isHealthy) return undefined;
  return { version: null, models: rows && named(rows.map(genericRow)), isLoading: false };
}

/** The window, where a server names it in /v1/models, has a different key with each make. */
function genericRow(row: Record<string, unknown>): ModelInfo {
  const meta = isRecord(row.meta) ? row.meta : {};
  const contextLength =
    positive(row.context_length) ??
    positive(row.max_model_len) ??
    positive(row.loaded_context_length) ??
    positive(meta.n_ctx);
  return { modelId: text(row.id), state: "loaded", sizeBytes: null, contextLength };
}

function json(probes: Probes, path: string): Record<string, unknown> | undefined {
  const probed = probes.get(path);
  return probed?.status === 200 && isRecord(probed.json) ? probed.json : undefined;
}

/** The records of a list in an object; undefined when there is no such list. */
function rowsOf(value: unknown, key: string): readonly Record<string, unknown>[] | undefined {
  const list = isRecord(value) ? value[key] : undefined;
  return Array.isArray(list) ? list.filter(isRecord) : undefined;
}

function named(models: readonly ModelInfo[]): readonly ModelInfo[] {
  return models.filter(({ modelId }) => modelId !== "");
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function positive(value: unknown): number | null {
  return typeof value === "number" && value > 0 ? value : null;
}
