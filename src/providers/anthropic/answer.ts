// One answer of the Messages API while it arrives: text and thinking go on at once and byte for byte, tool calls
// when the stream proved complete. Remembers the order of the blocks, which signed thinking needs when it is
// sent again. Knows no connection. Facts: platform.claude.com/docs, "Streaming messages", "Stop reasons".
import { isJson } from "../../base/is-json.ts";
import type { RawMessageStreamEvent } from "@anthropic-ai/sdk/resources/messages/messages";
import type { ErrorCode } from "../../protocol/error.ts";
import type { ProviderEvent, ProviderToolCall, Usage } from "../provider.ts";
import type { KeptAnswer, KeptBlock } from "./messages.ts";

export interface MessagesAnswer {
  /** What the event gives the reader at once. Unknown events and deltas give nothing. */
  take(event: RawMessageStreamEvent): readonly ProviderEvent[];
  /** True once anything reached the reader or a tool call began: from here nothing is asked again. */
  hasBegun(): boolean;
  /** True once the server said why it stopped. */
  isComplete(): boolean;
  /** How far it came: "after 120 characters", for messages. */
  extent(): string;
  /** For a complete answer: its tool calls and `done`, or the error that it is. */
  conclude(): readonly ProviderEvent[];
}

type Block =
  | { readonly type: "text"; chars: number }
  | { readonly type: "thinking"; thinking: string; signature: string }
  | { readonly type: "redacted_thinking"; readonly data: string }
  | {
      readonly type: "tool_use";
      readonly id: string;
      readonly name: string;
      readonly input: unknown;
      json: string;
    };

/** LMX's own /v1/messages says "length" (contracts/lmx.md section 2). */
const cutReasons = new Set(["max_tokens", "model_context_window_exceeded", "length"]);

