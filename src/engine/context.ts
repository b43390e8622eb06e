// How the model's window is shared out: so much for an answer, the rest for the prompt, and what the prompt's
// parts cost. Figures only; making room is make-room.ts.
import type { Message } from "../protocol/message.ts";
import { messageText } from "../protocol/message-text.ts";
import type { ResolvedModel, ToolSchema } from "../providers/provider.ts";
import { splitHistory } from "./compaction.ts";
import { readContextRecord } from "./context-record.ts";
import { systemPrompt } from "./system-prompt.ts";
import {
  estimateMessagesTokens,
  estimateMessageTokens,
  estimateTextTokens,
  estimateToolsTokens,
} from "./token-estimate.ts";
import type { TurnContext } from "./turn-context.ts";

/** Tokens an answer may take where the window allows it: enough for a large edit, small next to 32k. */
const answerTokens = 8192;

/**
 * max_tokens of a request: a quarter of the window at most, so that small windows keep room for the prompt.
 * @param contextLength tokens; null when the server does not say
 */
export function outputReserveTokens(contextLength: number | null): number {
  if (contextLength === null) return answerTokens;
  return Math.max(256, Math.min(answerTokens, Math.floor(contextLength / 4)));
}

/** Tokens a prompt may take; undefined for a window nobody knows, which is then left to the server. */
export function promptBudgetTokens(contextLength: number | null): number | undefined {
  return contextLength === null ? undefined : contextLength - outputReserveTokens(contextLength);
}

/** What a request costs, in tokens as the session's server counts them. */
export interface PromptCost {
  readonly systemPrompt: number;
  /** The project's own instructions, which stand in the same message. */
  readonly instructions: number;
  readonly tools: number;
  /** Everything said and done so far. */
  readonly history: number;
  readonly total: number;
}

/** @param ratio the server's count over our estimate (context-record.ts) */
export function promptCost(
  prompt: { readonly messages: readonly Message[]; readonly tools: readonly ToolSchema[] },
  ratio: number,
): PromptCost {
  const [first] = prompt.messages;
  const systemTokens = first?.role === "system" ? estimateMessageTokens(first) : 0;
  const instructionsTokens =
    first?.role === "system" ? estimateTextTokens(instructionsIn(messageText(first))) : 0;
  const scale = (tokens: number) => Math.ceil(tokens * ratio);
  const parts = {
    systemPrompt: scale(systemTokens - instructionsTokens),
    instructions: scale(instructionsTokens),
    tools: scale(estimateToolsTokens(prompt.tools)),
    history: scale(estimateMessagesTokens(prompt.messages.slice(systemTokens === 0 ? 0 : 1))),
  };
  const total = parts.systemPrompt + parts.instructions + parts.tools + parts.history;
  return { ...parts, total };
}

/** A window's measures for one session, in tokens as its server counts them. */
export interface WindowMeasures {
  /** What a prompt may take. */
  readonly budget: number;
  /** The server's count over our estimate. */
  readonly ratio: number;
  /** What is left for history beside system prompt, tools and the user's last message; may be negative. */
  readonly room: number;
  cost(messages: readonly Message[]): number;
}

/** Undefined for a window nobody knows. */
export function measureWindow(
  { session, toolSchemas: tools }: Pick<TurnContext, "session" | "toolSchemas">,
  { contextLength }: Pick<ResolvedModel, "contextLength">,
): WindowMeasures | undefined {
  const budget = promptBudgetTokens(contextLength);
  if (budget === undefined) return undefined;
  const { ratio } = readContextRecord(session.file);
  const parts = splitHistory(session.file.messages, () => true);
  const fixed = parts === undefined ? [] : [...parts.system, parts.user];
  return {
    budget,
    ratio,
    room: budget - promptCost({ messages: fixed, tools }, ratio).total,
    cost: (messages) => promptCost({ messages, tools }, ratio).total,
  };
}

/** What follows our own prompt in a system message. */
function instructionsIn(systemText: string): string {
  return systemText.startsWith(systemPrompt) ? systemText.slice(systemPrompt.length) : "";
}
