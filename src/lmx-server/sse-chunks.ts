// Engine events as server-sent `chat.completion.chunk` events (contracts/lmx.md section 2): every key is
// always there, null when it says nothing. Pure: the response that carries them is elsewhere.
import type { EngineEvent, EngineToolCall, EngineUsage } from "./engine.ts";
import { errorBody } from "./http-error.ts";

/** What all chunks of one answer share. */
export interface ChunkHead {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
  /** Whether the client asked for usage (stream_options.include_usage). */
  readonly withUsage: boolean;
}

const doneMarker = "data: [DONE]\n\n";

/** The first chunk: the role and an empty content. */
export function roleChunk(head: ChunkHead): string {
  return chunk(head, { role: "assistant", content: "" });
}

/** What an event looks like in the body; empty for one that acts on the connection. */
export function toChunks(event: EngineEvent, head: ChunkHead): string | Uint8Array<ArrayBuffer> {
  switch (event.type) {
    case "text":
      return chunk(head, { content: event.text });
    case "thinking":
      return chunk(head, { [event.field]: event.text });
    case "tool_call":
      return chunk(head, { tool_calls: [toToolCallDelta(event.call)] });
    case "done":
      return doneChunks(event, head);
    case "error":
      if (!event.disguised) return data(errorBody({ status: 500, ...event }));
      return (
        chunk(head, { content: `\n\n[Error: ${event.message}]` }) +
        chunk(head, {}, { finish_reason: "stop" }) +
        doneMarker
      );
    case "raw":
      return event.data;
    case "drop":
    case "close":
    case "silence":
      return "";
  }
}

/** Also the shape of a call in a whole answer. A piece that continues a call has neither id nor type. */
export function toToolCallDelta({ index, id, name, arguments: args }: EngineToolCall) {
  const type = name === undefined ? undefined : "function";
  return { index, id, type, function: { name, arguments: args } };
}

export function toUsage(usage: EngineUsage | null) {
  return (
    usage && {
      prompt_tokens: usage.promptTokens,
      completion_tokens: usage.completionTokens,
      total_tokens: usage.promptTokens + usage.completionTokens,
    }
  );
}

function doneChunks(event: EngineEvent & { readonly type: "done" }, head: ChunkHead): string {
  const usage = head.withUsage ? toUsage(event.usage) : null;
  const inLast = event.usageIn === "last-chunk";
  const finish = { finish_reason: event.finishReason, usage: inLast ? usage : null };
  const last = chunk(head, {}, finish);
  const own = usage && !inLast ? data({ ...envelope(head), choices: [], usage }) : "";
  return last + own + (event.endMarker ? doneMarker : "");
}

interface ChunkEnd {
  readonly finish_reason?: string;
  readonly usage?: ReturnType<typeof toUsage>;
}

function chunk(head: ChunkHead, delta: Record<string, unknown>, end: ChunkEnd = {}): string {
  const choice = {
    index: 0,
    delta: { role: null, content: null, tool_calls: null, ...delta },
    finish_reason: end.finish_reason ?? null,
  };
  return data({ ...envelope(head), choices: [choice], usage: end.usage ?? null });
}

function envelope({ id, created, model }: ChunkHead) {
  return { id, object: "chat.completion.chunk", created, model };
}

function data(body: unknown): string {
  return `data: ${JSON.stringify(body)}\n\n`;
}
