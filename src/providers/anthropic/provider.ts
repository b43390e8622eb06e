// The provider for Anthropic's Messages API, or a gateway that speaks it. A heavy leaf: loaded only when it is to
// serve, which takes the user's opt-in (providers/cloud-opt-in.ts). Nothing is sent before the first call.
import type Anthropic from "@anthropic-ai/sdk";
import { APIError } from "@anthropic-ai/sdk";
import type { Stream } from "@anthropic-ai/sdk/core/streaming";
import type { RawMessageStreamEvent } from "@anthropic-ai/sdk/resources/messages/messages";
import { sleep, systemClock, type Clock } from "../../base/clock.ts";
import { OptaError } from "../../protocol/error.ts";
import type { ServerStatus } from "../../protocol/model.ts";
import type { ChatRequest, Provider, ProviderEvent, ResolvedModel } from "../provider.ts";
import { createMessagesAnswer, type MessagesAnswer } from "./answer.ts";
import { createClient, serverName, type Access } from "./client.ts";
import { toAnthropicError, waitBeforeRetry } from "./failures.ts";
import { toMessagesBody, type ModelTraits } from "./request.ts";
import { withSilenceLimit, type SilenceLimit } from "./silence-limit.ts";

export interface AnthropicProviderOptions extends Access {
  /** For who names none: "claude-sonnet-5-5". */
  readonly model: string;
  readonly clock?: Clock;
  /** Silence of a server that has the request, before and between events. */
  readonly silenceMs?: number;
  /** The look-up of the model. */
  readonly lookUpMs?: number;
}

/** A gateway may pass on no pings, and the largest models think for minutes. */
const defaultSilenceMs = 10 * 60_000;
const defaultLookUpMs = 10_000;
/** Tokens: what every model has at least, for servers that do not say. */
const leastWindow = 200_000;

interface KnownModel {
  readonly resolved: ResolvedModel;
  readonly traits: ModelTraits;
}

