// What a command line would run, read with unbash (never executed): every simple command in it, however deep
// in substitutions, lists and functions, for deny and ask rules; and its words when it is one plain command,
// for allow rules. The two sides err in opposite directions: the list names rather too much, the plain form
// rather too little. It knows no rules. Analysis is for good questions; only a sandbox is a boundary.
import { forEachChild, parse } from "unbash";
import type { Assignment, Command, SyntaxNode, Word, WordPart } from "unbash";
import { hidesCommands, readsCode } from "./code-arguments.ts";
import { isShell, isWrapper } from "./command-wrappers.ts";
import { evaluatesText, quotesSubstitution } from "./latent-code.ts";
import { simpleCommandArgv } from "./simple-command.ts";

/** Words of a command; undefined: known only when it runs (an expansion, a glob). */
export type CommandWords = readonly (string | undefined)[];

export interface CommandAnalysis {
  /** The argument vector of a line that is one plain simple command, otherwise undefined. */
  readonly simpleArgv: readonly string[] | undefined;
  /** Every simple command of the line, and what wrappers such as `sudo` or `bash -c` would start. */
  readonly commands: readonly CommandWords[];
  /** False when the line may run commands that are not in the list. */
  readonly complete: boolean;
}

/** Longer text is not read: a nesting bomb of this size parses in well under a second. */
const maxAnalysedChars = 65_536;
/** Shell text inside shell text: `bash -c "bash -c …"`. */
const maxDepth = 8;
/** Words of a wrapper's call at which a command may begin. */
const maxWrapperWords = 256;

/** What the parts of a line, and the shell text in it, add up to. */
interface Findings {
  readonly commands: CommandWords[];
  /** A substitution in quotes, and something that evaluates text: together they may run it (latent-code.ts). */
  quotesSubstitution: boolean;
  evaluatesText: boolean;
}

/** Analyses a line for `/bin/bash -c`. Pure; never throws. */
export function analyseCommand(line: string): CommandAnalysis {
  const found: Findings = { commands: [], quotesSubstitution: false, evaluatesText: false };
  const isRead = collectFromLine(line, found, maxDepth);
  const complete = isRead && !(found.quotesSubstitution && found.evaluatesText);
  return { simpleArgv: simpleCommandArgv(line), commands: found.commands, complete };
}

/** Adds the commands of `line`; false when some may be missing. */
function collectFromLine(line: string, found: Findings, depth: number): boolean {
  if (line.length > maxAnalysedChars || depth === 0) return false;
  let complete = true;
  const visit = (node: SyntaxNode, isShellText: boolean): void => {
    if (node.type === "Script" && "errors" in node && (node.errors?.length ?? 0) > 0) {
      complete = false;
    }
    if (node.type === "Word" && hidesSubstitution(node)) complete = false;
    if (isUncertain(node)) complete = false;
    if (!isShellText && quotesSubstitution(node)) found.quotesSubstitution = true;
    if (evaluatesText(node)) found.evaluatesText = true;
    if (node.type === "Command" && !collectCommand(node, found, depth)) complete = false;
    const shellText = node.type === "Command" && startsShell(node) ? node.args : [];
    forEachChild(node, (child) =>
      visit(child, isShellText || shellText.some((arg) => arg === child)),
    );
  };
  try {
    visit(parse(line), false);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return false; // nested deeper than the stack
  }
  return complete;
}

/** A shell reads its arguments as shell text, where nothing of them is quoted any more. */
function startsShell({ name, args }: Command): boolean {
  return (
    name !== undefined && isWrapper(name.value) && wordTexts([name, ...args]).some(isShellWord)
  );
}

function isShellWord(word: string | undefined): boolean {
  return word !== undefined && isShell(word);
}

function collectCommand(command: Command, found: Findings, depth: number): boolean {
  if (command.name === undefined) return true;
  const words = wordTexts([command.name, ...command.args]);
  found.commands.push(words);
  const name = words[0];
  if (name === undefined) return true;
  let complete = !hidesCommands(words);
  if (!isWrapper(name)) return complete;
  if (!collectWrapped(words, found, depth)) complete = false;
  const hereText = command.redirects.some(
    ({ type }) => type === "HereDoc" || type === "HereString",
  );
  if (isShell(name) && (hereText || readsCode(words))) complete = false;
  return complete;
}

/** What a wrapper starts: a command may begin at any of its words, and any word may be shell text. */
function collectWrapped(words: CommandWords, found: Findings, depth: number): boolean {
  const throughShell = words.some(isShellWord);
  const inner = throughShell
    ? found
    : { commands: found.commands, quotesSubstitution: false, evaluatesText: false };
  let complete = words.length <= maxWrapperWords;
  if (throughShell && !collectFromLine(words.slice(1).join(" "), inner, depth - 1)) {
    complete = false; // eval and ssh join their words to one line
  }
  for (let index = 1; index < Math.min(words.length, maxWrapperWords); index += 1) {
    const command = words.slice(index);
    found.commands.push(command);
    // As an argument `.` is a directory.
    if (command[0] !== "." && hidesCommands(command)) complete = false;
    const word = words[index];
    if (word === undefined) {
      if (throughShell) complete = false;
    } else if (/[^\w./:,@%+=^-]/.test(word)) {
      const known = collectFromLine(word, inner, depth - 1);
      if (throughShell && !known) complete = false;
    }
  }
  return complete;
}

/** unbash splits `a<(b)`, one word for bash, in two: words without a blank between them are not known. */
function wordTexts(words: readonly (Word | Assignment)[]): CommandWords {
  return words.map((word, index) => {
    const joined = words[index - 1]?.end === word.pos || words[index + 1]?.pos === word.end;
    return joined ? undefined : wordText(word);
  });
}

/** The word as bash will pass it, or undefined when that is known only at run time. */
function wordText(word: Word | Assignment): string | undefined {
  if (word.type === "Assignment") {
    if (word.value.type !== "Word" || word.index !== undefined) return undefined;
    const value = wordText(word.value);
    return value === undefined ? undefined : `${word.name}${word.append ? "+=" : "="}${value}`;
  }
  if (/(^|[=:])~/.test(word.text)) return undefined;
  return word.parts === undefined || word.parts.every(isStatic) ? word.value : undefined;
}

function isStatic(part: WordPart): boolean {
  switch (part.type) {
    case "Literal":
    case "SingleQuoted":
    case "AnsiCQuoted":
      return true;
    case "DoubleQuoted":
    case "LocaleString":
      return part.parts.every((child) => child.type === "Literal");
    default:
      return false;
  }
}

/** unbash takes a process substitution behind a digit, `1<(rm)`, for a plain word. */
function hidesSubstitution(word: Word): boolean {
  if (word.parts === undefined) return /[<>]\(/.test(word.text);
  return word.parts.some((part) => part.type === "Literal" && /[<>]\(/.test(part.text));
}

/** Where the parse may differ from bash's; bash itself takes some `$((` for a nested substitution. */
function isUncertain(node: SyntaxNode): boolean {
  switch (node.type) {
    case "CommandExpansion":
    case "ProcessSubstitution":
      return node.script === undefined;
    case "ArithmeticExpansion":
      return /\$\(|`/.test(node.text.slice(3));
    case "ArithmeticCommand":
      return /\$\(|`/.test(node.body);
    case "ArithmeticCommandExpansion":
    case "Unknown":
      return true;
    default:
      return false;
  }
}
