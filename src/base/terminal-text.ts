// Text from models, tools and servers may carry escape sequences that move the cursor, set the title or
// write the clipboard. This takes them out before a terminal sees the text: nothing remains of the control
// characters but line feed and tab. Knows nothing of who prints. (Bun.stripANSI keeps control characters and
// bidi overrides and cannot go on from one chunk to the next.)
// Sequences: ECMA-48 section 5.3-5.6 and xterm's ctlseqs: CSI, OSC (ended by BEL or ST), DCS, APC, PM, SOS,
// two-character escapes, each also in its 8-bit C1 form.

export interface TerminalTextStripper {
  /** The printable part of the next chunk; a sequence may begin in one chunk and end in a later one. */
  push(chunk: string): string;
}

/**
 * The text without terminal control. Also without bidirectional embeddings, overrides and isolates
 * (U+202A-202E, U+2066-2069), with which a shown command can read differently from the one that runs;
 * the marks that right-to-left text needs stay.
 */
export function stripTerminalText(text: string): string {
  return createTerminalTextStripper().push(text);
}

/** Holds a few bytes of state, never text. A line feed ends any sequence, so that an open one hides one line at most. */
export function createTerminalTextStripper(): TerminalTextStripper {
  let state: State = "text";
  let hidden = 0;
  return {
    push(chunk) {
      if (state === "text" && !suspicious.test(chunk)) return chunk;
      let kept = "";
      let from = 0;
      for (let index = 0; index < chunk.length; index++) {
        const code = chunk.charCodeAt(index);
        hidden = state === "text" ? 0 : hidden + 1;
        const next = hidden > sequenceLimit ? textOr(code) : advance(state, code);
        const printed = next === "text" && endsAsText(state, code);
        if (!printed) {
          kept += chunk.slice(from, index);
          from = index + 1;
        }
        state = next;
      }
      return kept + chunk.slice(from);
    },
  };
}

/** Characters of one sequence after which what follows is text again: longer than any title or hyperlink. */
const sequenceLimit = 65_536;

// eslint-disable-next-line no-control-regex -- control characters are the subject
const suspicious = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

type State =
  | "text"
  /** After ESC. */
  | "escape"
  /** After ESC and an intermediate: one more character follows. */
  | "escape-intermediate"
  | "csi"
  /** Inside OSC, DCS, APC, PM or SOS. */
  | "string"
  /** After ESC inside one of those: a backslash makes it ST. */
  | "string-escape";

const [lineFeed, bell, cancel, substitute, escape] = [0x0a, 0x07, 0x18, 0x1a, 0x1b];
const backslash = 0x5c;

/** The state after one UTF-16 code unit. */
function advance(state: State, code: number): State {
  switch (state) {
    case "text":
      return textOr(code);
    case "escape":
      if (code >= 0x20 && code <= 0x2f) return "escape-intermediate";
      if (code === 0x5b) return "csi";
      if (stringOpeners.includes(code)) return "string";
      return code >= 0x30 && code <= 0x7e ? "text" : textOr(code);
    case "escape-intermediate":
      if (code >= 0x20 && code <= 0x2f) return "escape-intermediate";
      return code >= 0x30 && code <= 0x7e ? "text" : textOr(code);
    case "csi":
      if (code >= 0x20 && code <= 0x3f) return "csi";
      return code >= 0x40 && code <= 0x7e ? "text" : textOr(code);
    case "string":
      if (code === escape) return "string-escape";
      if (code === bell || code === 0x9c || code === cancel || code === substitute) return "text";
      return code === lineFeed ? "text" : "string";
    case "string-escape":
      return code === backslash ? "text" : advance("escape", code);
  }
}

/** `]`, `P`, `X`, `^`, `_` after ESC. */
const stringOpeners: readonly number[] = [0x5d, 0x50, 0x58, 0x5e, 0x5f];
/** OSC, DCS, SOS, PM, APC as one C1 character. */
const c1StringOpeners: readonly number[] = [0x9d, 0x90, 0x98, 0x9e, 0x9f];

function textOr(code: number): State {
  if (code === escape) return "escape";
  if (code === 0x9b) return "csi";
  return c1StringOpeners.includes(code) ? "string" : "text";
}

/** Whether the code unit that led back to (or stayed in) text is itself to be shown. */
function endsAsText(before: State, code: number): boolean {
  if (isHidden(code)) return false;
  if (before === "text" || code === lineFeed) return true;
  // The last character of a sequence belongs to it; one that no sequence can contain broke it off.
  return before !== "string" && (code < 0x20 || code > 0x7e);
}

function isHidden(code: number): boolean {
  if (code < 0x20) return code !== lineFeed && code !== 0x09;
  if (code >= 0x7f && code <= 0x9f) return true;
  return (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/** Characters that act on a terminal, reorder or break the line, or cannot be seen at all. */
const unseen =
  // eslint-disable-next-line no-control-regex -- control characters are the subject
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/**
 * The text in one line with every such character as an escape (`\n`, `\x1b`, `\u202e`): for what a person is
 * asked to approve, where leaving something out would show less than would happen.
 */
export function showControls(text: string): string {
  return text.replace(unseen, (character) => {
    if (character === "\n") return String.raw`\n`;
    if (character === "\t") return String.raw`\t`;
    const code = character.charCodeAt(0);
    const digits = code.toString(16);
    return code < 0x100 ? `\\x${digits.padStart(2, "0")}` : `\\u${digits.padStart(4, "0")}`;
  });
}
