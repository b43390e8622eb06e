// One frame of an answer, from LMX's flat WebSocket objects, from OpenAI chunks (SSE, and some builds'
// WebSocket), or from either with half its keys missing: contracts/lmx.md section 1, rows 1 to 4 and 22.
// By hand and without a schema, because it runs once per token. Pure; what the frames add up to is
// answer.ts's business.
import type { Usage } from "../provider.ts";
import { faultFromValue, isRecord, type Fault } from "./http-errors.ts";

/** A piece of a tool call. What is null or empty was not sent. */
export interface ToolCallFragment {
  readonly index: number | null;
  readonly id: string;
  readonly name: string;
  /** JSON text, whole or a fragment. */
  readonly arguments: string;
}

export interface PromptProgress {
  readonly processed: number;
  readonly total: number;
  /** Tokens of `processed` that the server had read before. */
  readonly cached: number;
}

export interface Frame {
  /** LMX's id; null on protocol notes; undefined where the shape has none. */
  readonly requestId?: string | null | undefined;
  readonly text?: string;
  readonly thinking?: string;
  readonly toolCalls?: readonly ToolCallFragment[];
  /** As the server spelt it. */
  readonly finishReason?: string;
  readonly usage?: Usage;
  /** How far the server has read the prompt, in tokens (llama-server's return_progress). */
  readonly promptProgress?: PromptProgress;
  /** The answer is over; nothing may follow. */
  readonly done?: true;
  readonly fault?: Fault;
  /** No JSON object: skipped between others, but an answer of nothing else is none. */
  readonly unreadable?: true;
}

const nothing: Frame = {};
const unreadable: Frame = { unreadable: true };

/** Decodes one WebSocket text frame. What cannot be understood is an empty frame, to be ignored. */
export function decodeSocketFrame(data: string): Frame {
  const value = parse(data);
  if (value === undefined) return nothing;
  switch (value.type) {
    case "chat.token":
      return { requestId: idOf(value), text: string(value.content) };
    case "chat.reasoning":
      return { requestId: idOf(value), thinking: string(value.content) || string(value.reasoning) };
    case "chat.tool_call":
      return { requestId: idOf(value), toolCalls: fragments([value.tool_call ?? value]) };
    case "chat.done":
    case "chat.complete":
    case "chat.completed":
    case "done":
      return { requestId: idOf(value), done: true, ...finishOf(value), ...usageOf(value.usage) };
    case "chat.error":
    case "error":
      return { requestId: idOf(value), fault: faultFromValue(value) };
    default:
      return decodeAlternate(value);
  }
}

/** The ecosystem document's shapes: {chunk:{delta}}, {choices:[{delta}]}, {delta:{…}}, {error:…}. */
function decodeAlternate(value: Record<string, unknown>): Frame {
  const chunk = isRecord(value.chunk) ? value.chunk : value;
  const isFault = value.type === undefined && hasError(chunk);
  if (!isFault && !isRecord(chunk.delta) && !Array.isArray(chunk.choices)) return nothing;
  const frame = chunkFrame(chunk);
  const ends = frame.finishReason === undefined ? {} : { done: true as const };
  return { requestId: idOf(value), ...frame, ...ends };
}

/** Decodes the data of one server-sent event of POST /v1/chat/completions. */
export function decodeSseData(data: string): Frame {
  if (data === "[DONE]" || data.trim() === "[DONE]") return { done: true };
  const value = parse(data);
  return value === undefined ? unreadable : chunkFrame(value);
}

function chunkFrame(chunk: Record<string, unknown>): Frame {
  if (hasError(chunk)) return { fault: faultFromValue(chunk) };
  const choice = Array.isArray(chunk.choices) ? (chunk.choices[0] as unknown) : chunk;
  if (!isRecord(choice)) return { ...usageOf(chunk.usage), ...progressOf(chunk.prompt_progress) };
  const delta = isRecord(choice.delta)
    ? choice.delta
    : isRecord(choice.message)
      ? choice.message
      : {};
  const text = string(delta.content);
  const thinking = string(delta.reasoning_content) || string(delta.reasoning);
  const toolCalls = Array.isArray(delta.tool_calls) ? fragments(delta.tool_calls) : [];
  return {
    ...(text === "" ? {} : { text }),
    ...(thinking === "" ? {} : { thinking }),
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
    ...finishOf(choice),
    ...usageOf(chunk.usage),
    ...progressOf(chunk.prompt_progress),
  };
}

function progressOf(value: unknown): { promptProgress?: PromptProgress } {
  if (!isRecord(value)) return {};
  const { processed, total, cache } = value;
  return count(total) === 0
    ? {}
    : {
        promptProgress: { processed: count(processed), total: count(total), cached: count(cache) },
      };
}

/** What mlx_lm.server writes as a comment while it reads the prompt: "keepalive 4096/12400". */
export function progressOfComment(text: string): PromptProgress | undefined {
  const match = /^keepalive (\d+)\/(\d+)$/.exec(text);
  return match === null
    ? undefined
    : { processed: Number(match[1]), total: Number(match[2]), cached: 0 };
}

function hasError(chunk: Record<string, unknown>): boolean {
  return chunk.error !== undefined && chunk.error !== null;
}

function fragments(calls: readonly unknown[]): readonly ToolCallFragment[] {
  return calls.filter(isRecord).map((call) => {
    const body = isRecord(call.function) ? call.function : call;
    return {
      index: typeof call.index === "number" ? call.index : null,
      id: string(call.id),
      name: string(body.name),
      arguments: argumentsText(body.arguments ?? body.args),
    };
  });
}

/** Some servers send the arguments as an object (row 3). */
function argumentsText(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value);
}

function finishOf(value: Record<string, unknown>): { finishReason?: string } {
  const reason = value.finish_reason;
  return typeof reason === "string" && reason !== "" ? { finishReason: reason } : {};
}

function usageOf(value: unknown): { usage?: Usage } {
  if (!isRecord(value)) return {};
  return {
    usage: {
      promptTokens: count(value.prompt_tokens),
      completionTokens: count(value.completion_tokens),
    },
  };
}

function idOf(value: Record<string, unknown>): string | null | undefined {
  const id = value.request_id;
  if (id === null) return null;
  return typeof id === "string" && id !== "" ? id : undefined;
}

function parse(data: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(data);
    return isRecord(value) ? value : undefined;
  } catch {
    // Row 1: garbage between frames is not an answer and not an error.
    return undefined;
  }
}

function string(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function count(value: unknown): number {
  return typeof value === "number" && value >= 0 ? value : 0;
}
