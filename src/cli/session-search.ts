// Where a text occurs in a session, for `opta sessions search`: the first line that has it, cut around the
// place. Case-insensitive, plain text. Pure.
import type { SessionFile } from "../protocol/session.ts";
import { spokenText } from "../protocol/turn-facts.ts";

export interface SearchMatch {
  /** Who said it; "title" when no message has the text. */
  readonly where: "title" | "user" | "assistant" | "tool";
  /** One line, at most about 100 characters, … where it is cut. */
  readonly line: string;
}

const charactersBefore = 30;
const charactersAfter = 60;

/** Undefined when neither a message nor the title contains `query`. System messages are not searched. */
export function findInSession(session: SessionFile, query: string): SearchMatch | undefined {
  for (const message of session.messages) {
    if (message.role === "system") continue;
    const line = lineAround(spokenText(message), query);
    if (line !== undefined) return { where: message.role, line };
  }
  const line = lineAround(session.title, query);
  return line === undefined ? undefined : { where: "title", line };
}

function lineAround(text: string, query: string): string | undefined {
  const needle = query.toLowerCase();
  const line = text.split("\n").find((candidate) => candidate.toLowerCase().includes(needle));
  if (line === undefined) {
    // The query spans lines, or lower-casing changed a length: show the beginning.
    return text.toLowerCase().includes(needle)
      ? cutAround(text.replace(/\s+/g, " "), 0, 0)
      : undefined;
  }
  return cutAround(line, line.toLowerCase().indexOf(needle), query.length);
}

function cutAround(line: string, at: number, length: number): string {
  const from = Math.max(0, at - charactersBefore);
  const to = Math.min(line.length, at + length + charactersAfter);
  const head = from > 0 ? "…" : "";
  const tail = to < line.length ? "…" : "";
  return head + line.slice(from, to).trim() + tail;
}
