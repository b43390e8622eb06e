// Engine events as the frames of contracts/lmx.md section 1. Pure: the socket that carries them is elsewhere.
import type { EngineEvent, EngineUsage, Refusal } from "./engine.ts";

/** A text frame, or the bytes of a binary one. */
export type Frame = string | Uint8Array<ArrayBuffer>;

/** What an event looks like on the socket; undefined for one that acts on the connection. */
export function toFrame(event: EngineEvent, requestId: string): Frame | undefined {
  switch (event.type) {
    case "text":
      return frame("chat.token", requestId, { content: event.text });
    case "thinking":
      return frame("chat.reasoning", requestId, { content: event.text });
    case "tool_call": {
      const { index, id, name } = event.call;
      const tool_call = { index, id, name, arguments: event.call.arguments };
      return frame("chat.tool_call", requestId, { tool_call });
    }
    case "done":
      return doneFrame(requestId, event.finishReason, event.usage);
    case "error":
      return errorFrame(requestId, event);
    case "raw":
      return event.data;
    case "drop":
    case "close":
    case "silence":
      return undefined;
  }
}

/** `content` only for a request with `"stream": false`, whose tool calls are dropped as LMX does. */
export function doneFrame(
  requestId: string,
  finishReason: string,
  usage: EngineUsage | null,
  content?: string | null,
): string {
  return frame("chat.done", requestId, {
    finish_reason: finishReason,
    usage: usage && {
      prompt_tokens: usage.promptTokens,
      completion_tokens: usage.completionTokens,
    },
    content,
  });
}

/** The id is null for what concerns no request. */
export function errorFrame(
  requestId: string | null,
  error: Pick<Refusal, "message" | "retryAfterSeconds"> & { readonly code?: string | null },
): string {
  return frame("chat.error", requestId, {
    error: error.message,
    code: error.code ?? undefined,
    retry_after: error.retryAfterSeconds,
  });
}

/** Keeps a client that gives up on a silent socket waiting while the model reads the prompt. */
export function progressFrame(requestId: string): string {
  return frame("chat.progress", requestId, { phase: "prefill" });
}

function frame(type: string, requestId: string | null, fields: Record<string, unknown>): string {
  return JSON.stringify({ type, request_id: requestId, ...fields });
}
