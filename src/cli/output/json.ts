// JSON documents for stdout: indented, one per command, harmless for a terminal.
import { escapeForTerminal } from "../../base/terminal-json.ts";

/** The document's text, ended by a line feed. */
export function toJsonText(document: unknown): string {
  return `${escapeForTerminal(JSON.stringify(document, null, 2))}\n`;
}
