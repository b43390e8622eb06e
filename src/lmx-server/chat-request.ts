// The shape of a chat request, the same over the socket and over HTTP (contracts/lmx.md sections 1 and 2).
// Whether its messages make a conversation that this server can answer is judged in check-request.ts.
import * as z from "zod";

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
    parameters: z.looseObject({}).optional(),
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

/** Tokens of the messages' text as LMX estimates them: characters / 4. */
export function estimateTokens(messages: readonly ChatMessage[]): number {
  return charactersToTokens(messages.map(chatMessageText).join(""));
}

/** A message's text; images are left out. */
export function chatMessageText(message: ChatMessage): string {
  if (typeof message.content === "string") return message.content;
  return (message.content ?? []).map((part) => (part.type === "text" ? part.text : "")).join("");
}

/** As LMX estimates them. */
export function charactersToTokens(text: string): number {
  return Math.ceil(text.length / 4);
}
