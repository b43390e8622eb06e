// Before each step: does the conversation still fit the model's window? Only when it does not, it is compacted,
// once: old tool results are masked, and where that is not enough the model is asked for one summary. Each
// rewrite costs the server its whole prefix cache, so that a compaction frees much or ends the turn.
import { createId } from "../base/ids.ts";
import { OptaError } from "../protocol/error.ts";
import type { Message } from "../protocol/message.ts";
import type { ResolvedModel } from "../providers/provider.ts";
import {
  type HistoryParts,
  joinSummary,
  maskText,
  oldResults,
  splitHistory,
  transcript,
  withMasks,
} from "./compaction.ts";
import { measureWindow, outputReserveTokens, promptCost, type WindowMeasures } from "./context.ts";
import { readContextRecord, updateContextRecord } from "./context-record.ts";
import { cutMiddle } from "./fit-texts.ts";
import { askForSummary, summaryFrameTokens } from "./summary.ts";
import { bytesPerToken, estimateMessageTokens, estimateMessagesTokens } from "./token-estimate.ts";
import type { TurnContext } from "./turn-context.ts";

/** Shares of the room that is left beside system prompt, tools and the user's last message. */
const roomShares = {
  /** Masking that comes down to this was enough. */
  afterMasking: 0.6,
  /** The newest steps that a summary leaves as they are. */
  recent: 0.4,
  summary: 0.25,
  /** A compaction that leaves more than this freed too little. */
  most: 0.85,
} as const;
/** Fewer tokens for history make no conversation. */
const leastRoomTokens = 256;
/** Steps between two compactions of a turn; sooner would be a loop. */
const leastStepsBetween = 2;

/**
 * Compacts and saves the session when its messages do not fit, and does nothing otherwise.
 * @throws OptaError context-full when compacting frees too little | what the request for a summary ends with |
 *   cancelled | storage-full | storage-failed. History is then as it was.
 */
export async function makeRoom(context: TurnContext, resolved: ResolvedModel): Promise<void> {
  const { session, counters } = context;
  const { file } = session;
  const measures = measureWindow(context, resolved);
  if (measures === undefined || measures.cost(file.messages) <= measures.budget) return;
  const sinceLast = counters.steps - (counters.compactedAtStep ?? Number.NEGATIVE_INFINITY);
  if (measures.room < leastRoomTokens || sinceLast < leastStepsBetween) {
    throw contextFull(context, resolved, measures);
  }

  const used = (messages: readonly Message[]) =>
    measures.cost(messages) - (measures.budget - measures.room);
  let messages = await mask(context);
  if (used(messages) > measures.room * roomShares.afterMasking) {
    messages = await summarise(messages, context, resolved, measures);
  }
  if (used(messages) > measures.room * roomShares.most) {
    throw contextFull(context, resolved, measures);
  }

  const { compactions } = readContextRecord(file);
  const history = `${JSON.stringify({ id: file.id, messages: file.messages }, null, 2)}\n`;
  await context.keep(`history-${compactions + 1}.json`, history);
  file.messages.splice(0, file.messages.length, ...messages);
  file.compacted = true;
  counters.compactedAtStep = counters.steps;
  updateContextRecord(file, { compactions: compactions + 1 });
  await session.save();
}

/** Results of tools that only read can be had again; the text of others is kept in a file. */
async function mask(context: TurnContext): Promise<Message[]> {
  const { messages } = context.session.file;
  const masks = new Map<number, string>();
  for (const result of oldResults(messages)) {
    const isRepeatable = context.tools.get(result.toolName)?.readOnly ?? false;
    const path = isRepeatable ? undefined : await keepResult(result.text, context);
    masks.set(result.index, maskText(result, path));
  }
  if (masks.size > 0) {
    const results = masks.size === 1 ? "tool result" : "tool results";
    tell(`compacting the conversation: ${masks.size} old ${results} set aside`, context);
  }
  return withMasks(messages, masks);
}

/** @returns the path under which read_file shows the text */
export function keepResult(text: string, context: TurnContext): Promise<string> {
  return context.keep(`output/${createId()}-result.txt`, text);
}

async function summarise(
  messages: readonly Message[],
  context: TurnContext,
  resolved: ResolvedModel,
  measures: WindowMeasures,
): Promise<Message[]> {
  let left = measures.room * roomShares.recent;
  const parts = splitHistory(messages, (step) => {
    left -= estimateMessagesTokens(step) * measures.ratio;
    return left >= 0;
  });
  if (parts === undefined || !canFree(parts, measures)) {
    throw contextFull(context, resolved, measures);
  }
  tell("compacting the conversation", context);
  const toBytes = (tokens: number) => (tokens / measures.ratio) * bytesPerToken;
  const said = transcript(parts, toBytes(measures.budget) - summaryFrameTokens * bytesPerToken);
  const summaryBytes = toBytes(measures.room * roomShares.summary);
  const summary = await askForSummary(
    said,
    { model: resolved.model, maxTokens: outputReserveTokens(resolved.contextLength), summaryBytes },
    context,
  );
  // A model that only thought has summarised nothing: then the beginning and end of what was said must do.
  const text = summary === "" ? said : summary;
  return joinSummary(
    parts,
    cutMiddle(text, summaryBytes, () => "\n…\n"),
  );
}

/** False when there is nothing to summarise, or when even an empty summary would leave too much. */
function canFree(parts: HistoryParts, { room, ratio }: WindowMeasures): boolean {
  if (parts.earlier.length === 0) return false;
  const recent = estimateMessagesTokens(parts.recent) * ratio;
  return recent <= room * (roomShares.most - roomShares.summary / 2);
}

function contextFull(
  { session, toolSchemas }: TurnContext,
  { contextLength }: ResolvedModel,
  { budget, ratio }: WindowMeasures,
): OptaError {
  const show = (tokens: number) => Math.ceil(tokens).toLocaleString("en-US");
  const { messages } = session.file;
  const cost = promptCost({ messages, tools: toolSchemas }, ratio);
  const last = messages.findLast((message) => message.role === "user");
  const lastTokens = last === undefined ? 0 : estimateMessageTokens(last) * ratio;
  const fixed = cost.systemPrompt + cost.instructions + cost.tools;
  return new OptaError(
    "context-full",
    `the conversation needs about ${show(cost.total)} tokens, and the model's window of ${show(contextLength ?? 0)} ` +
      `leaves ${show(budget)} for it (system prompt and tools ${show(fixed)}, the last message ${show(lastTokens)}); ` +
      "compacting would free too little",
    `opta context --session ${session.id}   (then a smaller task, or a model with a larger window)`,
  );
}

function tell(message: string, { session, turnId, provider }: TurnContext): void {
  session.emit("turn.progress", {
    turnId,
    phase: "compacting",
    message,
    provider: provider.id,
  });
}
