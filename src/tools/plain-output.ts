// A program's output as a model should read it: what the terminal would have shown at the end. Pure.
import { stripTerminalText } from "../base/terminal-text.ts";

/** A character taken back by a backspace: spinners, the bold text of manual pages. */
// eslint-disable-next-line no-control-regex -- control characters are the subject
const rubbedOut = /[^\n\x08]\x08/g;

/**
 * `text` without terminal control; of a line that was redrawn with carriage returns (a progress bar) only its
 * last state. Line feeds stay, so that line numbers of the raw output still hold.
 */
export function toPlainOutput(text: string): string {
  const redrawn = text.includes("\r") ? text.split("\n").map(lastState).join("\n") : text;
  return stripTerminalText(redrawn.replace(rubbedOut, ""));
}

function lastState(line: string): string {
  let end = line.length;
  while (end > 0 && line[end - 1] === "\r") end--;
  return line.slice(line.slice(0, end).lastIndexOf("\r") + 1, end);
}
