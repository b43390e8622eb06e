// The provider for Opta LMX, and for plain OpenAI-compatible servers in its place: finds the server and the
// model, then hands requests to chat.ts. What is remembered between calls lives here: the route, the models
// that were looked up, the spare socket.
import { createAsyncQueue } from "../../base/async-queue.ts";
import { systemClock, type Clock } from "../../base/clock.ts";
import { OptaError, toOptaError } from "../../protocol/error.ts";
import type { ModelInfo } from "../../protocol/model.ts";
import type { ChatRequest, Provider, ProviderEvent, ResolvedModel } from "../provider.ts";
import { findRoute, toCandidates, type Candidate } from "../route.ts";
import { createThoughtHabits } from "../thought-habits.ts";
import { errorEvent, runChat } from "./chat.ts";
import { probeEndpoint, type Endpoint } from "./endpoint.ts";
import { loadModel, unloadModel } from "./model-admin.ts";
import { defaultModel, isServerAlias, matchModel, refuseCloudModel } from "./model-choice.ts";
import {
  fetchLoadedModels,
  fetchModelsOnDisk,
  type LoadedModels,
  type ServerAccess,
} from "./models.ts";
import { createSocketSource } from "./socket-source.ts";
import { fetchStatus } from "./status.ts";
import { defaultLmxTimeouts, type LmxTimeouts } from "./timeouts.ts";

export interface LmxProviderOptions {
  readonly host: string;
  readonly port: number;
  /** "host" or "host:port", tried when the primary is down. */
  readonly fallbackHosts: readonly string[];
  readonly adminKey?: string | undefined;
  readonly apiKey?: string | undefined;
  readonly timeouts?: Partial<LmxTimeouts>;
  readonly clock?: Clock;
}

/** Nothing is sent before the first call. */
export function createLmxProvider(options: LmxProviderOptions): Provider {
  const clock = options.clock ?? systemClock;
  const timeouts = { ...defaultLmxTimeouts, ...options.timeouts };
  const keys = { adminKey: options.adminKey, apiKey: options.apiKey };
  const habits = createThoughtHabits();
  const sockets = createSocketSource({ keys, clock, timeouts });
  const resolved = new Map<string | undefined, ResolvedModel>();
  let known: Endpoint | undefined;

  const access = (server: Candidate, signal: AbortSignal): ServerAccess => {
    return { server, keys, clock, timeouts, signal };
  };
  const probe = (candidate: Candidate, signal: AbortSignal) =>
    probeEndpoint(candidate, { clock, timeoutMs: timeouts.probeMs, signal });
  const forget = () => {
    known = undefined;
    resolved.clear();
  };

  /** The server that answers. */
  const reach = async (signal: AbortSignal): Promise<Endpoint> => {
    if (known !== undefined) return known;
    const route = await findRoute({
      candidates: toCandidates(options),
      probe,
      primaryGraceMs: timeouts.primaryGraceMs,
      clock,
      signal,
    });
    known = route.found;
    return route.found;
  };

  /** Probe, look-up and handshake at once, on the guess that the primary is up; the guess costs nothing. */
  const reachWithModels = async (
    signal: AbortSignal,
  ): Promise<{ endpoint: Endpoint; loaded: LoadedModels }> => {
    const guess = known ?? toCandidates(options)[0]!;
    const stopGuess = new AbortController();
    const guessed = fetchLoadedModels(access(guess, AbortSignal.any([signal, stopGuess.signal])));
    // Looked at below, once it is known which server it is about.
    guessed.catch(() => undefined);
    const mayUseSocket = (known === undefined || known.kind === "lmx") && sockets.mayOpen(guess);
    if (mayUseSocket) sockets.openAhead(guess);
    try {
      const endpoint = await reach(signal);
      if (endpoint.kind === "openai") sockets.drop();
      if (endpoint.server === guess.server) return { endpoint, loaded: await guessed };
      if (endpoint.kind === "lmx") sockets.openAhead(endpoint);
      return { endpoint, loaded: await fetchLoadedModels(access(endpoint, signal)) };
    } finally {
      stopGuess.abort();
    }
  };

  const connect = async (
    wanted: string | undefined,
    signal: AbortSignal,
  ): Promise<ResolvedModel> => {
    const before = resolved.get(wanted);
    if (before !== undefined) return before;
    if (wanted !== undefined) refuseCloudModel(wanted);
    try {
      const { endpoint, loaded } = await reachWithModels(signal);
      const chosen = await chooseModel(loaded.models, wanted, access(endpoint, signal));
      const model = { ...chosen, server: endpoint.server };
      resolved.set(wanted, model);
      return model;
    } catch (thrown) {
      sockets.drop();
      forget();
      throw cancelledOr(thrown, signal);
    }
  };

  const answer = async (
    request: ChatRequest,
    signal: AbortSignal,
    emit: (event: ProviderEvent) => void,
  ) => {
    try {
      refuseCloudModel(request.model);
      const endpoint = await reach(signal);
      const recheck = async (recheckSignal: AbortSignal) => {
        const outcome = await probe(endpoint, recheckSignal);
        return outcome.up ? undefined : outcome.reason;
      };
      await runChat(request, {
        endpoint,
        keys,
        sockets,
        recheck,
        habits,
        clock,
        timeouts,
        signal,
        emit,
      });
    } catch (thrown) {
      if (!signal.aborted) emit(errorEvent(toOptaError(thrown)));
    }
  };

  /** For calls that ask one thing of the server. */
  const call = async <T>(
    signal: AbortSignal,
    ask: (endpoint: Endpoint) => Promise<T>,
  ): Promise<T> => {
    try {
      return await ask(await reach(signal));
    } catch (thrown) {
      forget();
      throw cancelledOr(thrown, signal);
    }
  };

  return {
    id: "lmx",
    connect,
    stream(request, signal) {
      const queue = createAsyncQueue<ProviderEvent>();
      const stop = new AbortController();
      const either = AbortSignal.any([signal, stop.signal]);
      const emit = (event: ProviderEvent) => {
        if (either.aborted) return;
        // What was remembered is wrong: the next turn looks again.
        if (event.type === "error") forget();
        queue.push(event);
      };
      void answer(request, either, emit).finally(() => queue.end());
      return stoppable(queue, () => stop.abort());
    },
    async status(signal) {
      try {
        const candidates = toCandidates(options);
        const mayUseSocket = (server: Candidate) => sockets.mayOpen(server);
        return await fetchStatus({ candidates, probe, mayUseSocket, access, signal });
      } catch (thrown) {
        throw cancelledOr(thrown, signal);
      }
    },
    models: (signal) =>
      call(signal, async (endpoint) => {
        const [loaded, onDisk] = await Promise.all([
          fetchLoadedModels(access(endpoint, signal)),
          endpoint.kind === "lmx" ? fetchModelsOnDisk(access(endpoint, signal)) : [],
        ]);
        const isLoaded = new Set(loaded.models.map((model) => model.modelId));
        const rest = onDisk.filter((model) => !isLoaded.has(model.modelId));
        return { server: endpoint.server, models: [...byId(loaded.models), ...byId(rest)] };
      }),
    load: (modelId, signal) =>
      call(signal, async (endpoint) => {
        requireAdmin(endpoint);
        const result = await loadModel(access(endpoint, signal), modelId);
        resolved.clear();
        return result;
      }),
    unload: (modelId, signal) =>
      call(signal, async (endpoint) => {
        requireAdmin(endpoint);
        const result = await unloadModel(access(endpoint, signal), modelId);
        resolved.clear();
        return result;
      }),
    close: () => sockets.drop(),
  };
}

