// How many tokens a text is, without the model's tokenizer: a pure estimate that rather counts too many. What a
// server really counts corrects it per session (context-record.ts). It knows no window and no budget.
import type { Message } from "../protocol/message.ts";
import type { ToolSchema } from "../providers/provider.ts";

/** contracts/lmx.md row 23 says characters; bytes are the same for code, and right for scripts that cost a token each. */
export const bytesPerToken = 3.2;
/** Role and separators, which every chat template adds. */
const messageFrameTokens = 4;
/** What a picture of ordinary size costs most vision models; its base64 text says nothing about that. */
const imageTokens = 1_500;

export function estimateTextTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / bytesPerToken);
}

/** One message as it is sent. Reasoning is left out: most models never get it back, and of others the server's count tells. */
export function estimateMessageTokens(message: Message): number {
  let tokens = messageFrameTokens;
  if (typeof message.content === "string") tokens += estimateTextTokens(message.content);
  else {
    for (const part of message.content ?? []) {
      tokens += part.type === "text" ? estimateTextTokens(part.text) : imageTokens;
    }
  }
  for (const { function: call } of message.tool_calls ?? []) {
    tokens += messageFrameTokens + estimateTextTokens(call.name + call.arguments);
  }
  return tokens;
}

export function estimateMessagesTokens(messages: readonly Message[]): number {
  return messages.reduce((sum, message) => sum + estimateMessageTokens(message), 0);
}

/** The tools as chat templates print them: as JSON. */
export function estimateToolsTokens(tools: readonly ToolSchema[]): number {
  return tools.length === 0 ? 0 : estimateTextTokens(JSON.stringify(tools));
}
