// Loading and unloading: contracts/lmx.md section 3 and row 17. One POST per load, whatever happens to it:
// a second one for the same model fails on the server. When it is slow or lost, the model list is polled.
import { sleep } from "../../base/clock.ts";
import { OptaError } from "../../protocol/error.ts";
import type { LoadRequest, LoadResult } from "../../protocol/model.ts";
import {
  reasonOfFailure,
  requestJson,
  timedOut,
  withDeadline,
  type JsonAnswer,
} from "./endpoint.ts";
import { faultFromHttp, isRecord } from "./http-errors.ts";
import { matchModel } from "./model-choice.ts";
import {
  ask,
  bytesOfGib,
  fetchLoadedModels,
  fetchModelsOnDisk,
  toError,
  type ServerAccess,
} from "./models.ts";

const maxPollMs = 5_000;
/** A server that restarts or swaps may miss a few polls; one that misses this many in a row is gone. */
const maxLostPolls = 5;

/**
 * Loads a model and waits until it is routable.
 * @throws OptaError model-not-found | insufficient-memory | auth-failed | lmx-timeout | lmx-connection-refused | model-server-failed
 */
export async function loadModel(access: ServerAccess, request: LoadRequest): Promise<LoadResult> {
  const modelId = await resolveId(await fetchModelsOnDisk(access), request.modelId);
  const deadline = withDeadline(access.clock, access.timeouts.loadMs, access.signal);
  const stopPolling = new AbortController();
  const within: ServerAccess = {
    ...access,
    signal: AbortSignal.any([deadline.signal, stopPolling.signal]),
  };
  try {
    const posted = postLoad({ ...access, signal: deadline.signal }, { ...request, modelId });
    const slow = pollUntilLoaded(within, modelId);
    // A POST whose connection broke may still be loading: from then on only the list tells.
    return await Promise.race([posted.then((answer) => answer ?? slow), slow]);
  } catch (thrown) {
    if (!deadline.expired()) throw thrown;
    const message = `${access.server.server}: loading ${modelId} ${timedOut(access.timeouts.loadMs)}`;
    throw new OptaError("lmx-timeout", message, "opta models list");
  } finally {
    stopPolling.abort();
    deadline.stop();
  }
}

/** @throws OptaError model-not-found | auth-failed | model-server-failed */
export async function unloadModel(
  access: ServerAccess,
  wanted: string,
): Promise<{ freedBytes: number | null }> {
  const modelId = await resolveId(await fetchLoadedModels(access), wanted);
  const answer = await ask(access, "/admin/models/unload", JSON.stringify({ model_id: modelId }));
  if (answer.status === 404) {
    throw new OptaError(
      "model-not-found",
      `${access.server.server}: ${modelId} is not loaded`,
      "opta models list",
    );
  }
  if (answer.status !== 200) throw toError(access, answer, "adminKey");
  return { freedBytes: isRecord(answer.json) ? bytesOfGib(answer.json.memory_freed_gb) : null };
}

/** The id as the server spells it; one it does not know is sent as given, so that the server says why not. */
async function resolveId(
  known: readonly { readonly modelId: string }[],
  wanted: string,
): Promise<string> {
  const match = matchModel(known, wanted);
  if (match.kind === "one") return match.item.modelId;
  if (match.kind === "none") return wanted;
  const ids = match.items.map((model) => model.modelId).join(", ");
  throw new OptaError("model-not-found", `${wanted} may be any of ${ids}`, "opta models list");
}

/** The load's answer; undefined when its connection was lost. */
async function postLoad(
  access: ServerAccess,
  request: LoadRequest,
): Promise<LoadResult | undefined> {
  const { server, keys, signal } = access;
  let answer: JsonAnswer;
  try {
    const body = JSON.stringify(toWire(request));
    answer = await requestJson(server, "/admin/models/load", { keys, body, signal });
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    if (reasonOfFailure(thrown) === "connection refused") {
      throw new OptaError(
        "lmx-connection-refused",
        `${server.server}: connection refused`,
        "opta status",
      );
    }
    return undefined;
  }
  return loadAnswer(access, request.modelId, answer);
}

/** What is left open is not sent. */
function toWire(request: LoadRequest): object {
  return {
    model_id: request.modelId,
    backend: request.backend || undefined,
    auto_download: request.autoDownload ?? undefined,
    performance_overrides: request.performanceOverrides ?? undefined,
    keep_alive_sec: request.keepAliveSec ?? undefined,
    allow_unsupported_runtime: request.allowUnsupportedRuntime ?? undefined,
  };
}

/** What an answer of the load routes means. @throws OptaError */
export function loadAnswer(access: ServerAccess, modelId: string, answer: JsonAnswer): LoadResult {
  const said = isRecord(answer.json) ? answer.json : {};
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  if (answer.status === 202 && said.status === "downloading") {
    return { status: "downloading", modelId, downloadId: text(said.download_id) };
  }
  if (answer.status === 202) {
    const size = said.estimated_size_bytes;
    return {
      status: "download-required",
      modelId,
      sizeBytes: typeof size === "number" ? size : null,
      confirmationToken: text(said.confirmation_token),
    };
  }
  if (answer.status === 200 && said.success !== false) {
    const ms = said.time_to_load_ms;
    return {
      status: "loaded",
      modelId: text(said.model_id) || modelId,
      memoryBytes: bytesOfGib(said.memory_after_load_gb),
      loadTimeMs: typeof ms === "number" ? ms : null,
    };
  }
  const { server } = access.server;
  const fault = faultFromHttp(answer);
  if (fault.code === "downloads_disabled") {
    const message = `${server}: ${modelId} is not on the server's disk, and downloads are switched off there`;
    throw new OptaError("model-not-found", message, "opta models list");
  }
  if (answer.status === 404) {
    throw new OptaError("model-not-found", `${server}: ${fault.message}`, "opta models list");
  }
  if (answer.status === 500) {
    // LMX answers a second load of the same model so, without saying that it is one.
    const message = `${server}: ${fault.message}; another load of ${modelId} may be running`;
    throw new OptaError("model-server-failed", message, "opta models list");
  }
  throw toError(access, answer, "adminKey");
}

/** Polls the model list, at first often. Ends by itself only when the model is there or the server gone. */
async function pollUntilLoaded(access: ServerAccess, modelId: string): Promise<LoadResult> {
  const { clock, timeouts, signal } = access;
  let lostPolls = 0;
  await sleep(timeouts.loadPollAfterMs, { clock, signal });
  for (
    let waitMs = timeouts.loadPollMs;
    !signal.aborted;
    waitMs = Math.min(waitMs * 2, maxPollMs)
  ) {
    try {
      const models = await fetchLoadedModels(access);
      lostPolls = 0;
      const model = models.find((candidate) => candidate.modelId === modelId);
      if (model?.state === "loaded") {
        return { status: "loaded", modelId, memoryBytes: model.sizeBytes, loadTimeMs: null };
      }
    } catch (thrown) {
      lostPolls += 1;
      if (signal.aborted || lostPolls >= maxLostPolls) throw thrown;
    }
    await sleep(waitMs, { clock, signal });
  }
  throw new OptaError("cancelled", `waiting for ${modelId} was stopped`);
}
