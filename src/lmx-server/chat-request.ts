// What a chat request must look like, the same over the socket and over HTTP (contracts/lmx.md sections 1
// and 2). Real LMX hangs or guesses on a malformed conversation; this server refuses it, in words that say where.
import { z } from "zod";
import type { LmxModels, Refusal } from "./engine.ts";

const partSchema = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text"), text: z.string() }),
  z.looseObject({ type: z.literal("image_url"), image_url: z.looseObject({ url: z.string() }) }),
]);
const contentSchema = z.union([z.string(), z.array(partSchema)], {
  error: "content is a string or a list of parts",
});
const toolCallSchema = z.looseObject({
  id: z.string().min(1),
  type: z.literal("function"),
  function: z.looseObject({
    name: z.string().min(1),
    arguments: z.string("arguments must be a JSON string"),
  }),
});

const chatMessageSchema = z.discriminatedUnion("role", [
  z.looseObject({ role: z.literal("system"), content: contentSchema }),
  z.looseObject({ role: z.literal("user"), content: contentSchema }),
  z.looseObject({
    role: z.literal("assistant"),
    content: contentSchema.nullable(),
    tool_calls: z.array(toolCallSchema).nullish(),
  }),
  z.looseObject({
    role: z.literal("tool"),
    content: contentSchema,
    tool_call_id: z.string().min(1),
  }),
]);

const toolSchema = z.looseObject({
  type: z.literal("function"),
  function: z.looseObject({
    name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "a tool name has 1 to 64 of A-Z a-z 0-9 _ -"),
    description: z.string().optional(),
    parameters: z.looseObject({ type: z.literal("object") }),
  }),
});

export const chatRequestSchema = z.looseObject({
  model: z.string().min(1),
  messages: z.array(chatMessageSchema).min(1),
  stream: z.boolean().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  max_tokens: z.number().int().min(1).nullish(),
  stop: z.union([z.string(), z.array(z.string())]).nullish(),
  tools: z.array(toolSchema).nullish(),
  tool_choice: z.union([z.string(), z.looseObject({})]).nullish(),
  response_format: z.looseObject({ type: z.string() }).nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  n: z.number().int().min(1).max(16).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  num_ctx: z.number().int().min(512).max(131_072).nullish(),
});

export type ChatRequestBody = z.infer<typeof chatRequestSchema>;
export type ChatMessage = z.infer<typeof chatMessageSchema>;

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

/** Tokens of the messages' text as LMX estimates them: characters / 4. */
export function estimateTokens(messages: readonly ChatMessage[]): number {
  return charactersToTokens(messages.map(chatMessageText).join(""));
}

/** A message's text; images are left out. */
export function chatMessageText(message: ChatMessage): string {
  if (typeof message.content === "string") return message.content;
  return (message.content ?? []).map((part) => (part.type === "text" ? part.text : "")).join("");
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

function charactersToTokens(text: string): number {
  return Math.ceil(text.length / 4);
}
