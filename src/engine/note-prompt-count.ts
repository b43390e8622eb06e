// After each answer: what its usage says about how the server counts, kept for the next budget, and a word to
// the user, once a session, when the server read clearly less than was sent.
import { contextPhase } from "../protocol/progress.ts";
import type { Usage } from "../providers/provider.ts";
import { readContextRecord, readPromptCount, updateContextRecord } from "./context-record.ts";
import type { TurnContext } from "./turn-context.ts";

/** To be called while the session's messages are those that were sent. */
export function notePromptCount(usage: Usage | null, turn: TurnContext): void {
  if (usage === null) return;
  const { session, toolSchemas } = turn;
  const { file } = session;
  const { promptTokens } = usage;
  const reading = readPromptCount({ messages: file.messages, tools: toolSchemas, promptTokens });
  if (reading.kind === "ratio") updateContextRecord(file, { ratio: reading.ratio });
  if (reading.kind !== "trimmed" || readContextRecord(file).trimTold) return;
  updateContextRecord(file, { trimTold: true });
  const show = (tokens: number) => tokens.toLocaleString("en-US");
  session.emit("turn.progress", {
    turnId: turn.turnId,
    phase: contextPhase,
    message:
      `the server read ${show(promptTokens)} of at least ${show(reading.sentTokens)} tokens: it trims the conversation; ` +
      `set the window it really has (models.${file.model}.window), so that opta compacts in time`,
    provider: turn.provider.id,
  });
}
