// Which server and which model: found by asking, or remembered from an earlier process and then only a guess
// until the server has answered. Everything that is known about the server between two requests lives here.
import type { Clock } from "../../base/clock.ts";
import type { ModelInfo } from "../../protocol/model.ts";
import type { EndpointCache } from "../endpoint-cache.ts";
import { settingsFor, type ModelSettingsTable } from "../model-settings.ts";
import { loadsOnDemand } from "../openai/server-kinds.ts";
import type { ResolvedModel } from "../provider.ts";
import { findRoute, type Candidate, type ProbeOutcome } from "../route.ts";
import { chooseModel, pickModel, type ChosenModel } from "./choose-model.ts";
import { probeEndpoint, type Endpoint, type Keys } from "./endpoint.ts";
import { refuseCloudModel } from "./model-choice.ts";
import {
  askLoadedModels,
  fetchLoadedModels,
  fetchPlainModels,
  type ServerAccess,
} from "./models.ts";
import type { SocketSource } from "./socket-source.ts";
import type { LmxTimeouts } from "./timeouts.ts";

export interface ConnectionOptions {
  /** The first is the primary. @throws OptaError config-invalid */
  readonly candidates: () => readonly Candidate[];
  readonly keys: Keys;
  readonly sockets: SocketSource;
  readonly cache: EndpointCache;
  readonly aliases: Readonly<Record<string, string>>;
  readonly modelSettings: ModelSettingsTable;
  readonly allowCloudModels: boolean;
  readonly clock: Clock;
  readonly timeouts: LmxTimeouts;
}

export interface Connection {
  /** As Provider.connect. */
  connect(wanted: string | undefined, signal: AbortSignal): Promise<ResolvedModel>;
  /** The server in use, else the one that answers now. @throws OptaError lmx-connection-refused */
  reach(signal: AbortSignal): Promise<Endpoint>;
  /** True while the server is known from an earlier process only. */
  isGuess(): boolean;
  /** The guess was wrong: looks anew for what `model` was the answer to. Errors as connect. */
  reconnect(model: string, signal: AbortSignal): Promise<ResolvedModel>;
  /** The server began to answer a request: what is known of it is worth keeping, a guess is checked. */
  confirm(): void;
  /** Forgets the server, so that the next call looks again. */
  forget(): void;
  /** Its models changed. */
  forgetModels(server: string): void;
  probe(candidate: Candidate, signal: AbortSignal): Promise<ProbeOutcome<Endpoint>>;
  access(server: Candidate, signal: AbortSignal): ServerAccess;
  /** Writes what waits to be kept; ends a check that is under way. */
  close(): void;
}

/** Writing the cache waits until the first token is on its way to the reader. */
const saveDelayMs = 50;

