// What /v3/lmx says to two kinds of clients at once: our results, and beside them the names that existing clients
// read (contracts/daemon-v3.md section 2, "lmx shapes"). `fromLmxWire` takes the additions away again, so that an
// attached client has what an embedded one has. Pure; forwarded operations are LMX's own words and stay as they are.
import { OptaError } from "./error.ts";
import type { DownloadProgress, LoadResult, ModelInfo } from "./model.ts";
import { operations, type OperationName, type OperationResult } from "./operations.ts";

type Wires = { readonly [N in OperationName]?: (result: OperationResult<N>) => object };

const wires: Wires = {
  "lmx.status": toStatusWire,
  "lmx.models": toModelsWire,
  "lmx.load": toLoadWire,
  "lmx.download": toLoadWire,
  "lmx.downloadProgress": toProgressWire,
  "lmx.unload": toUnloadWire,
};

/** An operation's result as the body of its HTTP answer; `fromLmxWire` reads it. Other operations' stay as they are. */
export function toLmxWire(operation: OperationName, result: unknown): unknown {
  const toWire = wires[operation];
  return toWire === undefined ? result : toWire(result as never);
}

/**
 * A body made by `toLmxWire` as the operation's result, without anything more.
 * @throws OptaError internal for a body that no daemon of this contract sends
 */
export function fromLmxWire<N extends OperationName>(
  operation: N,
  body: unknown,
): OperationResult<N> {
  if (wires[operation] === undefined) return body as OperationResult<N>;
  const parsed = operations[operation].result.safeParse(isRecord(body) ? toOurs(body) : body);
  if (parsed.success) return parsed.data as OperationResult<N>;
  const message = `the daemon's answer to ${operation} is malformed`;
  throw new OptaError("internal", message, "opta daemon restart");
}

/** Undoes what is no mere addition: a word of existing clients, a list in two parts, a field left out. */
function toOurs(body: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { status, models, onDisk } = body;
  return {
    memory: null,
    ...body,
    ...(status === "download_required" ? { status: "download-required" } : {}),
    ...(Array.isArray(models) && Array.isArray(onDisk) ? { models: [...models, ...onDisk] } : {}),
  };
}

/** Names of LMX's own that a client may use for ours. */
const requestNames: ReadonlyMap<string, string> = new Map([
  ["model_id", "modelId"],
  ["repo_id", "repoId"],
  ["confirmation_token", "confirmationToken"],
  ["download_id", "downloadId"],
  ["include_inactive", "includeInactive"],
  ["auto_download", "autoDownload"],
  ["performance_overrides", "performanceOverrides"],
  ["keep_alive_sec", "keepAliveSec"],
  ["allow_unsupported_runtime", "allowUnsupportedRuntime"],
]);

/** A request's body or query with our names; a name of ours that is there counts. Other operations' stay as they are. */
export function lmxRequest(operation: OperationName, body: unknown): unknown {
  if (!operation.startsWith("lmx.") || !isRecord(body)) return body;
  const entries = Object.entries(body);
  const renamed = entries.map(([name, value]) => [requestNames.get(name) ?? name, value]);
  return { ...Object.fromEntries(renamed), ...body };
}

function toStatusWire(result: OperationResult<"lmx.status">) {
  const { memory, ...others } = result;
  const windows = new Map(result.windows.map((row) => [row.modelId, row.contextLength]));
  return {
    ...others,
    status: "ok",
    models: result.loadedModels.map((modelId) => ({
      model_id: modelId,
      status: "loaded",
      ...contextLength(windows.get(modelId) ?? null),
    })),
    ...(memory === null ? {} : { memory: { ...memory, ...inGib(memory) } }),
  };
}

const bytesPerGib = 1024 ** 3;

/** As LMX counts: its "GB" are GiB. */
function inGib({ totalBytes, usedBytes }: { totalBytes: number; usedBytes: number }) {
  return {
    total_gb: totalBytes / bytesPerGib,
    used_gb: usedBytes / bytesPerGib,
    available_gb: (totalBytes - usedBytes) / bytesPerGib,
  };
}

/** Existing clients take every row of `models` for one that is loaded: those on disk stand apart. */
function toModelsWire({ server, models }: OperationResult<"lmx.models">) {
  const isOnDisk = ({ state }: ModelInfo) => state === "on-disk";
  return {
    server,
    models: models.filter((model) => !isOnDisk(model)).map(toModelWire),
    onDisk: models.filter(isOnDisk),
  };
}

function toModelWire(model: ModelInfo) {
  return {
    ...model,
    model_id: model.modelId,
    status: model.state,
    ...memoryBytes(model.sizeBytes),
    ...contextLength(model.contextLength),
  };
}

function toLoadWire(result: LoadResult) {
  const wire = { ...result, model_id: result.modelId };
  if (result.status === "loaded") {
    const { loadTimeMs } = result;
    const time = loadTimeMs === null ? {} : { load_time_seconds: loadTimeMs / 1000 };
    return { ...wire, ...memoryBytes(result.memoryBytes), ...time };
  }
  if (result.status === "downloading") return { ...wire, download_id: result.downloadId };
  const { sizeBytes, confirmationToken } = result;
  return {
    ...wire,
    // Any word but this and "downloading" reads "loaded" there.
    status: "download_required",
    confirmation_token: confirmationToken,
    ...(sizeBytes === null ? {} : { estimated_size_bytes: sizeBytes }),
  };
}

function toProgressWire(result: DownloadProgress) {
  const { status, downloadedBytes, totalBytes } = result;
  const share = totalBytes === null ? 0 : Math.min(1, downloadedBytes / totalBytes);
  return {
    ...result,
    download_id: result.downloadId,
    repo_id: result.modelId,
    progress_percent: status === "completed" ? 100 : 100 * share,
    downloaded_bytes: downloadedBytes,
    /** 0: not known, as LMX says it. */
    total_bytes: totalBytes ?? 0,
  };
}

function toUnloadWire(result: OperationResult<"lmx.unload">) {
  const { modelId, freedBytes } = result;
  // Existing clients expect a number.
  return { ...result, model_id: modelId, status: "unloaded", freed_bytes: freedBytes ?? 0 };
}

function memoryBytes(bytes: number | null) {
  return bytes === null ? {} : { memory_bytes: bytes };
}

/** @param tokens null: not known, and left out */
function contextLength(tokens: number | null) {
  return tokens === null ? {} : { context_length: tokens };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
