// The admin routes that load, unload and list models (contracts/lmx.md sections 3 and 7b). Gigabytes are
// GiB there, and GET /admin/models lists loaded ones only.
import * as z from "zod";
import { assertNever } from "../base/assert-never.ts";
import type { Download, LoadOutcome } from "./engine.ts";
import { json, refusalResponse } from "./http-error.ts";
import { parseJson } from "./json-text.ts";
import type { Route, RouteContext } from "./route.ts";

export const adminRoutes: readonly Route[] = [
  { method: "GET", path: "/admin/models", access: "admin", answer: answerLoaded },
  { method: "GET", path: "/admin/models/available", access: "admin", answer: answerOnDisk },
  { method: "POST", path: "/admin/models/load", access: "admin", answer: answerLoad },
  { method: "POST", path: "/admin/models/load/confirm", access: "admin", answer: answerConfirm },
  { method: "POST", path: "/admin/models/unload", access: "admin", answer: answerUnload },
  { method: "POST", path: "/admin/models/download", access: "admin", answer: answerDownload },
  { method: "GET", path: "/admin/models/downloads", access: "admin", answer: answerDownloads },
  {
    method: "GET",
    path: "/admin/models/download/*/progress",
    access: "admin",
    answer: answerProgress,
  },
  { method: "DELETE", path: "/admin/models/*", access: "admin", answer: answerDelete },
  { method: "GET", path: "/admin/status", access: "admin", answer: answerStatus },
  { method: "GET", path: "/admin/memory", access: "admin", answer: answerMemory },
];

const bytesPerGb = 1024 ** 3;
/** What a scripted machine says it has; a real engine would ask its own. */
const totalMemoryGb = 128;
const memoryThresholdPercent = 90;

const loadSchema = z.looseObject({
  model_id: z.string().min(1),
  auto_download: z.boolean().nullish(),
  max_context_length: z.number().nullish(),
});

function answerLoaded({ models }: RouteContext): Response {
  const loaded = models.loaded().map((model) => ({
    id: model.id,
    loaded: true,
    memory_gb: model.memoryGb,
    loaded_at: model.loadedAt,
    use_batching: false,
    request_count: 0,
    last_used_at: null,
    context_length: model.contextLength,
    performance: {},
    speculative: {},
    readiness: { state: model.readiness, reason: null, crash_count: 0 },
  }));
  return json({ loaded, count: loaded.length });
}

function answerOnDisk({ models }: RouteContext): Response {
  const rows = models.onDisk().map((model) => ({
    repo_id: model.id,
    local_path: `/models/${model.id}`,
    size_bytes: model.sizeBytes,
    downloaded_at: model.downloadedAt,
  }));
  return json(rows);
}

async function answerLoad({ models, body }: RouteContext): Promise<Response> {
  const parsed = parseBody(loadSchema, body);
  if (!parsed) return refuseBody("model_id");
  if (typeof parsed.max_context_length === "number") {
    const message = "max_context_length is not supported";
    return refusalResponse({ status: 400, code: "not_supported", message });
  }
  const autoDownload = parsed.auto_download ?? false;
  return toLoadResponse(parsed.model_id, await models.load(parsed.model_id, { autoDownload }));
}

function answerConfirm({ models, body }: RouteContext): Response {
  const parsed = parseBody(z.looseObject({ confirmation_token: z.string().min(1) }), body);
  if (!parsed) return refuseBody("confirmation_token");
  return toLoadResponse("", models.confirm(parsed.confirmation_token));
}

function toLoadResponse(modelId: string, outcome: LoadOutcome): Response {
  switch (outcome.status) {
    case "loaded":
      return json({
        success: true,
        model_id: modelId,
        memory_after_load_gb: outcome.memoryAfterLoadGb,
        time_to_load_ms: outcome.timeToLoadMs,
      });
    case "download_required": {
      const estimate = `${(outcome.sizeBytes / bytesPerGb).toFixed(1)} GB`;
      const question = {
        status: "download_required",
        model_id: modelId,
        estimated_size_bytes: outcome.sizeBytes,
        estimated_size_human: estimate,
        confirmation_token: outcome.token,
        message: `Model '${modelId}' is not on disk. Confirm to download about ${estimate}.`,
        confirm_url: "/admin/models/load/confirm",
      };
      return json(question, { status: 202 });
    }
    case "downloading": {
      const started = {
        status: "downloading",
        model_id: outcome.modelId,
        download_id: outcome.downloadId,
        progress_url: `/admin/models/download/${outcome.downloadId}/progress`,
        message: `Downloading '${outcome.modelId}'`,
      };
      return json(started, { status: 202 });
    }
    case "refused":
      return refusalResponse(outcome.refusal);
    default:
      return assertNever(outcome);
  }
}

