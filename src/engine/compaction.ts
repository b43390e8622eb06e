// What a compaction makes of a history: old tool results masked, and where that is not enough everything before
// the recent steps in the model's own summary. Tool calls stay with their results; the system message and the
// user's last message stay whole. Pure: knows no budget, no file and no provider; those are make-room.ts.
import type { Message } from "../protocol/message.ts";
import { messageText } from "../protocol/message-text.ts";
import { cutMiddle, fairShareBytes } from "./fit-texts.ts";
import { isNudge } from "./message-history.ts";

/** Results that stay whole: what the model is working with right now. */
const keptResults = 4;
/** Masking what is shorter frees nothing. */
const leastMaskedChars = 400;

const summaryOpening = "[Summary of this session so far, made to save context]\n";
const summaryClosing = "\n[End of the summary. The user's message follows.]\n\n";

/** A tool result that may be masked, and the call it answers. */
export interface OldResult {
  readonly index: number;
  readonly toolName: string;
  readonly text: string;
}

/** Results that are long and neither among the last few nor of the last step, whose results the model has not read yet. */
export function oldResults(messages: readonly Message[]): readonly OldResult[] {
  const lastStep = messages.findLastIndex((message) => message.role === "assistant");
  const indexes = messages.flatMap((message, index) => (message.role === "tool" ? [index] : []));
  const names = new Map(
    messages
      .flatMap((message) => message.tool_calls ?? [])
      .map((call) => [call.id, call.function.name]),
  );
  return indexes
    .slice(0, -keptResults)
    .filter((index) => index < lastStep)
    .flatMap((index) => {
      const message = messages[index] as Message;
      const text = messageText(message);
      if (message["masked"] === true || text.length < leastMaskedChars) return [];
      return [{ index, toolName: names.get(message.tool_call_id ?? "") ?? "the tool", text }];
    });
}

/** What the model reads in place of a masked result. `path`: where its text is kept; undefined: it can be asked for again. */
export function maskText(result: OldResult, path: string | undefined): string {
  const size = result.text.length.toLocaleString("en-US");
  const again = path === undefined ? "call it again" : `its text is kept, read_file ${path}`;
  return `[masked to save context: this result of ${result.toolName} had ${size} characters; if you need it, ${again}]`;
}

/** The list with other texts at some places; reasoning of the steps before them goes too. */
export function withMasks(
  messages: readonly Message[],
  masks: ReadonlyMap<number, string>,
): Message[] {
  const last = Math.max(-1, ...masks.keys());
  return messages.map((message, index) => {
    const text = masks.get(index);
    if (text !== undefined) return { ...message, content: text, masked: true };
    if (index > last || message["reasoning"] === undefined) return message;
    const { reasoning: _, ...rest } = message;
    return rest as Message;
  });
}

/** A history in the parts that a summary tells apart. */
export interface HistoryParts {
  /** The system message, where there is one. */
  readonly system: readonly Message[];
  /** An earlier summary, then everything that the new one replaces. */
  readonly earlierSummary: string;
  readonly earlier: readonly Message[];
  /** The user's last message, without an earlier summary. */
  readonly user: Message;
  /** The newest steps, each an assistant message with what answers it. */
  readonly recent: readonly Message[];
}

/**
 * @param keepStep decides about each of the newest steps, newest first, until it says no; the very last is kept
 *   anyway, because the model has not read its results
 * @returns undefined without a user's message
 */
export function splitHistory(
  messages: readonly Message[],
  keepStep: (step: readonly Message[]) => boolean,
): HistoryParts | undefined {
  const start = messages[0]?.role === "system" ? 1 : 0;
  const lastUser = messages.findLastIndex(
    (message) => message.role === "user" && !isNudge(message),
  );
  if (lastUser < start) return undefined;
  const steps = toSteps(messages.slice(lastUser + 1));
  let kept = Math.min(1, steps.length);
  while (kept < steps.length && keepStep(steps.at(-kept - 1) ?? [])) kept += 1;
  const { summary, message } = splitSummary(messages[lastUser] as Message);
  return {
    system: messages.slice(0, start),
    earlierSummary: summary,
    earlier: [...messages.slice(start, lastUser), ...steps.slice(0, steps.length - kept).flat()],
    user: message,
    recent: steps.slice(steps.length - kept).flat(),
  };
}

/** Cut before each assistant message. */
function toSteps(messages: readonly Message[]): readonly (readonly Message[])[] {
  const steps: Message[][] = [];
  for (const message of messages) {
    if (message.role === "assistant" || steps.length === 0) steps.push([]);
    steps.at(-1)?.push(message);
  }
  return steps;
}

/** The history with the summary in front of the user's last message: a message of its own would break the turn of roles. */
export function joinSummary(parts: HistoryParts, summary: string): Message[] {
  const opening = `${summaryOpening}${summary}${summaryClosing}`;
  const { content } = parts.user;
  const user = {
    ...parts.user,
    content:
      typeof content === "string" || content === null
        ? `${opening}${content ?? ""}`
        : [{ type: "text" as const, text: opening }, ...content],
    summaryChars: opening.length,
  };
  return [...parts.system, user, ...parts.recent];
}

/** A message that joinSummary made, in its parts; of any other message the summary is empty. */
function splitSummary(message: Message): { summary: string; message: Message } {
  const { summaryChars, ...rest } = message;
  if (typeof summaryChars !== "number") return { summary: "", message };
  const { content } = message;
  if (typeof content === "string") {
    return {
      summary: content.slice(summaryOpening.length, summaryChars - summaryClosing.length),
      message: { ...rest, content: content.slice(summaryChars) } as Message,
    };
  }
  const [first, ...others] = content ?? [];
  const opening = first?.type === "text" ? first.text : "";
  return {
    summary: opening.slice(summaryOpening.length, -summaryClosing.length),
    message: { ...rest, content: others } as Message,
  };
}

/** What is to be summarised, as text to read, long messages cut so that all fits into `roomBytes`. */
export function transcript(
  parts: Pick<HistoryParts, "earlierSummary" | "earlier">,
  roomBytes: number,
): string {
  const blocks = parts.earlier.map((message) => ({
    head: `## ${message.role === "tool" ? "result" : message.role}\n`,
    text: [
      messageText(message),
      ...(message.tool_calls ?? []).map(
        ({ function: call }) => `[calls ${call.name} ${call.arguments}]`,
      ),
    ]
      .filter((text) => text !== "")
      .join("\n"),
  }));
  if (parts.earlierSummary !== "") {
    blocks.unshift({ head: "## summary of what came before\n", text: parts.earlierSummary });
  }
  const frameBytes = blocks.reduce((sum, block) => sum + block.head.length + cutNoteBytes, 0);
  const share = fairShareBytes(
    blocks.map((block) => Buffer.byteLength(block.text)),
    Math.max(0, roomBytes - frameBytes),
  );
  const whole = blocks.map(
    ({ head, text }) => `${head}${cutMiddle(text, share, (chars) => ` …[${chars} left out]… `)}`,
  );
  // A conversation of very many short messages: its middle goes as a whole.
  return cutMiddle(whole.join("\n\n"), roomBytes, () => "\n…\n");
}

const cutNoteBytes = 32;
