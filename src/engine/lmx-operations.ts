// What clients ask of the model server: its state and models in opta's own shapes, and what only LMX has, passed
// on as LMX says it (contracts/daemon-v3.md section 2, contracts/lmx.md section 3).
import { OptaError } from "../protocol/error.ts";
import type { LoadResult } from "../protocol/model.ts";
import type { OperationName, OperationResult } from "../protocol/operations.ts";
import type {
  ForwardedAnswer,
  ForwardRequest,
  Provider,
  ProviderDownloads,
} from "../providers/provider.ts";
import type { Handlers } from "./engine-parts.ts";

type LmxOperation = Extract<OperationName, `lmx.${string}`>;

/** `provider` is asked at every call. Handlers throw what the provider throws, and `usage` for what it cannot do. */
export function createLmxOperations(provider: () => Provider): Handlers<LmxOperation> {
  const pass = (request: ForwardRequest, signal: AbortSignal, decode?: Decode) =>
    forward(provider(), request, { signal, decode });
  return {
    "lmx.status": (_params, signal) => provider().status(signal),
    "lmx.models": (_params, signal) => provider().models(signal),
    "lmx.load": (request, signal) => provider().load(request, signal),
    async "lmx.download"({ modelId, confirmationToken }, signal) {
      const downloads = downloadsOf(provider());
      if (modelId === "") return confirmByToken(downloads, confirmationToken, signal);
      return downloads.confirm({ modelId, confirmationToken }, signal);
    },
    async "lmx.downloadProgress"({ downloadId }, signal) {
      return downloadsOf(provider()).progress(downloadId, signal);
    },
    async "lmx.unload"({ modelId }, signal) {
      const { freedBytes } = await provider().unload(modelId, signal);
      return { modelId, freedBytes };
    },
    "lmx.discovery": (_params, signal) =>
      pass({ method: "GET", path: "/v1/discovery" }, signal, (body, answer) =>
        isRecord(body) ? { ...body, target: toTarget(answer) } : body,
      ),
    "lmx.memory": (_params, signal) => pass({ method: "GET", path: "/admin/memory" }, signal),
    "lmx.available": (_params, signal) =>
      pass({ method: "GET", path: "/admin/models/available" }, signal, (body) =>
        isRecord(body) && Array.isArray(body.models) ? body.models : body,
      ),
    "lmx.downloads"({ includeInactive = false }, signal) {
      const path = `/admin/models/downloads?include_inactive=${includeInactive}`;
      return pass({ method: "GET", path }, signal, (body) => toDownloads(body, includeInactive));
    },
    "lmx.startDownload": ({ repoId }, signal) =>
      pass({ method: "POST", path: "/admin/models/download", body: { repo_id: repoId } }, signal),
    async "lmx.deleteModel"({ modelId }, signal) {
      return pass({ method: "DELETE", path: `/admin/models/${encodeId(modelId)}` }, signal);
    },
  };
}

/** @throws OptaError usage */
function downloadsOf(provider: Provider): ProviderDownloads {
  if (provider.downloads !== undefined) return provider.downloads;
  throw new OptaError("usage", "this model server downloads nothing for opta", "opta models list");
}

/** Stands for a model whose name nobody gave, in words that ask for one. */
const unnamed = "MODEL";

/** Existing clients send the token alone; which model it is about, the download then tells. */
async function confirmByToken(
  downloads: ProviderDownloads,
  confirmationToken: string,
  signal: AbortSignal,
): Promise<LoadResult> {
  const result = await downloads.confirm({ modelId: unnamed, confirmationToken }, signal);
  if (result.modelId !== unnamed) return result;
  if (result.status !== "downloading") return { ...result, modelId: "" };
  // It has begun, whether or not it can be asked about.
  const modelId = await downloads.progress(result.downloadId, signal).then(
    (progress) => progress.modelId,
    () => "",
  );
  return { ...result, modelId };
}

/** Changes the body of a success. */
type Decode = (body: unknown, answer: ForwardedAnswer) => unknown;

/** @throws OptaError usage, and what the provider throws */
async function forward(
  provider: Provider,
  request: ForwardRequest,
  options: { readonly signal: AbortSignal; readonly decode: Decode | undefined },
): Promise<OperationResult<"lmx.memory">> {
  if (provider.forward === undefined) {
    throw new OptaError("usage", "only a local model server has this to show", "opta status");
  }
  const { signal, decode = (body) => body } = options;
  const answer = await provider.forward(request, signal);
  const { status, body } = answer;
  if (status === 401 || status === 403) return { status: 502, body: refusal(answer) };
  const isSuccess = status >= 200 && status < 300;
  return { status, body: isSuccess ? decode(body, answer) : body };
}

/**
 * The model server's 401 or 403 in words that no client takes for the daemon's own: existing ones look for these
 * numbers, and for "unauthorized", and then renew their token.
 */
function refusal({ body }: ForwardedAnswer): { readonly error: string; readonly code: string } {
  const error = isRecord(body) && isRecord(body.error) ? body.error : {};
  if (error.code === "downloads_disabled") {
    return { error: "downloads are switched off on the model server", code: "downloads_disabled" };
  }
  const message = "the model server refused the key (connection.adminKey, connection.apiKey)";
  return { error: message, code: "upstream_auth" };
}

/** `server` is "host:port", an IPv6 address in brackets. */
function toTarget({ server, fallbackHosts }: ForwardedAnswer) {
  const colon = server.lastIndexOf(":");
  return {
    host: server.slice(0, colon).replace(/^\[|\]$/g, ""),
    port: Number(server.slice(colon + 1)),
    fallbackHosts,
    autoDiscover: false,
  };
}

/** LMX's list of downloads, bare in older versions, in the names that existing clients know. */
function toDownloads(body: unknown, includeInactive: boolean) {
  const rows = isRecord(body) ? body.downloads : body;
  const downloads = (Array.isArray(rows) ? rows : []).filter(isRecord).map(toDownload);
  return { downloads, count: downloads.length, includeInactive };
}

function toDownload(row: Readonly<Record<string, unknown>>) {
  return {
    downloadId: row.download_id ?? "",
    repoId: row.repo_id ?? "",
    status: row.status ?? "downloading",
    progressPercent: row.progress_percent ?? 0,
    downloadedBytes: row.downloaded_bytes ?? 0,
    totalBytes: row.total_bytes ?? 0,
    filesCompleted: row.files_completed ?? 0,
    filesTotal: row.files_total ?? 0,
    /** Unix seconds. */
    startedAt: row.started_at ?? null,
    completedAt: row.completed_at ?? null,
    error: row.error ?? null,
  };
}

/**
 * A model id as one part of a path, its slashes encoded.
 * @throws OptaError usage for one that a URL would take for a way up, or cannot carry
 */
function encodeId(modelId: string): string {
  const isWayUp = modelId.split(/[/\\]/).some((part) => part === "." || part === "..");
  if (isWayUp || !modelId.isWellFormed()) {
    throw new OptaError("usage", `"${modelId}" is not a model id`, "opta models list");
  }
  return encodeURIComponent(modelId);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
