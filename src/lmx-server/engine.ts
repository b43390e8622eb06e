// The contract between the LMX-compatible server and whatever answers behind it: an engine turns a chat
// request into batches of events and keeps the models. It knows no frame, no socket and no HTTP.
import type { ChatRequestBody } from "./chat-request.ts";

export interface LmxEngine {
  readonly models: LmxModels;
  /**
   * Answers one valid chat request for a loaded model. Refuses before anything is streamed, or gives the
   * events in batches: what is in one batch is sent at once. The iterable ends after `done`, `error`, `drop`,
   * `close` or `silence`, and soon after the signal aborts (without an event of its own).
   */
  chat(request: ChatRequestBody, context: ChatContext): EngineAnswer;
}

export interface ChatContext {
  /** The server's id of this request, `chatcmpl-…`. */
  readonly requestId: string;
  readonly transport: "websocket" | "http";
  readonly signal: AbortSignal;
}

export type EngineAnswer =
  | { readonly refused: Refusal }
  | {
      readonly events: AsyncIterable<readonly EngineEvent[]>;
      /** The SSE body begins with the first event, without the chunk that names the role. */
      readonly bare: boolean;
    };

/** An answer in place of the wanted one. Over HTTP the status; over a socket `chat.error`. */
export interface Refusal {
  readonly status: number;
  readonly message: string;
  readonly code: string | null;
  readonly retryAfterSeconds?: number | undefined;
  /** Sent verbatim instead of the OpenAI shape (HTTP only). */
  readonly body?: string | undefined;
}

export interface EngineUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** One tool call or a piece of one. Loosely typed on purpose: servers differ, and a script may play them all. */
export interface EngineToolCall {
  readonly index?: number | undefined;
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly arguments: unknown;
}

export type EngineEvent =
  | { readonly type: "text"; readonly text: string }
  | {
      readonly type: "thinking";
      readonly text: string;
      readonly field: "reasoning_content" | "reasoning";
    }
  | { readonly type: "tool_call"; readonly call: EngineToolCall }
  | {
      readonly type: "done";
      readonly finishReason: string;
      readonly usage: EngineUsage | null;
      readonly usageIn: "own-chunk" | "last-chunk";
      /** False leaves out SSE's `[DONE]`. */
      readonly endMarker: boolean;
    }
  | {
      readonly type: "error";
      readonly message: string;
      readonly code: string | null;
      readonly retryAfterSeconds?: number | undefined;
      /** Over SSE, as real LMX does it: the text `\n\n[Error: …]` and finish "stop". */
      readonly disguised: boolean;
    }
  /** Bytes as they are: a string is a text frame or SSE text, bytes are a binary frame or SSE bytes. */
  | { readonly type: "raw"; readonly data: string | Uint8Array<ArrayBuffer> }
  /** The connection breaks: a TCP reset over HTTP, an end without a close frame over a socket. */
  | { readonly type: "drop" }
  /** A close frame with this code; over HTTP the body ends as if it were complete. */
  | { readonly type: "close"; readonly code: number }
  /** Nothing more is ever sent, and the connection stays open. */
  | { readonly type: "silence" };

export const readinessStates = [
  "admitted",
  "loading",
  "canary_pending",
  "routable",
  "quarantined",
] as const;

export interface LoadedModel {
  readonly id: string;
  /** GiB, as everywhere in LMX. */
  readonly memoryGb: number;
  /** Unix seconds. */
  readonly loadedAt: number;
  /** Tokens. */
  readonly contextLength: number | null;
  readonly readiness: (typeof readinessStates)[number];
}

export interface DiskModel {
  readonly id: string;
  readonly sizeBytes: number;
  /** Unix seconds. */
  readonly downloadedAt: number;
}

export interface Download {
  readonly id: string;
  readonly modelId: string;
  readonly status: "downloading" | "completed" | "failed" | "cancelled";
  readonly downloadedBytes: number;
  readonly totalBytes: number;
  /** Unix seconds. */
  readonly startedAt: number;
  readonly completedAt: number | null;
}

export type LoadOutcome =
  /** Nulls when it had been loaded before. */
  | {
      readonly status: "loaded";
      readonly memoryAfterLoadGb: number | null;
      readonly timeToLoadMs: number | null;
    }
  | { readonly status: "download_required"; readonly token: string; readonly sizeBytes: number }
  | { readonly status: "downloading"; readonly modelId: string; readonly downloadId: string }
  | { readonly status: "refused"; readonly refusal: Refusal };

export interface LmxModels {
  loaded(): readonly LoadedModel[];
  onDisk(): readonly DiskModel[];
  downloads(): readonly Download[];
  /** Resolves when the model answers. Idempotent; concurrent calls for one model share one load. */
  load(modelId: string, options: { readonly autoDownload: boolean }): Promise<LoadOutcome>;
  /** Starts the download that a `download_required` asked about; a token works once. */
  confirm(token: string): LoadOutcome;
  /** Starts a download after which nothing is loaded. */
  download(modelId: string): Extract<LoadOutcome, { status: "downloading" | "refused" }>;
  /** GiB freed, or undefined when it is not loaded. */
  unload(modelId: string): number | undefined;
  /** Deletes a model from disk; one in memory stays. */
  remove(modelId: string): "removed" | "in-use" | "unknown";
}
