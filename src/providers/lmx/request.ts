// A chat request as bytes. Everything that stays the same comes first and `messages` last, so that request
// N of a session is, but for its closing brackets, a byte prefix of request N+1 and the server reuses its
// prompt cache. Validates before sending: LMX answers a malformed request with silence (contracts/lmx.md row 26).
import { OptaError } from "../../protocol/error.ts";
import { messageSchema, type Message } from "../../protocol/message.ts";
import { reasoningPolicy, type ReasoningPolicy } from "../model-family.ts";
import type { ModelSettings } from "../model-settings.ts";
import { cleanToolSchemas } from "../openai/clean-schema.ts";
import { requestStyleOf, type RequestStyle } from "../openai/request-style.ts";
import type { ChatRequest } from "../provider.ts";

export type Transport = "websocket" | "sse";

/** What is the same for every request to one model of one server. */
export interface RequestEncoding {
  readonly style: RequestStyle;
  readonly settings: ModelSettings;
}

const plainEncoding: RequestEncoding = { style: requestStyleOf("lmx"), settings: {} };

/**
 * The JSON text of a request. `stream` is always true and `max_tokens` always sent (rows 8 and 26).
 * @throws OptaError internal, naming the message that cannot be sent
 */
export function encodeChatRequest(
  request: ChatRequest,
  transport: Transport,
  { style, settings }: RequestEncoding = plainEncoding,
): string {
  const reasoning = settings.reasoning ?? reasoningPolicy(request.model);
  const isSocket = transport === "websocket";
  const tools = style.plainSchemas ? cleanToolSchemas(request.tools) : request.tools;
  const { temperature } = settings;
  return JSON.stringify({
    ...(isSocket ? { type: "chat.request" } : {}),
    model: request.model,
    stream: true,
    ...(isSocket || !style.usageInStream ? {} : { stream_options: { include_usage: true } }),
    ...(style.promptProgress ? { return_progress: true } : {}),
    max_tokens: request.maxTokens,
    ...(temperature === undefined ? {} : { temperature }),
    ...(tools.length === 0 ? {} : { tools }),
    messages: request.messages.map((message, index) => toWireMessage(message, index, reasoning)),
  });
}

/** Only the keys of the wire: session files may carry others. */
function toWireMessage(message: Message, index: number, policy: ReasoningPolicy) {
  const parsed = messageSchema.safeParse({ ...message, content: message.content ?? null });
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const place = ["messages", index, ...(issue?.path ?? [])].join(".");
    throw new OptaError(
      "internal",
      `the request cannot be sent: ${place}: ${issue?.message ?? "invalid"}`,
    );
  }
  const { role, content, tool_calls: calls, tool_call_id: callId } = parsed.data;
  const { reasoning } = parsed.data;
  const isResent = policy === "resend" && role === "assistant" && typeof reasoning === "string";
  return {
    role,
    content,
    // Trimmed, because templates put their own line ends around it.
    ...(isResent && reasoning.trim() !== "" ? { reasoning_content: reasoning.trim() } : {}),
    ...(calls === undefined || calls.length === 0 ? {} : { tool_calls: calls }),
    ...(callId === undefined ? {} : { tool_call_id: callId }),
  };
}
