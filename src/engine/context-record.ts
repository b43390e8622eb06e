// What a session remembers about its context from one process to the next: how its server counts tokens next to
// our estimate, whether the user was told that the server trims, how often history was compacted. It lies in
// the session file under a key of its own. Pure.
import type { Message } from "../protocol/message.ts";
import { messageText } from "../protocol/message-text.ts";
import type { SessionFile } from "../protocol/session.ts";
import type { ToolSchema } from "../providers/provider.ts";
import { estimateMessagesTokens, estimateToolsTokens } from "./token-estimate.ts";

const key = "optaContext";

/** Below: no tokenizer of text and code packs so tightly. Above: none spends so many. Outside nothing is learnt. */
const plausibleRatio = { least: 0.7, most: 3 } as const;
/** Smaller gaps between sent and read are ways of counting, not trimming. */
const trimmedTokens = 1024;

export interface ContextRecord {
  /** The server's count over our estimate, from its newest answer; 1 until one told. */
  readonly ratio: number;
  readonly trimTold: boolean;
  readonly compactions: number;
}

/** Defaults for what is not there or not ours: other programs write session files too. By hand: it runs in every step. */
export function readContextRecord(file: SessionFile): ContextRecord {
  const found: Readonly<Record<string, unknown>> = Object(file[key]);
  const { ratio, trimTold, compactions } = found;
  return {
    ratio: typeof ratio === "number" && isPlausible(ratio) ? ratio : 1,
    trimTold: trimTold === true,
    compactions: Number.isSafeInteger(compactions) ? Math.max(0, Number(compactions)) : 0,
  };
}

function isPlausible(ratio: number): boolean {
  return ratio >= plausibleRatio.least && ratio <= plausibleRatio.most;
}

/** Into the file in memory; the next save writes it. */
export function updateContextRecord(file: SessionFile, changes: Partial<ContextRecord>): void {
  file[key] = { ...readContextRecord(file), ...changes };
}

export interface CountedPrompt {
  readonly messages: readonly Message[];
  readonly tools: readonly ToolSchema[];
  /** usage.prompt_tokens. */
  readonly promptTokens: number;
}

/** What an answer's usage says about how the server counts, or that it read less than was sent. */
export type PromptReading =
  | { readonly kind: "ratio"; readonly ratio: number }
  | { readonly kind: "trimmed"; readonly sentTokens: number }
  | { readonly kind: "unknown" };

/**
 * LMX's own count is no measurement but characters / 4 of the messages' text (contracts/lmx.md section 1): from
 * that nothing is learnt. Trimming is what even that smallest of counts, halved, cannot explain.
 */
export function readPromptCount({ messages, tools, promptTokens }: CountedPrompt): PromptReading {
  if (promptTokens <= 0) return { kind: "unknown" };
  const chars = messages.reduce((sum, message) => sum + messageText(message).length, 0);
  const leastTokens = Math.ceil(chars / 4);
  const tolerance = messages.length + leastTokens / 50;
  if (Math.abs(promptTokens - leastTokens) <= tolerance) return { kind: "unknown" };
  if (promptTokens * 2 < leastTokens && leastTokens - promptTokens >= trimmedTokens) {
    return { kind: "trimmed", sentTokens: leastTokens };
  }
  const ratio = promptTokens / (estimateMessagesTokens(messages) + estimateToolsTokens(tools));
  return isPlausible(ratio) ? { kind: "ratio", ratio } : { kind: "unknown" };
}
