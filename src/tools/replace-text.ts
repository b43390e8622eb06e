// Finding old text in a file and putting new text there: pure, on byte strings. Exact first; then one
// whitespace-insensitive fallback over whole lines (whitespace-match.ts), which says so. Replacement is
// literal (`$&` means nothing), and \n in the model's text stands for the file's own line ends, so that an
// edit never changes a file's line-end style (lessons 19-21).
import { nearestLines } from "./nearest-lines.ts";
import type { ByteString } from "./text-encoding.ts";
import { matchIgnoringWhitespace } from "./whitespace-match.ts";

export interface TextEdit {
  readonly oldText: ByteString;
  readonly newText: ByteString;
  readonly replaceAll: boolean;
  /** False for a file the model never read: then only an exact match proves that it knows the text. */
  readonly allowWhitespaceMatch: boolean;
}

export type ReplaceOutcome =
  | {
      readonly kind: "replaced";
      readonly content: ByteString;
      readonly count: number;
      /** 1-based lines, in the old content, where the first ten replacements begin. */
      readonly lines: readonly number[];
      readonly ignoredWhitespace: boolean;
    }
  /** `problem` is for the model: what was wrong and how to do better. */
  | { readonly kind: "failed"; readonly problem: string };

/** Line numbers in one result: enough to look at, and finding each costs a pass over the file. */
const shownLines = 10;

export function replaceText(content: ByteString, edit: TextEdit): ReplaceOutcome {
  const oldText = toLineFeeds(edit.oldText);
  const newText = toLineFeeds(edit.newText);
  if (oldText === "") {
    return failed("old_text is empty; to create a file or replace all of it use write_file");
  }
  if (oldText === newText) return failed("old_text and new_text are the same");
  const source = withLineFeeds(content);
  const starts = findAll(source.text, oldText);
  if (starts.length > 1 && !edit.replaceAll) return failed(ambiguous(source.text, starts));
  if (starts.length > 0) {
    const spans = starts.map((start) => ({ start, end: start + oldText.length, newText }));
    return replaced(content, source, spans, false);
  }
  return replaceIgnoringWhitespace({ content, source, oldText, newText, edit });
}

interface Span {
  /** Offsets in the text with bare line feeds. */
  readonly start: number;
  readonly end: number;
  readonly newText: ByteString;
}

interface FallbackInput {
  readonly content: ByteString;
  readonly source: LineFeedText;
  readonly oldText: ByteString;
  readonly newText: ByteString;
  readonly edit: TextEdit;
}

function replaceIgnoringWhitespace(input: FallbackInput): ReplaceOutcome {
  const { content, source, oldText, newText, edit } = input;
  const match = matchIgnoringWhitespace(source.text, oldText, newText);
  switch (match.kind) {
    case "none":
      return failed(`old_text was not found.\n${nearestLines(source.text, oldText)}`);
    case "refused":
      return failed(
        `old_text was not found exactly; ${match.why}.\n${nearestLines(source.text, oldText)}`,
      );
    case "found":
      if (edit.allowWhitespaceMatch) return replaced(content, source, [match.span], true);
      return failed(
        `old_text matches line ${lineAt(source.text, match.span.start)} only with other whitespace, and the file was not read yet: read_file it first`,
      );
  }
}

function failed(problem: string): ReplaceOutcome {
  return { kind: "failed", problem };
}

function ambiguous(text: ByteString, starts: readonly number[]): string {
  const shown = starts.slice(0, shownLines).map((start) => lineAt(text, start));
  const more = starts.length > shown.length ? ", ..." : "";
  return `old_text is there ${starts.length} times, at lines ${shown.join(", ")}${more}; add the lines around it to make it unique, or set replace_all (edit_file)`;
}

function replaced(
  content: ByteString,
  source: LineFeedText,
  spans: readonly Span[],
  ignoredWhitespace: boolean,
): ReplaceOutcome {
  const parts: ByteString[] = [];
  let copiedTo = 0;
  for (const { start, end, newText } of spans) {
    const from = source.toSource(start);
    parts.push(
      content.slice(copiedTo, from),
      newText.replaceAll("\n", () => lineEndAt(content, from)),
    );
    copiedTo = source.toSource(end);
  }
  parts.push(content.slice(copiedTo));
  const lines = spans.slice(0, shownLines).map(({ start }) => lineAt(source.text, start));
  return {
    kind: "replaced",
    content: parts.join(""),
    count: spans.length,
    lines,
    ignoredWhitespace,
  };
}

/** How the line at `offset` ends; on the last line, how the one before does. */
function lineEndAt(content: ByteString, offset: number): ByteString {
  const next = content.indexOf("\n", offset);
  const lineFeed = next === -1 ? content.lastIndexOf("\n", offset) : next;
  return lineFeed > 0 && content[lineFeed - 1] === "\r" ? "\r\n" : "\n";
}

/** 1-based. */
function lineAt(text: ByteString, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) {
    line += 1;
  }
  return line;
}

function findAll(text: ByteString, wanted: ByteString): number[] {
  const starts: number[] = [];
  for (let at = text.indexOf(wanted); at !== -1; at = text.indexOf(wanted, at + wanted.length)) {
    starts.push(at);
  }
  return starts;
}

function toLineFeeds(text: ByteString): ByteString {
  return text.replaceAll("\r\n", "\n");
}

/** A content with \r\n as \n, and the way back from its offsets. */
interface LineFeedText {
  readonly text: ByteString;
  toSource(offset: number): number;
}

function withLineFeeds(content: ByteString): LineFeedText {
  const text = toLineFeeds(content);
  if (text.length === content.length) return { text, toSource: (offset) => offset };
  // Offsets, in `text`, of the line feeds that lost a carriage return.
  const shortened: number[] = [];
  for (let at = content.indexOf("\r\n"); at !== -1; at = content.indexOf("\r\n", at + 2)) {
    shortened.push(at - shortened.length);
  }
  return { text, toSource: (offset) => offset + countBelow(shortened, offset) };
}

/** How many of the sorted numbers are less than the limit. */
function countBelow(sorted: readonly number[], limit: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
