// The local provider with a cloud behind it, for users who opted in: always (`--provider anthropic`), or when no
// local server can take the turn (`provider.fallback`). It says on every request that the cloud serves, changes
// over only where a turn connects, and loads the cloud's code only then. Which cloud it is, it does not know.
import { OptaError, toOptaError, type ErrorCode } from "../protocol/error.ts";
import type { ServerStatus } from "../protocol/model.ts";
import { cloudPhase } from "../protocol/progress.ts";
import type { ChatRequest, Provider, ProviderEvent, ResolvedModel } from "./provider.ts";

export interface CloudOptIn {
  /** "only": the local server is not asked at all. */
  readonly use: "only" | "fallback";
  readonly local: Provider;
  /** For people: "Anthropic". */
  readonly name: string;
  /** True for ids that mean a model of the cloud: such a wish survives the change-over. */
  readonly isCloudModel: (modelId: string) => boolean;
  /** Called once, when the cloud is to serve. */
  readonly load: () => Promise<Provider>;
}

/** With these nothing was asked of the local server: it is down, or has no model. */
const takeOverCodes: ReadonlySet<ErrorCode> = new Set([
  "lmx-connection-refused",
  "no-model-loaded",
]);

export function createCloudOptIn(options: CloudOptIn): Provider {
  const { use, local, name } = options;
  /** Who connected for a model last, and why it was not the local one. */
  const serving = new Map<
    string,
    { readonly provider: Provider; readonly why: string | undefined }
  >();
  const state: { cloud?: Promise<Provider> } = {};
  const cloud = (): Promise<Provider> => (state.cloud ??= options.load());

  const connectCloud = async (
    wanted: string | undefined,
    why: string | undefined,
    signal: AbortSignal,
  ): Promise<ResolvedModel> => {
    const provider = await cloud();
    const resolved = await provider.connect(wanted, signal);
    serving.set(resolved.model, { provider, why });
    return resolved;
  };

  const connect = async (
    wanted: string | undefined,
    signal: AbortSignal,
  ): Promise<ResolvedModel> => {
    if (use === "only") return connectCloud(wanted, undefined, signal);
    try {
      const resolved = await local.connect(wanted, signal);
      serving.set(resolved.model, { provider: local, why: undefined });
      return resolved;
    } catch (thrown) {
      const refused = toOptaError(thrown);
      if (signal.aborted || !takeOverCodes.has(refused.code)) throw refused;
      const cloudModel = wanted !== undefined && options.isCloudModel(wanted) ? wanted : undefined;
      try {
        return await connectCloud(cloudModel, refused.message, signal);
      } catch (thrownByCloud) {
        throw bothFailed(refused, toOptaError(thrownByCloud));
      }
    }
  };

  async function* stream(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ProviderEvent> {
    const chosen = serving.get(request.model) ?? { provider: local, why: undefined };
    if (chosen.provider !== local) {
      yield notice(request.model, chosen);
      yield* chosen.provider.stream(request, signal);
      return;
    }
    let begun = false;
    for await (const event of local.stream(request, signal)) {
      // A server that was only remembered turns out to be gone: the same as a connect that failed, as long as
      // the turn has not begun. A turn under way (its last message is a tool's) never switches.
      const gone = event.type === "error" && takeOverCodes.has(event.code) && !begun;
      if (gone && use === "fallback" && request.messages.at(-1)?.role === "user") {
        yield* takeOver(request, new OptaError(event.code, event.message, event.hint), signal);
        return;
      }
      begun ||= event.type !== "progress" && event.type !== "model";
      yield event;
    }
  }

  async function* takeOver(
    request: ChatRequest,
    refused: OptaError,
    signal: AbortSignal,
  ): AsyncGenerator<ProviderEvent> {
    try {
      const resolved = await connectCloud(undefined, refused.message, signal);
      const provider = await cloud();
      yield { type: "model", resolved };
      yield notice(resolved.model, { provider, why: refused.message });
      yield* provider.stream({ ...request, model: resolved.model }, signal);
    } catch (thrown) {
      const { code, message, hint } = bothFailed(refused, toOptaError(thrown));
      if (!signal.aborted) yield { type: "error", code, message, hint };
    }
  }

  function notice(
    model: string,
    { provider, why }: { readonly provider: Provider; readonly why: string | undefined },
  ): ProviderEvent {
    const because = why === undefined ? "" : ` (${why})`;
    const message = `${name} answers, in the cloud: ${model}; this conversation leaves your network${because}`;
    return { type: "progress", message, phase: cloudPhase, provider: provider.id };
  }

  const status = async (signal: AbortSignal): Promise<ServerStatus> => {
    if (use === "only") return (await cloud()).status(signal);
    const found = await local.status(signal).then(
      (ok) => ({ ok, refused: undefined }),
      (thrown: unknown) => ({ ok: undefined, refused: toOptaError(thrown) }),
    );
    if (found.ok?.ready === true) {
      const standby = { server: name, outcome: "stands by in the cloud (provider.fallback)" };
      return { ...found.ok, candidates: [...found.ok.candidates, standby] };
    }
    if (found.refused !== undefined && !takeOverCodes.has(found.refused.code)) throw found.refused;
    try {
      const serves = await (await cloud()).status(signal);
      const tried = found.ok?.candidates ?? [
        { server: "local", outcome: found.refused?.message ?? "" },
      ];
      return { ...serves, candidates: [...tried, ...serves.candidates] };
    } catch (thrown) {
      if (found.refused === undefined) throw thrown;
      throw bothFailed(found.refused, toOptaError(thrown));
    }
  };

  /** Models are looked after where the user's turns go. */
  const home = (): Promise<Provider> => (use === "only" ? cloud() : Promise.resolve(local));

  return {
    id: use === "only" ? "anthropic" : local.id,
    connect,
    stream,
    status,
    models: async (signal) => (await home()).models(signal),
    load: async (request, signal) => (await home()).load(request, signal),
    unload: async (modelId, signal) => (await home()).unload(modelId, signal),
    ...(use === "only" || local.downloads === undefined ? {} : { downloads: local.downloads }),
    ...(use === "only" || local.forward === undefined ? {} : { forward: local.forward }),
    close() {
      local.close();
      // One that failed to load has nothing to close.
      void state.cloud?.then((provider) => provider.close()).catch(() => undefined);
    },
  };
}

function bothFailed(local: OptaError, cloud: OptaError): OptaError {
  return new OptaError(cloud.code, `${local.message}; ${cloud.message}`, cloud.hint ?? local.hint);
}