function answerUnload({ models, body }: RouteContext): Response {
  const parsed = parseBody(z.looseObject({ model_id: z.string().min(1) }), body);
  if (!parsed) return refuseBody("model_id");
  const freedGb = models.unload(parsed.model_id);
  if (freedGb !== undefined)
    return json({ success: true, model_id: parsed.model_id, memory_freed_gb: freedGb });
  const message = `Model '${parsed.model_id}' is not loaded`;
  return refusalResponse({ status: 404, code: "model_not_found", message });
}

function answerDelete({ models, rest }: RouteContext): Response {
  switch (models.remove(rest)) {
    case "removed":
      return json({ success: true, model_id: rest });
    case "in-use": {
      const message = `Model '${rest}' is loaded`;
      return refusalResponse({ status: 409, code: "model_in_use", message });
    }
    case "unknown": {
      const message = `Model '${rest}' not found`;
      return refusalResponse({ status: 404, code: "model_not_found", message });
    }
  }
}

function answerDownload({ models, body }: RouteContext): Response {
  const parsed = parseBody(z.looseObject({ repo_id: z.string().min(1) }), body);
  if (!parsed) return refuseBody("repo_id");
  const outcome = models.download(parsed.repo_id);
  if (outcome.status === "refused") return refusalResponse(outcome.refusal);
  const { downloadId, modelId } = outcome;
  const download = models.downloads().find((item) => item.id === downloadId);
  const started = {
    download_id: downloadId,
    repo_id: modelId,
    estimated_size_bytes: download?.totalBytes ?? null,
    status: "downloading",
  };
  return json(started, { status: 202 });
}

function answerDownloads({ models, request }: RouteContext): Response {
  const all = new URL(request.url).searchParams.get("include_inactive") === "true";
  const shown = models.downloads().filter((item) => all || item.status === "downloading");
  return json({
    downloads: shown.map((item) => ({
      ...toProgress(item),
      started_at: item.startedAt,
      completed_at: item.completedAt,
    })),
  });
}

function answerProgress({ models, rest }: RouteContext): Response {
  const download = models.downloads().find((item) => item.id === rest);
  if (download) return json(toProgress(download));
  const message = `Download '${rest}' not found`;
  return refusalResponse({ status: 404, code: "download_not_found", message });
}

function toProgress(download: Download) {
  const { downloadedBytes, totalBytes } = download;
  return {
    download_id: download.id,
    repo_id: download.modelId,
    status: download.status,
    progress_percent: totalBytes === 0 ? 100 : (100 * downloadedBytes) / totalBytes,
    downloaded_bytes: downloadedBytes,
    total_bytes: totalBytes,
    files_completed: download.status === "completed" ? 1 : 0,
    files_total: 1,
    error: null,
    error_code: null,
  };
}

function answerStatus(context: RouteContext): Response {
  const loaded = context.models.loaded();
  const { used, available } = memoryOf(context);
  return json({
    version: context.version,
    uptime_seconds: context.uptimeSeconds(),
    loaded_models: loaded.length,
    models: loaded.map((model) => model.id),
    memory: {
      total_gb: totalMemoryGb,
      used_gb: used,
      available_gb: available,
      usage_percent: (100 * used) / totalMemoryGb,
      threshold_percent: memoryThresholdPercent,
    },
    in_flight_requests: context.inFlight(),
    max_concurrent_requests: 4,
  });
}

function answerMemory(context: RouteContext): Response {
  const { used, available } = memoryOf(context);
  const rows = context.models
    .loaded()
    .map((model) => [model.id, { memory_gb: model.memoryGb, loaded: true }]);
  return json({
    total_unified_memory_gb: totalMemoryGb,
    used_gb: used,
    available_gb: available,
    threshold_percent: memoryThresholdPercent,
    models: Object.fromEntries(rows),
  });
}

function memoryOf({ models }: RouteContext): { used: number; available: number } {
  const used = models.loaded().reduce((sum, model) => sum + model.memoryGb, 0);
  return { used, available: totalMemoryGb - used };
}

function parseBody<T>(schema: z.ZodType<T>, body: string): T | undefined {
  return schema.safeParse(parseJson(body)).data;
}

function refuseBody(field: string): Response {
  const message = `the body must be a JSON object with '${field}'`;
  return refusalResponse({ status: 400, code: "invalid_input", message });
}
