// A model request as the body of POST /v1/messages. What never changes comes first and `messages` last, so that
// request N of a session is, but for its closing brackets, a byte prefix of request N+1. Cache breakpoints are
// one on the system prompt (which covers the tools, they are read first) and the automatic one of the API, which
// moves with the conversation without a mark inside of it (platform.claude.com/docs, "Prompt caching").
import type {
  MessageCreateParamsStreaming,
  TextBlockParam,
  Tool,
} from "@anthropic-ai/sdk/resources/messages/messages";
import { messageText } from "../../protocol/message-text.ts";
import type { ChatRequest, ToolSchema } from "../provider.ts";
import { toMessageParams } from "./messages.ts";

/** What the server says its model can do; false where it does not say. */
export interface ModelTraits {
  readonly thinksAdaptively: boolean;
  readonly takesEffort: boolean;
}

const cached = { cache_control: { type: "ephemeral" } } as const;

export function toMessagesBody(
  request: ChatRequest,
  traits: ModelTraits,
): MessageCreateParamsStreaming {
  const system = request.messages.filter(({ role }) => role === "system").map(messageText);
  const hasSystem = system.some((text) => text.trim() !== "");
  const tools = request.tools.map(toTool);
  return {
    model: request.model,
    max_tokens: request.maxTokens,
    stream: true,
    ...cached,
    ...(traits.thinksAdaptively ? { thinking: { type: "adaptive", display: "summarized" } } : {}),
    // Thinking counts towards max_tokens, which is an answer's size here: at the usual "high" it could eat it all.
    ...(traits.takesEffort ? { output_config: { effort: "medium" } } : {}),
    ...(tools.length === 0 ? {} : { tools: hasSystem ? tools : markLast(tools) }),
    ...(hasSystem ? { system: markLast(system.flatMap(toSystemBlocks)) } : {}),
    messages: toMessageParams(request.messages, request.model),
  };
}

function toTool({ function: { name, description, parameters } }: ToolSchema): Tool {
  return { name, description, input_schema: { ...parameters, type: "object" } };
}

function toSystemBlocks(text: string): TextBlockParam[] {
  return text.trim() === "" ? [] : [{ type: "text", text }];
}

function markLast<T extends object>(items: readonly T[]): T[] {
  return items.map((item, index) => (index === items.length - 1 ? { ...item, ...cached } : item));
}