export function createAnthropicProvider(options: AnthropicProviderOptions): Provider {
  const clock = options.clock ?? systemClock;
  const silenceMs = options.silenceMs ?? defaultSilenceMs;
  const lookUpMs = options.lookUpMs ?? defaultLookUpMs;
  const known = new Map<string, KnownModel>();
  const state: { client?: Anthropic } = {};
  const client = (): Anthropic => (state.client ??= createClient(options));
  const explain = (thrown: unknown, model: string, signal: AbortSignal): OptaError => {
    if (signal.aborted) return new OptaError("cancelled", "cancelled");
    return toAnthropicError(thrown, { server: serverName(options), model, apiKey: options.apiKey });
  };

  /** Asks for the model: one request that checks key and name, and tells the window. */
  const lookUp = async (wanted: string, signal: AbortSignal): Promise<KnownModel> => {
    const before = known.get(wanted);
    if (before !== undefined) return before;
    const anthropic = client();
    const server = serverName(options);
    const limit = withSilenceLimit({ clock, limitMs: lookUpMs, signal });
    try {
      const found = await retrieve(anthropic, wanted, limit);
      const model: KnownModel = {
        resolved: {
          model: found?.id ?? wanted,
          contextLength: found?.max_input_tokens ?? leastWindow,
          windowSource: (found?.max_input_tokens ?? null) === null ? "unknown" : "server",
          parallelTools: true,
          server,
          provider: "anthropic",
        },
        traits: {
          thinksAdaptively: found?.capabilities?.thinking?.types?.adaptive?.supported === true,
          takesEffort: found?.capabilities?.effort?.medium?.supported === true,
        },
      };
      known.set(wanted, model);
      known.set(model.resolved.model, model);
      return model;
    } catch (thrown) {
      if (limit.expired()) {
        throw new OptaError(
          "lmx-connection-refused",
          `${server} cannot be reached: no answer in ${lookUpMs / 1000} s`,
          "opta status --provider anthropic",
        );
      }
      throw explain(thrown, wanted, signal);
    } finally {
      limit.stop();
    }
  };

  async function* stream(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ProviderEvent> {
    const { model } = request;
    const server = serverName(options);
    const traits = known.get(model)?.traits ?? { thinksAdaptively: false, takesEffort: false };
    for (let retries = 0; !signal.aborted; retries += 1) {
      const answer = createMessagesAnswer(model);
      const limit = withSilenceLimit({ clock, limitMs: silenceMs, signal });
      try {
        yield* askOnce({ client: client(), request, traits, answer, limit });
        if (signal.aborted) return;
        if (limit.expired()) throw silent(server, silenceMs, answer);
        if (!answer.isComplete()) throw cut(server, "ended the stream", answer);
        return yield* answer.conclude();
      } catch (thrown) {
        if (signal.aborted) return;
        const wait = answer.hasBegun() ? undefined : waitBeforeRetry(thrown, retries);
        if (wait === undefined) {
          yield failure(
            explain(endingOf(thrown, { server, silenceMs, answer, limit }), model, signal),
          );
          return;
        }
        const attempt = `attempt ${retries + 2} of ${wait.attempts}`;
        const message = `${server} ${wait.why}; waiting ${Math.ceil(wait.waitMs / 1000)} s (${attempt})`;
        limit.stop();
        yield { type: "progress", message };
        await sleep(wait.waitMs, { clock, signal });
      } finally {
        limit.stop();
      }
    }
  }

  return {
    id: "anthropic",
    connect: async (wanted, signal) => (await lookUp(wanted ?? options.model, signal)).resolved,
    stream,
    async status(signal) {
      const startedMs = clock.nowMs();
      known.clear();
      const { resolved } = await lookUp(options.model, signal);
      return cloudStatus(resolved, clock.nowMs() - startedMs);
    },
    async models(signal) {
      try {
        const page = await client().models.list({ limit: 1000 }, { signal });
        const models = page.data.map(({ id, max_input_tokens: contextLength }) => ({
          modelId: id,
          state: "loaded" as const,
          sizeBytes: null,
          contextLength,
        }));
        return { server: serverName(options), models };
      } catch (thrown) {
        throw explain(thrown, options.model, signal);
      }
    },
    load: () => Promise.reject(nothingToLoad()),
    unload: () => Promise.reject(nothingToLoad()),
    close: () => undefined,
  };
}

/** The events of one request as they come. Throws what the SDK throws; ends quietly on an abort. */
async function* askOnce(options: {
  readonly client: Anthropic;
  readonly request: ChatRequest;
  readonly traits: ModelTraits;
  readonly answer: MessagesAnswer;
  readonly limit: SilenceLimit;
}): AsyncGenerator<ProviderEvent> {
  const { client, request, traits, answer, limit } = options;
  // Not messages.create: that writes to the console when a model is about to be retired.
  const { data, response } = await client
    .post<Stream<RawMessageStreamEvent>>("/v1/messages", {
      body: toMessagesBody(request, traits),
      stream: true,
      signal: limit.signal,
    })
    .withResponse();
  const type = response.headers.get("content-type") ?? "";
  if (!type.includes("text/event-stream")) {
    data.controller.abort();
    throw new APIError(
      undefined,
      undefined,
      `answered with ${type || "no content type"} instead of a stream`,
      undefined,
    );
  }
  for await (const event of data) {
    limit.alive();
    yield* answer.take(event);
  }
}

/** What the server knows of a model; undefined where it does not know that route. */
async function retrieve(
  client: Anthropic,
  model: string,
  limit: SilenceLimit,
): Promise<Anthropic.ModelInfo | undefined> {
  try {
    return await client.models.retrieve(model, undefined, { signal: limit.signal });
  } catch (thrown) {
    // A gateway without this route, or one that is busy: the request itself will tell.
    const isTold = thrown instanceof APIError && thrown.status !== undefined;
    const isFinal =
      isTold &&
      (thrown.status === 401 || thrown.status === 403 || thrown.type === "not_found_error");
    if (isTold && !isFinal) return undefined;
    throw thrown;
  }
}

/** A stream that broke after its headers throws whatever the socket threw. */
function endingOf(
  thrown: unknown,
  about: {
    readonly server: string;
    readonly silenceMs: number;
    readonly answer: MessagesAnswer;
    readonly limit: SilenceLimit;
  },
): unknown {
  const { server, silenceMs, answer, limit } = about;
  if (limit.expired()) return silent(server, silenceMs, answer);
  if (thrown instanceof APIError || thrown instanceof OptaError) return thrown;
  return cut(
    server,
    thrown instanceof SyntaxError ? "sent what is no JSON" : "broke the connection",
    answer,
  );
}

const tryAgain = 'opta do --continue "continue"';

function cut(server: string, how: string, answer: MessagesAnswer): OptaError {
  const message = `${server} ${how} ${answer.extent()}; the answer is incomplete`;
  return new OptaError("lmx-ws-closed", message, tryAgain);
}

function silent(server: string, silenceMs: number, answer: MessagesAnswer): OptaError {
  const message = `${server} timed out after ${silenceMs / 1000} s of silence, ${answer.extent()}`;
  return new OptaError("lmx-timeout", message, tryAgain);
}

function failure({ code, message, hint }: OptaError): ProviderEvent {
  return { type: "error", code, message, hint };
}

function cloudStatus(resolved: ResolvedModel, latencyMs: number): ServerStatus {
  const { server, model, contextLength, windowSource } = resolved;
  return {
    server,
    kind: "anthropic",
    version: null,
    ready: true,
    transport: "sse",
    loadedModels: [model],
    windows: [{ modelId: model, contextLength, windowSource }],
    memory: null,
    latencyMs,
    candidates: [{ server, outcome: "answers (Anthropic, in the cloud)" }],
  };
}

function nothingToLoad(): OptaError {
  return new OptaError(
    "usage",
    "Anthropic loads its models itself",
    "opta models list   (what there is)",
  );
}
