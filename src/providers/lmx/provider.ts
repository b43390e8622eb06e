// The provider for Opta LMX, and for OpenAI-compatible servers in its place: what each operation of the contract
// does with the connection (connection.ts) and the conversation (chat.ts).
import { createAsyncQueue } from "../../base/async-queue.ts";
import { systemClock, type Clock } from "../../base/clock.ts";
import { OptaError, toOptaError } from "../../protocol/error.ts";
import type { ModelInfo } from "../../protocol/model.ts";
import { createEndpointCache } from "../endpoint-cache.ts";
import { settingsFor, type ModelSettingsTable } from "../model-settings.ts";
import { kindNames, loadCommand } from "../openai/kind-names.ts";
import { requestStyleOf } from "../openai/request-style.ts";
import type { ChatRequest, Provider, ProviderEvent } from "../provider.ts";
import { toCandidates } from "../route.ts";
import { createThoughtHabits } from "../thought-habits.ts";
import { conclusion, errorEvent, runChat, type ChatOutcome } from "./chat.ts";
import { createConnection } from "./connection.ts";
import { confirmDownload, fetchDownloadProgress } from "./downloads.ts";
import type { Endpoint } from "./endpoint.ts";
import { forwardRequest, pathOf } from "./forward.ts";
import { loadModel, unloadModel } from "./model-admin.ts";
import { refuseCloudModel } from "./model-choice.ts";
import { fetchLoadedModels, fetchModelsOnDisk, fetchPlainModels } from "./models.ts";
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
  /** Models that the server would pass on to a cloud are refused without this. */
  readonly allowCloudModels?: boolean;
  /** Own names for models. */
  readonly aliases?: Readonly<Record<string, string>>;
  readonly modelSettings?: ModelSettingsTable;
  /** Where to remember servers from one process to the next; absent: not at all. */
  readonly cacheFile?: string;
  readonly timeouts?: Partial<LmxTimeouts>;
  readonly clock?: Clock;
}

