// What a message says. Free of schemas: commands that only show messages load none.
import type { Message } from "./message.ts";

/** True for an answer that is not whole: cut by max_tokens, or interrupted. `opta do --continue` goes on from it. */
export function isUnfinished(message: Message): boolean {
  return message["cut"] === true || message["interrupted"] === true;
}

/** The text of a message, its parts joined; images are left out. */
export function messageText(message: Message): string {
  if (typeof message.content === "string") return message.content;
  return (message.content ?? []).map((part) => (part.type === "text" ? part.text : "")).join("");
}
