// `opta status`: every candidate probed to its end, and what the chosen one says of itself.
import type { ModelInfo, ServerStatus } from "../../protocol/model.ts";
import { settingsFor, type ModelSettingsTable } from "../model-settings.ts";
import { kindNames } from "../openai/kind-names.ts";
import { loadsOnDemand } from "../openai/server-kinds.ts";
import { nothingAnswers, otherServerHint, type Candidate, type ProbeOutcome } from "../route.ts";
import type { Endpoint } from "./endpoint.ts";
import { isRecord } from "./http-errors.ts";
import {
  ask,
  bytesOfGib,
  fetchLoadedModels,
  fetchPlainModels,
  type ServerAccess,
} from "./models.ts";
import { webSocketPath, type SocketSource } from "./socket-source.ts";

/** @throws OptaError lmx-connection-refused | auth-failed */
export async function fetchStatus(options: {
  readonly candidates: readonly Candidate[];
  readonly probe: (candidate: Candidate, signal: AbortSignal) => Promise<ProbeOutcome<Endpoint>>;
  /** Knows whether a server's WebSocket failed lately. */
  readonly sockets: Pick<SocketSource, "mayOpen">;
  readonly access: (server: Candidate, signal: AbortSignal) => ServerAccess;
  readonly modelSettings: ModelSettingsTable;
  readonly signal: AbortSignal;
}): Promise<ServerStatus> {
  const { candidates, probe, sockets, modelSettings, signal } = options;
  const outcomes = await Promise.all(candidates.map((candidate) => probe(candidate, signal)));
  const words = outcomes.map((outcome) => (outcome.up ? describe(outcome.found) : outcome.reason));
  const chosen = outcomes.find((outcome) => outcome.up);
  if (chosen === undefined) {
    const reason = (candidate: Candidate) => words[candidates.indexOf(candidate)]!;
    throw nothingAnswers(candidates, reason, otherServerHint);
  }
  const endpoint = chosen.found;
  const { kind } = endpoint;
  const access = options.access(endpoint, signal);
  const isLmx = kind === "lmx";
  const [models, memory, offersSocket] = await Promise.all([
    isLmx ? fetchLoadedModels(access) : (endpoint.models ?? fetchPlainModels(access, kind)),
    isLmx ? fetchMemory(access) : null,
    isLmx && offersWebSocket(access),
  ]);
  const loaded = models.filter(({ state }) => state === "loaded" || state === "quarantined");
  return {
    server: endpoint.server,
    kind,
    version: endpoint.version,
    ready: loaded.length > 0 || (loadsOnDemand(kind) && models.length > 0),
    transport: offersSocket && sockets.mayOpen(endpoint) ? "websocket" : "sse",
    loadedModels: loaded.map((model) => model.modelId),
    windows: loaded.map((model) => toWindow(model, modelSettings)),
    memory,
    latencyMs: endpoint.latencyMs,
    candidates: candidates.map(({ server }, index) => ({ server, outcome: words[index]! })),
  };
}

function toWindow(
  { modelId, contextLength }: ModelInfo,
  table: ModelSettingsTable,
): ServerStatus["windows"][number] {
  const { window } = settingsFor(table, modelId);
  if (window !== undefined) return { modelId, contextLength: window, windowSource: "setting" };
  return { modelId, contextLength, windowSource: contextLength === null ? "unknown" : "server" };
}

function describe({ kind, version, isLoading }: Endpoint): string {
  const name = version === null ? kindNames[kind] : `${kindNames[kind]} ${version}`;
  return isLoading === true ? `is loading its model (${name})` : `answers (${name})`;
}

/** GET /admin/status; null where it is closed to us or says nothing. */
async function fetchMemory(access: ServerAccess): Promise<ServerStatus["memory"]> {
  const { json } = await ask(access, "/admin/status");
  const memory = isRecord(json) && isRecord(json.memory) ? json.memory : {};
  const totalBytes = bytesOfGib(memory.total_gb);
  const usedBytes = bytesOfGib(memory.used_gb);
  return totalBytes === null || usedBytes === null ? null : { totalBytes, usedBytes };
}

async function offersWebSocket(access: ServerAccess): Promise<boolean> {
  const { status, json } = await ask(access, "/.well-known/opta-lmx");
  return status !== 200 || webSocketPath(json) !== null;
}