/** @param model for messages */
export function createMessagesAnswer(model: string): MessagesAnswer {
  const blocks = new Map<number, Block>();
  let textChars = 0;
  let begun = false;
  let stopReason: string | undefined;
  let refusal: string | undefined;
  const counted = { input: 0, cacheWrite: 0, cacheRead: 0, output: 0, any: false };

  const passText = (block: Extract<Block, { type: "text" }>, text: string): ProviderEvent[] => {
    if (text === "") return [];
    begun = true;
    block.chars += text.length;
    textChars += text.length;
    return [{ type: "text", text }];
  };
  const passThinking = (
    block: Extract<Block, { type: "thinking" }>,
    text: string,
  ): ProviderEvent[] => {
    if (text === "") return [];
    begun = true;
    block.thinking += text;
    return [{ type: "thinking", text }];
  };
  const count = (usage: WireUsage | null | undefined) => {
    if (usage === null || usage === undefined) return;
    counted.any = true;
    counted.input = usage.input_tokens ?? counted.input;
    counted.cacheWrite = usage.cache_creation_input_tokens ?? counted.cacheWrite;
    counted.cacheRead = usage.cache_read_input_tokens ?? counted.cacheRead;
    counted.output = usage.output_tokens ?? counted.output;
  };

  const begin = (
    event: Extract<RawMessageStreamEvent, { type: "content_block_start" }>,
  ): ProviderEvent[] => {
    const { content_block: start, index } = event;
    switch (start.type) {
      case "text": {
        const block: Block = { type: "text", chars: 0 };
        blocks.set(index, block);
        return passText(block, start.text);
      }
      case "thinking": {
        const block: Block = { type: "thinking", thinking: "", signature: start.signature };
        blocks.set(index, block);
        return passThinking(block, start.thinking);
      }
      case "redacted_thinking":
        blocks.set(index, { type: "redacted_thinking", data: start.data });
        return [];
      case "tool_use": {
        const { id, name, input } = start;
        begun = true;
        blocks.set(index, { type: "tool_use", id, name, input, json: "" });
        return [];
      }
      default:
        // Blocks of the server's own tools, which are never asked for.
        return [];
    }
  };

  const go = ({
    delta,
    index,
  }: Extract<RawMessageStreamEvent, { type: "content_block_delta" }>): ProviderEvent[] => {
    const block = blocks.get(index);
    if (delta.type === "text_delta" && block?.type === "text") return passText(block, delta.text);
    if (block?.type === "thinking") {
      if (delta.type === "thinking_delta") return passThinking(block, delta.thinking);
      if (delta.type === "signature_delta") block.signature += delta.signature;
    }
    if (delta.type === "input_json_delta" && block?.type === "tool_use")
      block.json += delta.partial_json;
    return [];
  };

  const usage = (): Usage | null => {
    if (!counted.any) return null;
    const promptTokens = counted.input + counted.cacheWrite + counted.cacheRead;
    return { promptTokens, completionTokens: counted.output };
  };

  /** Only for answers that thought: everything else is in the message already. */
  const keep = (): { readonly keep?: { readonly anthropic: KeptAnswer } } => {
    const kept = inOrder(blocks).flatMap(toKept);
    const thought = kept.some(({ type }) => type === "thinking" || type === "redacted_thinking");
    return thought ? { keep: { anthropic: { model, blocks: kept } } } : {};
  };

  return {
    take(event) {
      switch (event.type) {
        case "message_start":
          count(event.message.usage);
          return [];
        case "content_block_start":
          return begin(event);
        case "content_block_delta":
          return go(event);
        case "message_delta":
          count(event.usage);
          stopReason = event.delta.stop_reason ?? stopReason;
          refusal = event.delta.stop_details?.explanation ?? refusal;
          return [];
        default:
          return [];
      }
    },
    hasBegun: () => begun,
    isComplete: () => stopReason !== undefined,
    extent() {
      const hasCall = [...blocks.values()].some(({ type }) => type === "tool_use");
      if (textChars > 0)
        return `after ${textChars} characters${hasCall ? " and the beginning of a tool call" : ""}`;
      return hasCall ? "after the beginning of a tool call" : "before any text";
    },
    conclude() {
      if (stopReason === "refusal") {
        const why = refusal === undefined ? "" : `: ${refusal}`;
        return [
          failed(
            "model-server-failed",
            `${model} declined to answer${why}`,
            'opta do --continue "…" with other words',
          ),
        ];
      }
      const isCut = cutReasons.has(stopReason ?? "");
      const gathered = inOrder(blocks).flatMap(toCall);
      // The last call of a cut answer may be half a call: only what parses is whole.
      const calls = isCut ? gathered.filter((call) => isJson(call.arguments)) : gathered;
      return [
        ...calls.map((call) => ({ type: "tool_call", call }) as const),
        {
          type: "done",
          finishReason: isCut ? "length" : calls.length > 0 ? "tool_calls" : "stop",
          usage: usage(),
          ...keep(),
        },
      ];
    },
  };
}

interface WireUsage {
  readonly input_tokens?: number | null;
  readonly cache_creation_input_tokens?: number | null;
  readonly cache_read_input_tokens?: number | null;
  readonly output_tokens?: number | null;
}

function inOrder(blocks: ReadonlyMap<number, Block>): readonly Block[] {
  return [...blocks].toSorted(([a], [b]) => a - b).map(([, block]) => block);
}

function toKept(block: Block): KeptBlock[] {
  switch (block.type) {
    case "thinking":
      // Unsigned it would be refused.
      return block.signature === "" ? [] : [{ ...block }];
    case "redacted_thinking":
    case "text":
      return [{ ...block }];
    case "tool_use":
      return [{ type: "tool_use" }];
  }
}

function toCall(block: Block): ProviderToolCall[] {
  if (block.type !== "tool_use") return [];
  const { id, name, input, json } = block;
  return [{ id, name, arguments: json.trim() === "" ? JSON.stringify(input ?? {}) : json }];
}

function failed(code: ErrorCode, message: string, hint: string): ProviderEvent {
  return { type: "error", code, message, hint };
}
