// A saved session as Markdown, whole: for `opta sessions export` and the daemon's sessions.export. Pure: knows no
// disk.
import { stripTerminalText } from "../base/terminal-text.ts";
import type { SessionFile } from "../protocol/session.ts";
import { shownMessages, shownText, toolNamesById } from "../protocol/shown-messages.ts";

/** The whole conversation; control characters of models and tools never get through (lesson 39). */
export function sessionToMarkdown(session: SessionFile): string {
  const { title, id, metadata, messages } = session;
  const facts = [
    ["Session", id],
    ["Workspace", metadata.workspace],
    ["Model", metadata.model],
    ["Created", metadata.createdAt],
    ["Updated", metadata.updatedAt],
  ].filter(([, value]) => value !== "");
  const toolNames = toolNamesById(messages);
  const blocks = shownMessages(messages).map((message) => {
    const text = clean(shownText(message));
    if (message.role === "tool") {
      const name = clean(toolNames.get(message.tool_call_id ?? "") ?? "tool");
      return `### Result of ${inlineCode(name)}\n\n${fence(text)}`;
    }
    const calls = (message.tool_calls ?? []).map(
      ({ function: call }) =>
        `### Call of ${inlineCode(clean(call.name))}\n\n${fence(clean(call.arguments), "json")}`,
    );
    const heading = message.role === "user" ? "## You" : "## opta";
    return [heading, ...(text === "" ? [] : [text]), ...calls].join("\n\n");
  });
  const list = facts.map(([name, value]) => `- ${name}: ${inlineCode(clean(value ?? ""))}`);
  const heading = `# ${clean(title).replace(/\s+/g, " ")}`;
  return `${[heading, list.join("\n"), ...blocks].join("\n\n")}\n`;
}

function clean(text: string): string {
  return stripTerminalText(text);
}

/** A fence longer than any run of backticks inside, so that no content can end it. */
function fence(text: string, language = ""): string {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((run) => run.length));
  const marks = "`".repeat(longest + 1);
  return `${marks}${language}\n${text}\n${marks}`;
}

function inlineCode(text: string): string {
  const longest = Math.max(0, ...(text.match(/`+/g) ?? []).map((run) => run.length));
  const marks = "`".repeat(longest + 1);
  return longest === 0 ? `${marks}${text}${marks}` : `${marks} ${text} ${marks}`;
}
