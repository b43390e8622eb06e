// A chat request as bytes. Everything that stays the same comes first and `messages` last, so that request
// N of a session is, but for its closing brackets, a byte prefix of request N+1 and the server reuses its
// prompt cache. Validates before sending: LMX answers a malformed request with silence (contracts/lmx.md row 26).
import { OptaError } from "../../protocol/error.ts";
import { messageSchema, type Message } from "../../protocol/message.ts";
import { reasoningPolicy, type ReasoningPolicy } from "../model-family.ts";
import type { ChatRequest } from "../provider.ts";

export type Transport = "websocket" | "sse";

/** What is the same for every request to one model of one server. */
export interface RequestEncoding {
  readonly settings: {
    /**
     * "resend": every assistant message carries its reasoning, the old ones too, so that a request stays a
     * prefix of the next. Absent: as the model's family wants it.
     */
    readonly reasoning?: ReasoningPolicy | undefined;
  };
}

/**
 * The JSON text of a request. `stream` is always true and `max_tokens` always sent (rows 8 and 26).
 * @throws OptaError internal, naming the message that cannot be sent
 */
export function encodeChatRequest(
  request: ChatRequest,
  transport: Transport,
  { settings }: RequestEncoding = { settings: {} },
): string {
  const reasoning = settings.reasoning ?? reasoningPolicy(request.model);
  const isSocket = transport === "websocket";
  return JSON.stringify({
    ...(isSocket ? { type: "chat.request" } : {}),
    model: request.model,
    stream: true,
    ...(isSocket ? {} : { stream_options: { include_usage: true } }),
    max_tokens: request.maxTokens,
    ...(request.tools.length === 0 ? {} : { tools: request.tools }),
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
