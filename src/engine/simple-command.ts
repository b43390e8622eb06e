// The gate of prefix rules: is this line one plain command whose words we know for certain? Two readers must
// agree: a small tokenizer that accepts a safe part of the language byte by byte, so that nothing is left
// over, and unbash's parse of the line. It models `/bin/bash --noprofile --norc -c` and no other shell, and
// refuses whatever it is not sure of; a refusal only means that the user is asked.
import { parse } from "unbash";

/** Longer lines are scripts; nobody means them by a prefix. */
const maxLineBytes = 8192;

/**
 * Blanks, or one word: characters that mean nothing to bash anywhere, `~` behind a letter or digit (HEAD~1;
 * elsewhere it expands), and quotes without $ ` \ or !. Globs, braces, #, redirections and operators are out.
 */
const token = /( +)|((?:[A-Za-z0-9_./:,@%+=^-]|(?<=[A-Za-z0-9])~|'[^'$`\\!]*'|"[^"$`\\!]*")+)/y;
const quotes = /'([^']*)'|"([^"]*)"/g;

const reservedWords = new Set(
  "if then elif else fi for while until do done case esac select function time coproc in".split(
    " ",
  ),
);
const assignment = /^[A-Za-z_][A-Za-z0-9_]*\+?=/;

/**
 * The argument vector of a line that is exactly one simple command, each word as bash will pass it; otherwise
 * undefined. Never throws. Source: promises, "Shell command analysis", gate rows 1-4 and token coverage.
 */
export function simpleCommandArgv(line: string): readonly string[] | undefined {
  if (line.length > maxLineBytes || !/^[\x20-\x7e]*$/.test(line)) return undefined;
  const words = plainWords(line);
  const first = words?.[0];
  if (words === undefined || first === undefined) return undefined;
  if (reservedWords.has(first) || assignment.test(first)) return undefined;
  if (!parserAgrees(line, words)) return undefined;
  const argv = words.map(unquote);
  return argv[0] === "" ? undefined : argv;
}

/** The words as written; undefined when a byte of the line belongs to neither a word nor a blank. */
function plainWords(line: string): readonly string[] | undefined {
  const words: string[] = [];
  token.lastIndex = 0;
  let position = 0;
  while (position < line.length) {
    const match = token.exec(line);
    if (match === null) return undefined;
    position = token.lastIndex;
    if (match[2] !== undefined) words.push(match[2]);
  }
  return words;
}

function unquote(word: string): string {
  return word.replace(quotes, (_, single?: string, double?: string) => single ?? double ?? "");
}

function parserAgrees(line: string, words: readonly string[]): boolean {
  const script = parse(line);
  const [statement, ...others] = script.commands;
  if (statement === undefined || others.length > 0) return false;
  if (script.errors !== undefined && script.errors.length > 0) return false;
  const command = statement.command;
  if (statement.background === true || command.type !== "Command") return false;
  if (command.name === undefined || command.prefix.length > 0 || command.redirects.length > 0) {
    return false;
  }
  const seen = [command.name, ...command.args];
  return seen.length === words.length && seen.every((word, index) => word.text === words[index]);
}
