// A saved session for reading on the terminal (`opta sessions show`), long tool results cut. The export, which is
// whole, is store/session-markdown.ts. Control characters of models and tools never get through (lesson 39).
import { stripTerminalText } from "../../base/terminal-text.ts";
import type { SessionFile } from "../../protocol/session.ts";
import { shownMessages, shownText, toolNamesById } from "../../protocol/shown-messages.ts";
import type { Style } from "./style.ts";

/** Lines of one tool result that `show` prints; the export has all. */
const shownResultLines = 12;

/** The whole conversation for a terminal. */
export function sessionToText(session: SessionFile, style: Style): string {
  const { title, id, metadata, messages } = session;
  const facts = [id, metadata.workspace, metadata.model, metadata.updatedAt].map(clean);
  const head = [style.bold(clean(title)), style.dim(facts.filter(Boolean).join(" · "))];
  const toolNames = toolNamesById(messages);
  const blocks = shownMessages(messages).map((message) => {
    const text = clean(shownText(message));
    if (message.role === "tool") {
      const name = clean(toolNames.get(message.tool_call_id ?? "") ?? "tool");
      return `${style.dim(`result of ${name}`)}\n${style.dim(indent(cutLines(text)))}`;
    }
    const who = message.role === "user" ? style.bold("you") : style.bold("opta");
    const calls = (message.tool_calls ?? []).map(({ function: call }) =>
      style.yellow(`${clean(call.name)} ${clean(call.arguments).replaceAll("\n", " ")}`),
    );
    return [who, ...(text === "" ? [] : [indent(text)]), ...calls.map(indent)].join("\n");
  });
  return `${[head.join("\n"), ...blocks].join("\n\n")}\n`;
}

function clean(text: string): string {
  return stripTerminalText(text);
}

function indent(text: string): string {
  return text
    .split("\n")
    .map((line) => (line === "" ? "" : `  ${line}`))
    .join("\n");
}

function cutLines(text: string): string {
  const lines = text.split("\n");
  if (lines.length <= shownResultLines) return text;
  const hidden = lines.length - shownResultLines;
  return [...lines.slice(0, shownResultLines), `… ${hidden} more lines`].join("\n");
}
