// The edits of one file, computed on its bytes: the common part of edit_file, multi_edit and their previews.
import {
  assertUnchangedSinceRead,
  type FileContent,
  type JudgedFile,
  readForEdit,
} from "./file-content.ts";
import type { PlannedWrite } from "./planned-write.ts";
import { replaceText } from "./replace-text.ts";
import { byteOrderMark, encodeText, fromByteString, toByteString } from "./text-encoding.ts";
import type { FileLedger } from "./tool.ts";
import { ToolFailure } from "./tool-failure.ts";

export interface RequestedEdit {
  readonly old_text: string;
  readonly new_text: string;
  readonly replace_all?: boolean | undefined;
}

/**
 * Applies the edits in order. A file that was never read may be edited where the match is exact.
 * @throws ToolFailure when the file cannot be read, changed since it was read, or an edit does not fit
 */
export function planEdits(
  file: JudgedFile,
  edits: readonly RequestedEdit[],
  ledger: FileLedger,
): PlannedWrite {
  const before = readForEdit(file);
  if (!before) {
    throw new ToolFailure(`${file.shown} does not exist; to create it use write_file`);
  }
  assertUnchangedSinceRead(file, before, ledger);
  let content = toByteString(before.bytes);
  const notes: string[] = [];
  for (const [index, edit] of edits.entries()) {
    const outcome = replaceText(content, {
      oldText: withoutMark(encodeText(edit.old_text)),
      newText: withoutMark(encodeText(edit.new_text)),
      replaceAll: edit.replace_all ?? false,
      allowWhitespaceMatch: ledger.has(file.path),
    });
    if (outcome.kind === "failed") {
      const which = edits.length > 1 ? `edit ${index + 1} of ${edits.length}, ` : "";
      throw new ToolFailure(`${which}${file.shown}: ${outcome.problem}`);
    }
    content = outcome.content;
    notes.push(describe(outcome));
  }
  const summary = `edited ${file.shown}: ${notes.join("; ")}${hardLinkNote(before)}`;
  return { file, before, after: fromByteString(content), summary };
}

/** For results: replacing a file parts it from its other names (promises F2). */
export function hardLinkNote(before: FileContent): string {
  if (before.linkCount < 2) return "";
  return `; it had ${before.linkCount} hard links, the other names keep the old content`;
}

function describe(outcome: {
  readonly count: number;
  readonly lines: readonly number[];
  readonly ignoredWhitespace: boolean;
}): string {
  const { count, lines } = outcome;
  const places = `line${count > 1 ? "s" : ""} ${lines.join(", ")}${count > lines.length ? ", ..." : ""}`;
  const loosely = outcome.ignoredWhitespace
    ? " (matched ignoring whitespace; the file's indentation was kept)"
    : "";
  return `${count} replacement${count > 1 ? "s" : ""} at ${places}${loosely}`;
}

/** A byte order mark is not text: the file keeps its own. */
function withoutMark(text: string): string {
  return text.startsWith(byteOrderMark) ? text.slice(byteOrderMark.length) : text;
}
