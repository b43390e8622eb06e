// What models a server has: /admin/models and /admin/models/available, or /v1/models where /admin is closed
// (contracts/lmx.md section 3, row 19), and for the other kinds of server what each has instead (row 21).
// Decoded with defaults: every field may be missing.
import { sleep, type Clock } from "../../base/clock.ts";
import { OptaError } from "../../protocol/error.ts";
import type { ModelInfo } from "../../protocol/model.ts";
import { listingPaths, recognise, type PlainKind } from "../openai/server-kinds.ts";
import type { Candidate } from "../route.ts";
import {
  askAll,
  reasonOfFailure,
  requestJson,
  timedOut,
  withDeadline,
  type JsonAnswer,
  type Keys,
} from "./endpoint.ts";
import {
  busyWaitMs,
  faultFromHttp,
  isRecord,
  maxBusyRetries,
  toProviderError,
} from "./http-errors.ts";
import type { LmxTimeouts } from "./timeouts.ts";

/** What every request of this folder to one server needs. */
export interface ServerAccess {
  readonly server: Candidate;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly timeouts: LmxTimeouts;
  readonly signal: AbortSignal;
}

/**
 * The models that LMX has loaded, or on their way, in its order.
 * @param asked the answer of GET /admin/models where it was asked ahead
 * @throws OptaError lmx-connection-refused | lmx-timeout | auth-failed | model-server-failed
 */
export async function fetchLoadedModels(
  access: ServerAccess,
  asked?: Promise<JsonAnswer>,
): Promise<readonly ModelInfo[]> {
  const admin = await (asked ?? askLoadedModels(access));
  if (admin.status === 200 && isRecord(admin.json)) {
    return records(admin.json.loaded).map(fromAdminRow).filter(hasId);
  }
  // 404: no LMX. 401, 403: no admin key, which chat does not need (row 19).
  if (admin.status >= 500 || admin.status === 429) throw toError(access, admin);
  const plain = await askPatiently(access, "/v1/models");
  if (plain.status !== 200) throw toError(access, plain);
  if (!isRecord(plain.json)) {
    throw new OptaError(
      "model-server-failed",
      `${access.server.server}: /v1/models is no model list`,
      "opta status",
    );
  }
  const rows = records(plain.json.data).filter((row) => row.owned_by !== "local-embedding");
  return rows.map(fromOpenAiRow).filter(hasId);
}

/** The request of `fetchLoadedModels`, for sending it before it is known whether the server is an LMX. */
export function askLoadedModels(access: ServerAccess): Promise<JsonAnswer> {
  return askPatiently(access, "/admin/models");
}

/**
 * The models of a server that is no LMX: loaded ones, and those it would load for a request.
 * @throws OptaError as fetchLoadedModels
 */
export async function fetchPlainModels(
  access: ServerAccess,
  kind: PlainKind,
): Promise<readonly ModelInfo[]> {
  const { server, keys, clock, timeouts, signal } = access;
  const deadline = withDeadline(clock, timeouts.lookUpMs, signal);
  try {
    const probes = await askAll(server, listingPaths[kind], { keys, signal: deadline.signal });
    const models = recognise(probes)?.models;
    if (models !== undefined) return models;
  } finally {
    deadline.stop();
  }
  // Whatever was wrong with it, this says so.
  const listed = await ask(access, "/v1/models");
  if (listed.status !== 200) throw toError(access, listed);
  throw new OptaError(
    "model-server-failed",
    `${server.server}: /v1/models is no model list`,
    "opta status",
  );
}

/** The models on the server's disk; empty where the server does not tell. Same errors. */
export async function fetchModelsOnDisk(access: ServerAccess): Promise<readonly ModelInfo[]> {
  const answer = await ask(access, "/admin/models/available");
  if (answer.status !== 200) return [];
  const rows = isRecord(answer.json) ? records(answer.json.models) : records(answer.json);
  return rows.map(fromDiskRow).filter(hasId);
}

/** A look-up has no way to show that it waits; what takes longer is said instead. */
const maxSilentWaitMs = 5_000;

/** As `ask`, but a server that says it is busy is asked again when it wishes, a few times (row 16). */
async function askPatiently(access: ServerAccess, path: string): Promise<JsonAnswer> {
  for (let retries = 0; ; retries += 1) {
    const answer = await ask(access, path);
    const waitMs = answer.status === 200 ? null : busyWaitMs(faultFromHttp(answer));
    if (waitMs === null || waitMs > maxSilentWaitMs || retries === maxBusyRetries) return answer;
    await sleep(waitMs, access);
  }
}

/** GET with the look-up's deadline; a failure of the connection is an OptaError. */
export async function ask(access: ServerAccess, path: string, body?: string): Promise<JsonAnswer> {
  const { server, keys, clock, timeouts, signal } = access;
  const deadline = withDeadline(clock, timeouts.lookUpMs, signal);
  try {
    return await requestJson(server, path, {
      keys,
      signal: deadline.signal,
      ...(body === undefined ? {} : { body }),
    });
  } catch (thrown) {
    const [code, reason] = deadline.expired()
      ? (["lmx-timeout", `${path} ${timedOut(timeouts.lookUpMs)}`] as const)
      : (["lmx-connection-refused", reasonOfFailure(thrown)] as const);
    throw new OptaError(code, `${server.server}: ${reason}`, "opta status");
  } finally {
    deadline.stop();
  }
}

/** The error that an answer which is no success stands for. */
export function toError(
  access: ServerAccess,
  answer: JsonAnswer,
  key: "apiKey" | "adminKey" = "apiKey",
): OptaError {
  return toProviderError(faultFromHttp(answer), { server: access.server.server, key });
}

/** LMX's "GB" are GiB. */
export function bytesOfGib(gib: unknown): number | null {
  return typeof gib === "number" && gib >= 0 ? Math.round(gib * 1024 ** 3) : null;
}

function fromAdminRow(row: Record<string, unknown>): ModelInfo {
  return {
    modelId: idOf(row.id) || idOf(row.model_id),
    state: stateOf(row),
    sizeBytes: bytesOfGib(row.memory_gb),
    contextLength: positive(row.context_length),
  };
}

function stateOf(row: Record<string, unknown>): ModelInfo["state"] {
  const state = isRecord(row.readiness) ? row.readiness.state : undefined;
  if (state === "quarantined") return "quarantined";
  const isOnItsWay = state === "admitted" || state === "loading" || state === "canary_pending";
  return isOnItsWay || row.loaded === false ? "loading" : "loaded";
}

function fromOpenAiRow(row: Record<string, unknown>): ModelInfo {
  const contextLength = positive(row.context_length) ?? positive(row.max_model_len);
  return { modelId: idOf(row.id), state: "loaded", sizeBytes: null, contextLength };
}

function fromDiskRow(row: Record<string, unknown>): ModelInfo {
  const { size_bytes: size } = row;
  return {
    modelId: idOf(row.repo_id) || idOf(row.id),
    state: "on-disk",
    sizeBytes: typeof size === "number" ? size : null,
    contextLength: null,
  };
}

function hasId(model: ModelInfo): boolean {
  return model.modelId !== "";
}

function idOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function positive(value: unknown): number | null {
  return typeof value === "number" && value > 0 ? value : null;
}

function records(value: unknown): readonly Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