/** Nothing is sent before the first call. */
export function createLmxProvider(options: LmxProviderOptions): Provider {
  const { allowCloudModels = false, modelSettings = {} } = options;
  const clock = options.clock ?? systemClock;
  const timeouts = { ...defaultLmxTimeouts, ...options.timeouts };
  const keys = { adminKey: options.adminKey, apiKey: options.apiKey };
  const habits = createThoughtHabits();
  const sockets = createSocketSource({ keys, clock, timeouts });
  const connection = createConnection({
    candidates: () => toCandidates(options),
    keys,
    sockets,
    cache: createEndpointCache(options.cacheFile),
    aliases: options.aliases ?? {},
    modelSettings,
    allowCloudModels,
    clock,
    timeouts,
  });
  const { access, probe } = connection;
  /** Model that was asked for and is gone -> the one that answers instead. */
  const replacements = new Map<string, string>();

  const ask = async (
    request: ChatRequest,
    signal: AbortSignal,
    emit: (event: ProviderEvent) => void,
  ): Promise<{ endpoint: Endpoint; outcome: ChatOutcome }> => {
    const endpoint = await connection.reach(signal);
    const outcome = await runChat(request, {
      endpoint,
      keys,
      sockets,
      encoding: {
        style: requestStyleOf(endpoint.kind),
        settings: settingsFor(modelSettings, request.model),
      },
      mustBeSocket: connection.isGuess(),
      habits,
      async recheck(recheckSignal) {
        const answered = await probe(endpoint, recheckSignal);
        return answered.up ? undefined : answered.reason;
      },
      clock,
      timeouts,
      signal,
      emit,
    });
    return { endpoint, outcome };
  };

  const answer = async (
    asked: ChatRequest,
    signal: AbortSignal,
    emit: (event: ProviderEvent) => void,
  ) => {
    let request = { ...asked, model: replacements.get(asked.model) ?? asked.model };
    try {
      if (!allowCloudModels) refuseCloudModel(request.model);
      let { endpoint, outcome } = await ask(request, signal, emit);
      if (connection.isGuess() && provesGuessWrong(outcome)) {
        const resolved = await connection.reconnect(request.model, signal);
        if (resolved.model !== request.model) {
          const message = `${request.model} is gone; ${resolved.model} answers`;
          emit({ type: "progress", message });
          emit({ type: "model", resolved });
          replacements.set(asked.model, resolved.model);
          request = { ...request, model: resolved.model };
        }
        ({ endpoint, outcome } = await ask(request, signal, emit));
      }
      for (const event of conclusion(outcome, request, endpoint)) emit(event);
    } catch (thrown) {
      if (!signal.aborted) emit(errorEvent(toOptaError(thrown)));
    }
  };

  /** For calls that ask one thing of the server. */
  const call = async <T>(
    signal: AbortSignal,
    ask: (endpoint: Endpoint) => Promise<T>,
  ): Promise<T> => {
    if (connection.isGuess()) connection.forget();
    try {
      return await ask(await connection.reach(signal));
    } catch (thrown) {
      connection.forget();
      throw cancelledOr(thrown, signal);
    }
  };

  return {
    id: "lmx",
    async connect(wanted, signal) {
      try {
        return await connection.connect(wanted, signal);
      } catch (thrown) {
        sockets.drop();
        connection.forget();
        throw cancelledOr(thrown, signal);
      }
    },
    stream(request, signal) {
      const queue = createAsyncQueue<ProviderEvent>();
      const stop = new AbortController();
      const either = AbortSignal.any([signal, stop.signal]);
      const emit = (event: ProviderEvent) => {
        if (either.aborted) return;
        // What was remembered is wrong: the next turn looks again.
        if (event.type === "error") connection.forget();
        else if (event.type !== "progress" && event.type !== "model") connection.confirm();
        queue.push(event);
      };
      void answer(request, either, emit).finally(() => queue.end());
      return stoppable(queue, () => stop.abort());
    },
    async status(signal) {
      try {
        const candidates = toCandidates(options);
        return await fetchStatus({ candidates, probe, sockets, access, modelSettings, signal });
      } catch (thrown) {
        throw cancelledOr(thrown, signal);
      }
    },
    models: (signal) =>
      call(signal, async (endpoint) => {
        const at = access(endpoint, signal);
        if (endpoint.kind !== "lmx") {
          const models = endpoint.models ?? (await fetchPlainModels(at, endpoint.kind));
          const isLoaded = ({ state }: ModelInfo) => state !== "on-disk";
          const rest = models.filter((model) => !isLoaded(model));
          return {
            server: endpoint.server,
            models: [...byId(models.filter(isLoaded)), ...byId(rest)],
          };
        }
        const [loaded, onDisk] = await Promise.all([fetchLoadedModels(at), fetchModelsOnDisk(at)]);
        const isLoaded = new Set(loaded.map((model) => model.modelId));
        const rest = onDisk.filter((model) => !isLoaded.has(model.modelId));
        return { server: endpoint.server, models: [...byId(loaded), ...byId(rest)] };
      }),
    load: (request, signal) =>
      call(signal, async (endpoint) => {
        requireAdmin(endpoint, request.modelId);
        if (!allowCloudModels) refuseCloudModel(request.modelId);
        const result = await loadModel(access(endpoint, signal), request);
        connection.forgetModels(endpoint.server);
        return result;
      }),
    unload: (modelId, signal) =>
      call(signal, async (endpoint) => {
        requireAdmin(endpoint, modelId);
        const result = await unloadModel(access(endpoint, signal), modelId);
        connection.forgetModels(endpoint.server);
        return result;
      }),
    downloads: {
      confirm: (question, signal) =>
        call(signal, (endpoint) => {
          requireAdmin(endpoint, question.modelId);
          return confirmDownload(access(endpoint, signal), question);
        }),
      progress: (downloadId, signal) =>
        call(signal, (endpoint) => fetchDownloadProgress(access(endpoint, signal), downloadId)),
    },
    forward: (request, signal) =>
      call(signal, async (endpoint) => {
        const { server, kind } = endpoint;
        if (kind !== "lmx") {
          const message = `${server} (${kindNames[kind]}) is no LMX: it has no ${pathOf(request)}`;
          throw new OptaError("usage", message, "opta status");
        }
        const answer = await forwardRequest(access(endpoint, signal), request);
        if (request.method !== "GET") connection.forgetModels(server);
        return { ...answer, fallbackHosts: options.fallbackHosts };
      }),
    close() {
      sockets.drop();
      connection.close();
    },
  };
}

/** Before anything of an answer came: the server, its WebSocket or its model is not what was remembered. */
function provesGuessWrong({ ending, answer }: ChatOutcome): boolean {
  if (answer.hasBegun()) return false;
  if (ending.kind === "unreachable") return true;
  if (ending.kind !== "fault") return false;
  const { status, code, message } = ending.fault;
  return (
    status === 404 ||
    status === 405 ||
    code === "model_not_found" ||
    code === "not_an_answer" ||
    code === "empty_answer" ||
    /\bmodel\b.*\b(not loaded|not found|does not exist)\b/i.test(message)
  );
}

function requireAdmin({ server, kind }: Endpoint, modelId: string): void {
  if (kind === "lmx") return;
  const message = `${server} (${kindNames[kind]}) loads and unloads models by its own commands`;
  throw new OptaError("usage", message, loadCommand(kind, modelId));
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
