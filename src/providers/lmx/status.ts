// `opta status`: every candidate probed to its end, and what the chosen one says of itself.
import type { ServerStatus } from "../../protocol/model.ts";
import { nothingAnswers, otherServerHint, type Candidate, type ProbeOutcome } from "../route.ts";
import type { Endpoint } from "./endpoint.ts";
import { isRecord } from "./http-errors.ts";
import { ask, bytesOfGib, fetchLoadedModels, type ServerAccess } from "./models.ts";
import { webSocketPath } from "./socket-source.ts";

/** @throws OptaError lmx-connection-refused | auth-failed */
export async function fetchStatus(options: {
  readonly candidates: readonly Candidate[];
  readonly probe: (candidate: Candidate, signal: AbortSignal) => Promise<ProbeOutcome<Endpoint>>;
  /** False while this server's WebSocket is known not to work. */
  readonly mayUseSocket: (server: Candidate) => boolean;
  readonly access: (server: Candidate, signal: AbortSignal) => ServerAccess;
  readonly signal: AbortSignal;
}): Promise<ServerStatus> {
  const { candidates, probe, mayUseSocket, signal } = options;
  const outcomes = await Promise.all(candidates.map((candidate) => probe(candidate, signal)));
  const words = outcomes.map((outcome) => (outcome.up ? describe(outcome.found) : outcome.reason));
  const chosen = outcomes.find((outcome) => outcome.up);
  if (chosen === undefined) {
    const reason = (candidate: Candidate) => words[candidates.indexOf(candidate)]!;
    throw nothingAnswers(candidates, reason, otherServerHint);
  }
  const endpoint = chosen.found;
  const access = options.access(endpoint, signal);
  const isLmx = endpoint.kind === "lmx";
  const [loaded, memory, offersSocket] = await Promise.all([
    fetchLoadedModels(access),
    isLmx ? fetchMemory(access) : null,
    isLmx && offersWebSocket(access),
  ]);
  const ready = loaded.models.filter((model) => model.state !== "loading");
  return {
    server: endpoint.server,
    kind: endpoint.kind,
    version: endpoint.version,
    ready: ready.length > 0,
    transport: offersSocket && mayUseSocket(endpoint) ? "websocket" : "sse",
    loadedModels: ready.map((model) => model.modelId),
    memory,
    latencyMs: endpoint.latencyMs,
    candidates: candidates.map(({ server }, index) => ({ server, outcome: words[index]! })),
  };
}

function describe(endpoint: Endpoint): string {
  if (endpoint.kind === "openai") return "answers (OpenAI-compatible)";
  return endpoint.version === null ? "answers (LMX)" : `answers (LMX ${endpoint.version})`;
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
