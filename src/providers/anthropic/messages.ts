// A conversation in the words of the Messages API, as pure functions of each message and those before it, so
// that a longer conversation begins with the same bytes. Facts: platform.claude.com/docs, "Messages",
// "Tool use" and "Extended thinking".
import type {
  ContentBlockParam,
  ImageBlockParam,
  MessageParam,
  ToolUseBlockParam,
} from "@anthropic-ai/sdk/resources/messages/messages";
import * as z from "zod";
import type { Message, ToolCall } from "../../protocol/message.ts";
import { messageText } from "../../protocol/message-text.ts";

const keptBlockSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("thinking"), thinking: z.string(), signature: z.string() }),
  z.object({ type: z.literal("redacted_thinking"), data: z.string() }),
  /** So many characters of the message's text. */
  z.object({ type: z.literal("text"), chars: z.number().int().min(0) }),
  /** The next of the message's tool calls. */
  z.object({ type: z.literal("tool_use") }),
]);

/**
 * What an answer that thought leaves in its assistant message, under the key `anthropic`: signed thinking must
 * come back unchanged and in its place, or the model loses its thread in the middle of a tool loop.
 */
const keptAnswerSchema = z.object({ model: z.string(), blocks: z.array(keptBlockSchema) });

export type KeptBlock = z.infer<typeof keptBlockSchema>;
export type KeptAnswer = z.infer<typeof keptAnswerSchema>;

/** Stands where the API wants words and there are none. */
const noWords = "(no text)";

/** The messages without those of the system, in order; tool results that follow each other become one message. */
export function toMessageParams(messages: readonly Message[], model: string): MessageParam[] {
  const params: MessageParam[] = [];
  const ids = createIdMap();
  let results: ContentBlockParam[] | undefined;
  for (const message of messages) {
    if (message.role === "system") continue;
    if (message.role === "tool") {
      const result = toToolResult(message, ids);
      if (results === undefined) {
        results = [result];
        params.push({ role: "user", content: results });
      } else results.push(result);
      continue;
    }
    results = undefined;
    const content =
      message.role === "user" ? toUserBlocks(message) : toAssistantBlocks(message, model, ids);
    params.push({
      role: message.role,
      content: content.length === 0 ? [textBlock(noWords)] : content,
    });
  }
  return params;
}

function toUserBlocks({ content }: Message): ContentBlockParam[] {
  const parts =
    typeof content === "string" ? [{ type: "text" as const, text: content }] : (content ?? []);
  return parts.flatMap((part) =>
    part.type === "text" ? textBlocks(part.text) : [toImageBlock(part.image_url.url)],
  );
}

function toImageBlock(url: string): ImageBlockParam | ContentBlockParam {
  const data = /^data:(image\/(?:jpeg|png|gif|webp));base64,(.+)$/s.exec(url);
  if (data === null) return { type: "image", source: { type: "url", url } };
  const mediaType = data[1] as "image/jpeg" | "image/png" | "image/gif" | "image/webp";
  return { type: "image", source: { type: "base64", media_type: mediaType, data: data[2] ?? "" } };
}

function toToolResult(message: Message, ids: IdMap): ContentBlockParam {
  const text = messageText(message);
  return {
    type: "tool_result",
    tool_use_id: ids.resultOf(message.tool_call_id ?? ""),
    ...(text === "" ? {} : { content: text }),
  };
}

function toAssistantBlocks(message: Message, model: string, ids: IdMap): ContentBlockParam[] {
  const text = messageText(message);
  const calls = (message.tool_calls ?? []).map((call) => toToolUse(call, ids));
  const kept = readKept(message, model);
  return (
    inKeptOrder(kept, text, calls) ?? [
      ...kept.flatMap(thinkingBlocks),
      ...textBlocks(text),
      ...calls,
    ]
  );
}

/** The kept blocks; none when another model signed them, which would refuse or ignore them. */
function readKept(message: Message, model: string): readonly KeptBlock[] {
  const kept = keptAnswerSchema.safeParse(message["anthropic"]);
  return kept.success && kept.data.model === model ? kept.data.blocks : [];
}

/** The answer as it was written; undefined when text or calls are not those that were kept. */
function inKeptOrder(
  kept: readonly KeptBlock[],
  text: string,
  calls: readonly ToolUseBlockParam[],
): ContentBlockParam[] | undefined {
  const blocks: ContentBlockParam[] = [];
  let chars = 0;
  let used = 0;
  for (const block of kept) {
    if (block.type === "text") {
      blocks.push(...textBlocks(text.slice(chars, chars + block.chars)));
      chars += block.chars;
    } else if (block.type === "tool_use") {
      const call = calls[used++];
      if (call !== undefined) blocks.push(call);
    } else blocks.push(block);
  }
  return chars === text.length && used === calls.length ? blocks : undefined;
}

function thinkingBlocks(block: KeptBlock): ContentBlockParam[] {
  return block.type === "thinking" || block.type === "redacted_thinking" ? [block] : [];
}

function toToolUse(
  { id, function: { name, arguments: text } }: ToolCall,
  ids: IdMap,
): ToolUseBlockParam {
  return { type: "tool_use", id: ids.useOf(id), name, input: parseObject(text) };
}

/** The API refuses text without a visible character. */
function textBlocks(text: string): ContentBlockParam[] {
  return text.trim() === "" ? [] : [textBlock(text)];
}

function textBlock(text: string): ContentBlockParam {
  return { type: "text", text };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : {};
  } catch {
    // The engine told the model already that it could not be read.
    return {};
  }
}

interface IdMap {
  /** The id of a call; the same for the same conversation, different from all before it. */
  useOf(id: string): string;
  /** The id of the latest call that was written as `id`. */
  resultOf(id: string): string;
}

/** The API wants ids of A-Z a-z 0-9 _ - that never repeat; other servers write "functions.read_file:0" twice. */
function createIdMap(): IdMap {
  const taken = new Set<string>();
  const latest = new Map<string, string>();
  const clean = (id: string) => id.replace(/[^a-zA-Z0-9_-]/g, "_") || "call";
  return {
    useOf(id) {
      const wanted = clean(id);
      let wire = wanted;
      for (let count = 2; taken.has(wire); count += 1) wire = `${wanted}_${count}`;
      taken.add(wire);
      latest.set(id, wire);
      return wire;
    },
    resultOf: (id) => latest.get(id) ?? clean(id),
  };
}