export function createConnection(options: ConnectionOptions): Connection {
  const { keys, sockets, cache, clock, timeouts, allowCloudModels } = options;
  const resolved = new Map<string | undefined, ResolvedModel>();
  /** Model id -> what was asked for when it was chosen. */
  const askedFor = new Map<string, string | undefined>();
  const closing = new AbortController();
  let known: Endpoint | undefined;
  let models: readonly ModelInfo[] | undefined;
  let guessed = false;
  let confirmed = false;
  let pendingSave: (() => void) | undefined;

  const access = (server: Candidate, signal: AbortSignal): ServerAccess => {
    return { server, keys, clock, timeouts, signal };
  };
  const probe = (candidate: Candidate, signal: AbortSignal) =>
    probeEndpoint(candidate, { keys, clock, timeoutMs: timeouts.probeMs, signal });
  const forget = () => {
    known = undefined;
    models = undefined;
    guessed = false;
    confirmed = false;
    resolved.clear();
  };

  const reach = async (signal: AbortSignal): Promise<Endpoint> => {
    if (known !== undefined) return known;
    const route = await findRoute({
      candidates: options.candidates(),
      probe,
      primaryGraceMs: timeouts.primaryGraceMs,
      clock,
      signal,
    });
    known = route.found;
    return route.found;
  };

  /** Probe, look-up and handshake at once, on the guess that the primary is an LMX and up; it costs nothing. */
  const reachWithModels = async (
    signal: AbortSignal,
  ): Promise<{ endpoint: Endpoint; found: readonly ModelInfo[] }> => {
    const guess = known ?? options.candidates()[0]!;
    const mayBeLmx = known === undefined || known.kind === "lmx";
    const stopGuess = new AbortController();
    const guessAccess = access(guess, AbortSignal.any([signal, stopGuess.signal]));
    const asked = mayBeLmx ? askLoadedModels(guessAccess) : undefined;
    // Looked at below, once it is known which server it is about.
    asked?.catch(() => undefined);
    if (mayBeLmx && sockets.mayOpen(guess)) sockets.openAhead(guess);
    try {
      const endpoint = await reach(signal);
      const isGuessed = endpoint.server === guess.server;
      if (endpoint.kind !== "lmx") sockets.drop();
      else if (!isGuessed) sockets.openAhead(endpoint);
      return {
        endpoint,
        found: await fetchModels(endpoint, signal, isGuessed ? asked : undefined),
      };
    } finally {
      stopGuess.abort();
    }
  };
  const fetchModels = async (
    endpoint: Endpoint,
    signal: AbortSignal,
    asked?: ReturnType<typeof askLoadedModels>,
  ): Promise<readonly ModelInfo[]> => {
    if (endpoint.kind === "lmx") return fetchLoadedModels(access(endpoint, signal), asked);
    return endpoint.models ?? (await fetchPlainModels(access(endpoint, signal), endpoint.kind));
  };

  const choice = (kind: Endpoint["kind"], found: readonly ModelInfo[], wanted?: string) => {
    return { kind, models: found, wanted, allowCloudModels };
  };

  /** What an earlier process learnt of the primary, if that answers the question; nothing is sent but a handshake. */
  const recall = (wanted: string | undefined): ChosenModel | undefined => {
    if (known !== undefined) return undefined;
    const primary = options.candidates()[0]!;
    const remembered = cache.find(primary.server);
    if (remembered === undefined) return undefined;
    const { kind, version, webSocketPath } = remembered;
    const chosen = pickModel(choice(kind, remembered.models, wanted));
    if (chosen === undefined) return undefined;
    known = { ...primary, kind, version, latencyMs: 0 };
    models = remembered.models;
    guessed = true;
    if (kind === "lmx") {
      sockets.assume(primary, webSocketPath);
      if (webSocketPath !== null) sockets.openAhead(primary);
    }
    return chosen;
  };

  const look = async (wanted: string | undefined, signal: AbortSignal): Promise<ChosenModel> => {
    if (guessed) forget();
    const { endpoint, found } = await reachWithModels(signal);
    // What the probe brought along is true now, and not when it is asked for again.
    const { models: _, ...lasting } = endpoint;
    known = lasting;
    models = found;
    return chooseModel(choice(endpoint.kind, found, wanted), endpoint, access(endpoint, signal));
  };

  /** What an earlier turn found holds until an answer says otherwise, as if it was remembered from an earlier process. */
  const doubt = () => {
    if (known === undefined || !confirmed) return;
    guessed = true;
    confirmed = false;
    if (known.kind === "lmx" && sockets.mayOpen(known)) sockets.openAhead(known);
  };

  const connect = async (
    wanted: string | undefined,
    signal: AbortSignal,
  ): Promise<ResolvedModel> => {
    const before = resolved.get(wanted);
    if (before !== undefined) {
      doubt();
      return before;
    }
    const { aliases } = options;
    const name = wanted !== undefined && Object.hasOwn(aliases, wanted) ? aliases[wanted] : wanted;
    if (name !== undefined && !allowCloudModels) refuseCloudModel(name);
    const chosen = recall(name) ?? (await look(name, signal));
    const model = toResolved(chosen, known!, options.modelSettings);
    resolved.set(wanted, model);
    askedFor.set(model.model, wanted);
    return model;
  };

  const save = (endpoint: Endpoint, found: readonly ModelInfo[]) => {
    pendingSave?.();
    const { server, kind, version } = endpoint;
    const webSocketPath = kind === "lmx" ? sockets.pathOf(endpoint) : null;
    pendingSave = () => {
      pendingSave = undefined;
      takeBack();
      cache.remember(server, { kind, version, webSocketPath, models: [...found] });
    };
    const takeBack = clock.after(saveDelayMs, () => pendingSave?.());
  };
  /** Asks what was only remembered, and writes what is true. */
  const check = async (endpoint: Endpoint) => {
    const outcome = await probe(endpoint, closing.signal);
    if (closing.signal.aborted) return;
    if (!outcome.up) return cache.forget(endpoint.server);
    save(outcome.found, await fetchModels(outcome.found, closing.signal));
  };

  return {
    connect,
    reach,
    isGuess: () => guessed,
    reconnect(model, signal) {
      const wanted = askedFor.get(model);
      if (known !== undefined) cache.forget(known.server);
      forget();
      return connect(askedFor.has(model) ? wanted : model, signal);
    },
    confirm() {
      if (confirmed || known === undefined || models === undefined) return;
      confirmed = true;
      if (!guessed) save(known, models);
      // A model that was loaded for this request has a window now.
      const isNews = loadsOnDemand(known.kind) && models.some(({ state }) => state === "on-disk");
      // When the check fails, so will the next guess, and that is looked after.
      if (guessed || isNews) check(known).catch(() => undefined);
      guessed = false;
    },
    forget,
    forgetModels(server) {
      resolved.clear();
      models = undefined;
      cache.forget(server);
    },
    probe,
    access,
    close() {
      closing.abort();
      pendingSave?.();
    },
  };
}

function toResolved(
  { modelId, contextLength }: ChosenModel,
  { server }: Endpoint,
  table: ModelSettingsTable,
): ResolvedModel {
  const { window, parallelTools = true } = settingsFor(table, modelId);
  return {
    model: modelId,
    contextLength: window ?? contextLength,
    windowSource: window !== undefined ? "setting" : contextLength === null ? "unknown" : "server",
    parallelTools,
    server,
  };
}
