// A saved session for reading: on the terminal (`opta sessions show`, long tool results cut) and as Markdown
// (`opta sessions export`, whole). System messages are left out: they are the same in every session.
// Control characters of models and tools never get through (lesson 39).
import { stripTerminalText } from "../../base/terminal-text.ts";
import type { Message } from "../../protocol/message.ts";
import type { SessionFile } from "../../protocol/session.ts";
import { spokenText } from "../../protocol/turn-facts.ts";
import type { Style } from "./style.ts";

/** Lines of one tool result that `show` prints; the export has all. */
const shownResultLines = 12;

/** The whole conversation for a terminal. */
export function sessionToText(session: SessionFile, style: Style): string {
  const { title, id, metadata, messages } = session;
  const facts = [id, metadata.workspace, metadata.model, metadata.updatedAt].map(clean);
  const head = [style.bold(clean(title)), style.dim(facts.filter(Boolean).join(" · "))];
  const toolNames = toolNamesById(messages);
  const blocks = spoken(messages).map((message) => {
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

/** The whole conversation as Markdown. */
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
  const blocks = spoken(messages).map((message) => {
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

function spoken(messages: readonly Message[]): readonly Message[] {
  return messages.filter((message) => message.role !== "system");
}

function toolNamesById(messages: readonly Message[]): ReadonlyMap<string, string> {
  const calls = messages.flatMap((message) => message.tool_calls ?? []);
  return new Map(calls.map((call) => [call.id, call.function.name]));
}

function shownText(message: Message): string {
  const images = Array.isArray(message.content)
    ? message.content.filter((part) => part.type === "image_url").length
    : 0;
  return [spokenText(message).trim(), ...Array<string>(images).fill("[image]")]
    .filter((text) => text !== "")
    .join("\n");
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
