// Whether a chat request can be answered. Real LMX hangs or guesses on a malformed conversation; this server
// refuses it, in words that say where.
import * as z from "zod";
import { charactersToTokens, chatRequestSchema, estimateTokens } from "./chat-request.ts";
import type { ChatMessage, ChatRequestBody } from "./chat-request.ts";
import type { LmxModels, Refusal } from "./engine.ts";

/** Names that mean "whichever is loaded" (contracts/lmx.md section 1). */
const modelAliases = new Set(["auto", "code", "reasoning", "chat"]);

/**
 * The request, or why it is refused: 400 invalid_request (shape, order of messages), 404 model_not_found,
 * 400 context_length_exceeded (a prompt that cannot fit is refused, where real LMX trims it silently).
 */
export function checkChatRequest(
  body: unknown,
  models: LmxModels,
): { readonly request: ChatRequestBody } | { readonly refused: Refusal } {
  const parsed = chatRequestSchema.safeParse(body);
  if (!parsed.success) return refuse(400, "invalid_request", describeIssue(parsed.error));
  const request = parsed.data;
  const fault = findOrderFault(request.messages) ?? findDoubleTool(request);
  if (fault !== undefined) return refuse(400, "invalid_request", fault);

  const loaded = models.loaded();
  const model = modelAliases.has(request.model)
    ? loaded[0]
    : loaded.find((candidate) => candidate.id === request.model);
  if (!model) return refuse(404, "model_not_found", `Model '${request.model}' is not loaded`);

  const promptTokens = estimateTokens(request.messages) + charactersToTokens(toolText(request));
  if (model.contextLength !== null && promptTokens >= model.contextLength) {
    const message = `the prompt has about ${promptTokens} tokens, the model's context ${model.contextLength}`;
    return refuse(400, "context_length_exceeded", message);
  }
  return { request };
}

function refuse(status: number, code: string, message: string): { readonly refused: Refusal } {
  return { refused: { status, code, message } };
}

function describeIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (!issue) return "malformed request";
  const path = z.core.toDotPath(issue.path);
  return path === "" ? issue.message : `${path}: ${issue.message}`;
}

/** The first place where the conversation is not one that a chat template can render. */
function findOrderFault(messages: readonly ChatMessage[]): string | undefined {
  let awaited = new Set<string>();
  for (const [index, message] of messages.entries()) {
    const at = `messages[${index}]`;
    if (message.role === "tool") {
      if (!awaited.delete(message.tool_call_id))
        return `${at}: result of '${message.tool_call_id}', which no preceding assistant message asked for`;
      continue;
    }
    if (awaited.size > 0) return `${at}: tool call '${firstOf(awaited)}' has no result before it`;
    if (message.role === "system" && index > 0)
      return `${at}: a system message may only be the first`;
    if (message.role !== "assistant") continue;
    const calls = message.tool_calls ?? [];
    if (message.content === null && calls.length === 0)
      return `${at}: neither content nor tool calls`;
    awaited = new Set(calls.map((call) => call.id));
    if (awaited.size < calls.length) return `${at}: two tool calls have the same id`;
  }
  if (awaited.size > 0) return `tool call '${firstOf(awaited)}' has no result`;
  const last = messages.at(-1)?.role;
  return last === "user" || last === "tool"
    ? undefined
    : `the last message is from '${last}', not from 'user' or 'tool'`;
}

function findDoubleTool(request: ChatRequestBody): string | undefined {
  const names = (request.tools ?? []).map((tool) => tool.function.name);
  const double = names.find((name, index) => names.indexOf(name) !== index);
  return double === undefined ? undefined : `tools: '${double}' is offered twice`;
}

function firstOf(ids: ReadonlySet<string>): string {
  return [...ids][0] ?? "";
}

function toolText(request: ChatRequestBody): string {
  return request.tools?.length ? JSON.stringify(request.tools) : "";
}