/** The model as the server spells it (contracts/lmx.md row 18). */
async function chooseModel(
  loaded: readonly ModelInfo[],
  wanted: string | undefined,
  access: ServerAccess,
): Promise<{ readonly model: string; readonly contextLength: number | null }> {
  if (wanted === undefined) {
    const model = defaultModel(loaded);
    if (model !== undefined) return { model: model.modelId, contextLength: model.contextLength };
    throw await nothingLoaded(access);
  }
  const match = matchModel(loaded, wanted);
  if (match.kind === "one") {
    refuseCloudModel(match.item.modelId);
    return { model: match.item.modelId, contextLength: match.item.contextLength };
  }
  if (match.kind === "several") {
    const message = `${wanted} may be any of ${match.items.map((model) => model.modelId).join(", ")}`;
    throw new OptaError("model-not-found", message, "opta models list");
  }
  if (loaded.length === 0) throw await nothingLoaded(access, wanted);
  if (isServerAlias(wanted)) return { model: wanted, contextLength: null };
  throw await notLoaded(loaded, wanted, access);
}

async function nothingLoaded(access: ServerAccess, wanted?: string): Promise<OptaError> {
  const { server } = access.server;
  const onDisk = await fetchModelsOnDisk(access);
  const [first] = onDisk;
  if (first === undefined) {
    return new OptaError(
      "no-model-loaded",
      `${server} has no model loaded, and names none that it could load`,
      "load one on the server itself, then: opta models list",
    );
  }
  const match = matchModel(onDisk, wanted ?? first.modelId);
  const toLoad = match.kind === "one" ? match.item : first;
  const ids = onDisk.map((model) => model.modelId).join(", ");
  return new OptaError(
    "no-model-loaded",
    `${server} has no model loaded; on its disk: ${ids}`,
    `opta models load ${toLoad.modelId}`,
  );
}

async function notLoaded(
  loaded: readonly ModelInfo[],
  wanted: string,
  access: ServerAccess,
): Promise<OptaError> {
  const { server } = access.server;
  const ids = loaded.map((model) => model.modelId).join(", ");
  const onDisk = matchModel(await fetchModelsOnDisk(access), wanted);
  if (onDisk.kind !== "one") {
    return new OptaError(
      "model-not-found",
      `${server} has no model ${wanted}; loaded: ${ids}`,
      "opta models list",
    );
  }
  const { modelId } = onDisk.item;
  const message = `${modelId} is on the disk of ${server} but not loaded; loaded: ${ids}`;
  return new OptaError("model-not-found", message, `opta models load ${modelId}`);
}

function requireAdmin(endpoint: Endpoint): void {
  if (endpoint.kind === "lmx") return;
  const message = `${endpoint.server} is a plain OpenAI-compatible server: load and unload models with its own commands`;
  throw new OptaError("usage", message, "opta models list");
}

function cancelledOr(thrown: unknown, signal: AbortSignal): OptaError {
  return signal.aborted ? new OptaError("cancelled", "cancelled") : toOptaError(thrown);
}

function byId(models: readonly ModelInfo[]): readonly ModelInfo[] {
  return models.toSorted((a, b) => (a.modelId < b.modelId ? -1 : a.modelId > b.modelId ? 1 : 0));
}

/** A queue's items; leaving the loop early runs `stop`, so that no connection outlives its reader. */
function stoppable<T>(queue: AsyncIterable<T>, stop: () => void): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const items = queue[Symbol.asyncIterator]();
      return {
        next: () => items.next(),
        async return() {
          stop();
          return { done: true, value: undefined };
        },
      };
    },
  };
}
