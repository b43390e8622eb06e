// The contract of a provider: something that turns a list of messages into a stream of text, thinking and
// tool calls. Every implementation passes test/contracts/provider.ts.
import type { Message } from "../protocol/message.ts";
import type { ErrorCode } from "../protocol/error.ts";
import type {
  DownloadProgress,
  LoadRequest,
  LoadResult,
  ModelList,
  ServerStatus,
  WindowSource,
} from "../protocol/model.ts";

/** A tool as the model sees it. `parameters` is JSON schema. */
export interface ToolSchema {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description: string;
    readonly parameters: Readonly<Record<string, unknown>>;
  };
}

export interface ChatRequest {
  /** The id as the server spells it (see `connect`). */
  readonly model: string;
  readonly messages: readonly Message[];
  /** Sorted by name and the same in every request of a session. */
  readonly tools: readonly ToolSchema[];
  /** Always sent: LMX never reports "length" in a stream (contract 7a row 8). */
  readonly maxTokens: number;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** One whole tool call, its fragments gathered; `arguments` is the model's text, "{}" where it wrote none. */
export interface ProviderToolCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
  /**
   * Why it must not run although it was written: truncated, or arguments that cannot be read. For the model;
   * position and required fields in at most 800 characters. `arguments` is then the model's text as it came.
   */
  readonly problem?: string;
}

export type ProviderEvent =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "thinking"; readonly text: string }
  /**
   * All `text` of this answer so far was reasoning: a closing tag came whose opener the server kept. Nothing
   * can be unsaid on screen, but the message that is kept and sent again must not hold it as its answer.
   */
  | { readonly type: "text_was_thinking" }
  | { readonly type: "tool_call"; readonly call: ProviderToolCall }
  /** Something the user should see while waiting: a wait for Retry-After, a fall back to SSE. */
  | {
      readonly type: "progress";
      readonly message: string;
      /** "waiting" when absent; "reading": the prompt is being read, each message replacing the last. */
      readonly phase?: string;
      /** The provider it is about, when it is not the one that was asked. */
      readonly provider?: string;
    }
  /** The model that was asked for is gone and this one answers instead; comes before anything of the answer. */
  | { readonly type: "model"; readonly resolved: ResolvedModel }
  | {
      readonly type: "done";
      readonly finishReason: "stop" | "tool_calls" | "length";
      readonly usage: Usage | null;
      /** More keys for the assistant message, which the provider wants to find there when it is sent again. */
      readonly keep?: Readonly<Record<string, unknown>>;
    }
  | {
      readonly type: "error";
      readonly code: ErrorCode;
      readonly message: string;
      readonly hint?: string | undefined;
    };

/** The model a session will use, spelt as the server spells it. */
export interface ResolvedModel {
  readonly model: string;
  /** Tokens; null when neither the user's settings nor the server say. */
  readonly contextLength: number | null;
  readonly windowSource: WindowSource;
  /** False: the tool calls of one answer run one after another. */
  readonly parallelTools: boolean;
  /** For messages: "localhost:1234". */
  readonly server: string;
  /** Who will answer, when it is not the provider that was asked. */
  readonly provider?: string;
}

/** A download belongs to the server: it goes on when nobody watches. */
export interface ProviderDownloads {
  /** Starts the download that `load` found to be necessary. @throws OptaError not-found: the token is used or too old */
  confirm(
    question: { readonly modelId: string; readonly confirmationToken: string },
    signal: AbortSignal,
  ): Promise<LoadResult>;
  /** @throws OptaError not-found */
  progress(downloadId: string, signal: AbortSignal): Promise<DownloadProgress>;
}

/** One request in the words of the model server's own API. */
export interface ForwardRequest {
  readonly method: "GET" | "POST" | "DELETE";
  /** With its query; every part that came from outside is percent-encoded. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
}

export interface ForwardedAnswer {
  /** Any status: a refusal is an answer. */
  readonly status: number;
  /** The server's JSON; `{error}` where it refused in other words than JSON. */
  readonly body: unknown;
  /** "host:port" of the server that answered. */
  readonly server: string;
  /** Those that would be tried in its place. */
  readonly fallbackHosts: readonly string[];
}

export interface Provider {
  /** "lmx", and later "openai", "anthropic". */
  readonly id: string;
  /**
   * Finds the server and the model. Starts probe, model look-up and WebSocket handshake together, so that
   * the chat request leaves after one round trip; a second call with the same model reuses what the first found.
   * @param wanted a model id, its tail, or undefined for the only (else the first routable) loaded one.
   * @throws OptaError lmx-connection-refused | no-model-loaded | model-not-found | auth-failed
   */
  connect(wanted: string | undefined, signal: AbortSignal): Promise<ResolvedModel>;
  /**
   * One model request. Never throws once called: the last event is `done` or `error`, exactly one of them;
   * an abort ends the stream without either and closes the connection at once.
   * Tool calls come only after the stream proved complete: a half call is never yielded.
   */
  stream(request: ChatRequest, signal: AbortSignal): AsyncIterable<ProviderEvent>;
  /** @throws OptaError lmx-connection-refused | auth-failed */
  status(signal: AbortSignal): Promise<ServerStatus>;
  /** @throws OptaError lmx-connection-refused | auth-failed */
  models(signal: AbortSignal): Promise<ModelList>;
  /** Loads a model and waits until it is routable; never posts twice for one load (contract 7a row 17). */
  load(request: LoadRequest, signal: AbortSignal): Promise<LoadResult>;
  /** Where the server can fetch models. */
  readonly downloads?: ProviderDownloads;
  /** @throws OptaError model-not-found */
  unload(modelId: string, signal: AbortSignal): Promise<{ freedBytes: number | null }>;
  /**
   * Passes one request on to a server that is an LMX, with the keys that it wants.
   * @throws OptaError lmx-connection-refused | lmx-timeout | usage: another make of server |
   *   model-server-failed: no JSON, or more than 8 MiB of it
   */
  readonly forward?: (request: ForwardRequest, signal: AbortSignal) => Promise<ForwardedAnswer>;
  /** Closes sockets that wait for the next request. */
  close(): void;
}
