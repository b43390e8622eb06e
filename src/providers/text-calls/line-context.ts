// Where in the text the reader is: in a code fence, in inline code, in a quoted block, or behind words that
// announce a quotation. Decides whether a call may begin here (contracts/text-tool-calls.md rule 2). Sees
// only text that was passed on, line by line, so that plain text costs an append.

export interface LineContext {
  /** Text of the current line; no line ends. */
  append(text: string): void;
  endLine(): void;
  /** Forgets everything: what follows a removed call or thought begins anew. */
  startAnew(): void;
  /** Whether a call may begin here. */
  mayCall(): boolean;
  /** Whether a tag counts here at all: not in a fence, not in inline code. */
  isProse(): boolean;
  /** Nothing but space on this line so far, and no indentation as of code. */
  isLineStart(): boolean;
  /** The current line so far. */
  line(): string;
  /** A block opened whose content is quoted until `close` passes by. */
  quoteUntil(close: string): void;
  /** A tag passed by as text. */
  passTag(tag: string): void;
}

export function createLineContext(): LineContext {
  let line = "";
  let lastLine = "";
  let fence: string | undefined;
  let quotedUntil: string | undefined;

  const isInInlineCode = () => line.includes("`") && hasOpenTicks(line);
  const isInFence = () => fence !== undefined || fencePattern.test(line);
  return {
    append(text) {
      line += text;
    },
    endLine() {
      const mark = fencePattern.exec(line)?.[1];
      if (fence === undefined) fence = mark;
      else if (mark !== undefined && closesFence(line, mark, fence)) fence = undefined;
      if (line.trim() !== "") lastLine = line;
      line = "";
    },
    startAnew() {
      line = "";
      lastLine = "";
      fence = undefined;
      quotedUntil = undefined;
    },
    isProse: () => !isInFence() && !isInInlineCode(),
    isLineStart: () => /^ {0,3}$/.test(line),
    line: () => line,
    mayCall() {
      if (quotedUntil !== undefined || isInFence() || isInInlineCode()) return false;
      if (line.trim() === "") return /^ {0,3}$/.test(line) && !announcesExample(lastLine);
      return mayCallBehind(line);
    },
    quoteUntil(close) {
      quotedUntil = close;
    },
    passTag(tag) {
      if (tag === quotedUntil) quotedUntil = undefined;
    },
  };
}

/** Also inside lists and quotations, at any indentation: too many fences are safer than too few. */
const fencePattern = /^[\s>]*(?:(?:[-*+]|\d+[.)])\s+)?(`{3,}|~{3,})/;

function closesFence(line: string, mark: string, fence: string): boolean {
  return mark[0] === fence[0] && mark.length >= fence.length && /^[\s>]*[`~]+\s*$/.test(line);
}

/** CommonMark's rule within one line: a run of backticks is closed by a run of the same length. */
function hasOpenTicks(line: string): boolean {
  let open = 0;
  for (const [run] of line.matchAll(/`+/g)) {
    if (open === 0) open = run.length;
    else if (open === run.length) open = 0;
  }
  return open > 0;
}

/** Behind text on the same line: a sentence that ended, or a tag written right onto it; no quotation, listing or diff. */
function mayCallBehind(line: string): boolean {
  if (/^\s*(?:[>|]|\d+\s*[:|\t])/.test(line) || !/\p{L}/u.test(line)) return false;
  if (announcesExample(line) || announcesQuote.test(line)) return false;
  const text = line.trimEnd();
  const isAttached = text.length === line.length;
  return isAttached
    ? !/["'“‘«‹「『([{<=/\\|&+$@-]$/.test(text)
    : /[.!?:…。！？：)\p{Extended_Pictographic}]\**$/u.test(text);
}

const announcesQuote =
  /\b(?:wrote|write|writes|says?|said|looks|example|format|syntax|notation|such as|e\.g|i\.e|called|prints?|contains?|means)\b[^.!?]*$/i;

/** "For example:", "A tool call looks like this:". */
function announcesExample(line: string): boolean {
  if (
    /(?:\bfor (?:example|instance)|\be\.g\.|\bsuch as|\bhere(?:'s| is) an example)[^.!?]{0,40}$/i.test(
      line,
    )
  ) {
    return true;
  }
  return (
    /\b(?:tool|function)[ _-]?calls?\b|\bnotation\b/i.test(line) &&
    /\b(?:looks|written|format|form|syntax|like this|example|as follows)\b[^.!?]*$/i.test(line)
  );
}
