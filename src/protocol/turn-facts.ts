// What is true just now (date, branch, directory) stands at the end of the user's message, where nothing follows
// it yet, so that everything before it stays the same bytes; it is sent to the model and hidden from people.
import type { Message } from "./message.ts";
import { messageText } from "./message-text.ts";

const opening = "\n\n<context>\n";
const closing = "\n</context>";

export interface TurnFacts {
  readonly workspace: string;
  readonly platform: string;
  /** YYYY-MM-DD, local. */
  readonly date: string;
  readonly gitBranch: string | undefined;
}

/** The user's message as it is sent: the prompt, then what is true just now. */
export function userMessageText(prompt: string, facts: TurnFacts): string {
  const lines = [
    `workspace: ${facts.workspace}`,
    `platform: ${facts.platform}`,
    `date: ${facts.date}`,
    ...(facts.gitBranch === undefined ? [] : [`git branch: ${facts.gitBranch}`]),
  ];
  return `${prompt}${opening}${lines.join("\n")}${closing}`;
}

/** What was said, for people: the message's text, a user's without the facts that opta added. */
export function spokenText(message: Message): string {
  const text = messageText(message);
  if (message.role !== "user" || !text.endsWith(closing)) return text;
  const end = text.lastIndexOf(opening);
  return end < 0 ? text : text.slice(0, end);
}
