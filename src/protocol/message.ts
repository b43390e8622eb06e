// What is sent to a model and kept in a session file: the OpenAI chat shape, which LMX, the existing
// clients and every local server share (contracts/daemon-v3.md section 7). A message is appended once
// and never rewritten: request N of a session is a byte prefix of request N+1.
import * as z from "zod";

export const toolCallSchema = z.object({
  id: z.string(),
  type: z.literal("function"),
  function: z.object({
    name: z.string(),
    /** The arguments as the JSON text the model wrote; always a string on the wire (LMX row 26). */
    arguments: z.string(),
  }),
});

export const textPartSchema = z.object({ type: z.literal("text"), text: z.string() });
export const imagePartSchema = z.object({
  type: z.literal("image_url"),
  image_url: z.object({ url: z.string() }),
});
export const partSchema = z.discriminatedUnion("type", [textPartSchema, imagePartSchema]);

/** Loose: files written by other clients may carry keys of their own, which survive a rewrite. */
export const messageSchema = z.looseObject({
  role: z.enum(["system", "user", "assistant", "tool"]),
  content: z.union([z.string(), z.array(partSchema), z.null()]),
  tool_calls: z.array(toolCallSchema).optional(),
  tool_call_id: z.string().optional(),
});

export type ToolCall = z.infer<typeof toolCallSchema>;
export type Part = z.infer<typeof partSchema>;
export type Message = z.infer<typeof messageSchema>;
