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
  /** The last piece of the current line. */
  lineEnd(): string;
  /** Only space on this line so far. */
  isBlank(): boolean;
  /** A block opened whose content is quoted until `close` passes by. */
  quoteUntil(close: string): void;
  /** A tag passed by as text. */
  passTag(tag: string): void;
}

export function createLineContext(): LineContext {
  /** The line's pieces: joined only where it may matter, since text comes in many small ones. */
  let pieces: string[] = [];
  let lineChars = 0;
  let lastPiece = "";
  let lastPieces: readonly string[] = [];
  let fence: string | undefined;
  let quotedUntil: string | undefined;

  const currentLine = () => {
    if (pieces.length > 1) pieces = [pieces.join("")];
    return pieces[0] ?? "";
  };
  const isInInlineCode = (line: string) => line.includes("`") && hasOpenTicks(line);
  const isInFence = (line: string) => fence !== undefined || fencePattern.test(line);
  return {
    append(text) {
      lastPiece = text;
      const room = maxLineChars - lineChars;
      lineChars += text.length;
      if (text.length <= room) pieces.push(text);
      else if (room >= 0) pieces.push(text.slice(0, room));
    },
    endLine() {
      const first = firstChar(pieces);
      lineChars = 0;
      lastPiece = "";
      if (first === "") {
        pieces = [];
        return;
      }
      const mark = fenceStarts.has(first) ? fencePattern.exec(currentLine())?.[1] : undefined;
      if (mark !== undefined) {
        if (fence === undefined) fence = mark;
        else if (closesFence(currentLine(), mark, fence)) fence = undefined;
      }
      lastPieces = pieces;
      pieces = [];
    },
    startAnew() {
      pieces = [];
      lineChars = 0;
      lastPiece = "";
      lastPieces = [];
      fence = undefined;
      quotedUntil = undefined;
    },
    isProse() {
      if (lineChars > maxLineChars) return fence === undefined;
      const line = currentLine();
      return !isInFence(line) && !isInInlineCode(line);
    },
    isLineStart: () => lineChars < 4 && isIndentedLittle(currentLine()),
    lineEnd: () => lastPiece,
    isBlank: () => firstChar(pieces) === "",
    mayCall() {
      if (lineChars > maxLineChars) return false;
      const line = currentLine();
      if (quotedUntil !== undefined || isInFence(line) || isInInlineCode(line)) return false;
      if (line.trim() === "")
        return isIndentedLittle(line) && !announcesExample(lastPieces.join(""));
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

/** A longer line is data; looking at all of it again and again would cost its square. */
const maxLineChars = 8_000;

/** Nothing but fewer spaces than make an indented code block. */
function isIndentedLittle(line: string): boolean {
  return /^ {0,3}$/.test(line);
}

/** The first character that is no space, "" when there is none. */
function firstChar(pieces: readonly string[]): string {
  for (const piece of pieces) {
    if (piece.charCodeAt(0) > 32) return piece[0] ?? "";
    const at = piece.search(/\S/);
    if (at >= 0) return piece[at] ?? "";
  }
  return "";
}

/** What the lines begin with that fencePattern matches. */
const fenceStarts = new Set("`~>-*+0123456789");

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
