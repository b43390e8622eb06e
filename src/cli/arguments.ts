// From words on the command line to the values of one command's flags. Strict, because a flag that is
// quietly ignored (`--mod plan`) can edit files: unknown names, missing values and extra words are refused.
// Not citty's parser (nor node:util's, which it wraps and which costs 1.4 ms of CPU): it accepts unknown
// flags and any `--no-…`, takes the next flag for a value and forgets where `--` stood.
import { OptaError } from "../protocol/error.ts";
import type { CommandDefinition, Flag, Flags, FlagValues } from "./command.ts";

export interface ParsedArguments {
  readonly args: FlagValues<Flags>;
  readonly rest: readonly string[];
  /** `--help` or `-h` stood before `--`; then nothing was checked. */
  readonly help: boolean;
}

type FlagValue = string | number | boolean | undefined;

/**
 * `words` are those after the command's name. `--name value`, `--name=value`, `-n value`, `-nvalue`,
 * `-n=value` and clusters (`-qm x`) are understood; the last of repeated flags wins; `--` ends the flags; a
 * value that begins with `-` needs the `=` form. `-` alone is a positional.
 * @param path the command as typed, for messages: `models load`
 * @throws OptaError usage
 */
export async function parseArguments(
  path: string,
  command: CommandDefinition,
  words: readonly string[],
): Promise<ParsedArguments> {
  const flags = command.args ?? {};
  const values = new Map<string, FlagValue>();
  const rest: string[] = [];
  if (asksForHelp(words)) return { args: {}, rest, help: true };
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--") {
      rest.push(...words.slice(index + 1));
      break;
    }
    if (word === "-" || !word.startsWith("-")) {
      rest.push(word);
      continue;
    }
    for (const { name, inline, last } of splitFlag(word, flags)) {
      const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
      if (flag === undefined) throw await unknownFlag(path, word, name, flags);
      let text = inline;
      if (text === undefined && flag.type !== "boolean" && last) text = words[++index];
      const separate = inline === undefined && text !== undefined;
      if (text === undefined && flag.type !== "boolean") throw missingValue(path, name, flag);
      if (separate && text !== "-" && text?.startsWith("-")) {
        throw missingValue(path, name, flag, text);
      }
      values.set(name, convert(path, name, flag, text));
    }
  }
  checkCount(path, command, rest);
  return { args: withDefaults(flags, values), rest, help: false };
}

function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  const before = end === -1 ? words : words.slice(0, end);
  return before.includes("--help") || before.includes("-h");
}

interface FlagWord {
  readonly name: string;
  readonly inline: string | undefined;
  /** Only the last letter of a cluster may take the next word as its value. */
  readonly last: boolean;
}

function splitFlag(word: string, flags: Flags): readonly FlagWord[] {
  if (word.startsWith("--")) {
    const equals = word.indexOf("=");
    if (equals === -1) return [{ name: word.slice(2), inline: undefined, last: true }];
    return [{ name: word.slice(2, equals), inline: word.slice(equals + 1), last: true }];
  }
  const found: FlagWord[] = [];
  for (let at = 1; at < word.length; at++) {
    const name = longName(word.charAt(at), flags);
    const following = word.slice(at + 1);
    const takesValue = flags[name] !== undefined && flags[name].type !== "boolean";
    if (following !== "" && (takesValue || following.startsWith("="))) {
      return [...found, { name, inline: following.replace(/^=/, ""), last: true }];
    }
    found.push({ name, inline: undefined, last: following === "" });
  }
  return found;
}

/** The long name of `-x`; the letter itself when there is none, which no flag is called. */
function longName(letter: string, flags: Flags): string {
  return Object.entries(flags).find(([, flag]) => flag.alias === letter)?.[0] ?? letter;
}

function convert(path: string, name: string, flag: Flag, text: string | undefined): FlagValue {
  if (flag.type === "boolean") {
    if (text === undefined || text === "true") return true;
    if (text === "false") return false;
    throw badValue(path, `--${name} is a switch and takes no value (got "${text}")`);
  }
  if (flag.type === "enum" && !flag.options.includes(text ?? "")) {
    throw badValue(path, `--${name} is one of ${flag.options.join(", ")} (got "${text}")`);
  }
  if (flag.type !== "integer") return text;
  const number = /^-?\d+$/.test(text ?? "") ? Number(text) : Number.NaN;
  if (number >= flag.minimum && number <= flag.maximum) return number;
  const range = `a whole number from ${flag.minimum} to ${flag.maximum}`;
  throw badValue(path, `--${name} is ${range} (got "${text}")`);
}

function withDefaults(flags: Flags, values: ReadonlyMap<string, FlagValue>): FlagValues<Flags> {
  const entries = Object.entries(flags).map(([name, flag]) => {
    const fallback = flag.type === "boolean" ? false : flag.default;
    return [name, values.has(name) ? values.get(name) : fallback];
  });
  return Object.fromEntries(entries);
}

function checkCount(path: string, command: CommandDefinition, rest: readonly string[]): void {
  const positionals = command.positionals ?? [];
  const missing = positionals.find((each, index) => each.required && rest[index] === undefined);
  if (missing) throw badValue(path, `opta ${path} needs <${missing.name}>: ${missing.description}`);
  for (const [index, { name, options }] of positionals.entries()) {
    const given = rest[index];
    if (given === undefined || options === undefined || options.includes(given)) continue;
    throw badValue(path, `<${name}> is one of ${options.join(", ")} (got "${given}")`);
  }
  if (positionals.some((each) => each.variadic)) return;
  const extra = rest[positionals.length];
  if (extra === undefined) return;
  const takes = positionals.length === 0 ? "no arguments" : `only ${positionals.length}`;
  throw badValue(path, `unexpected argument "${extra}": opta ${path} takes ${takes}`);
}

async function unknownFlag(
  path: string,
  word: string,
  name: string,
  flags: Flags,
): Promise<OptaError> {
  const { nearestName } = await import("./nearest.ts");
  const shown = word.startsWith("--") ? `--${name}` : `-${name}`;
  const near = name.length > 1 ? nearestName(name, Object.keys(flags)) : undefined;
  const guess = near === undefined ? "" : `; did you mean --${near}?`;
  return badValue(path, `opta ${path} has no flag ${shown}${guess}`);
}

function missingValue(path: string, name: string, flag: Flag, next?: string): OptaError {
  const hint =
    "valueHint" in flag ? flag.valueHint : "options" in flag ? flag.options.join("|") : "";
  if (next === undefined) return badValue(path, `--${name} needs a value: --${name} <${hint}>`);
  return badValue(path, `--${name} needs a value before ${next} (or write --${name}=${next})`);
}

function badValue(path: string, message: string): OptaError {
  return new OptaError("usage", message, `opta help ${path}`);
}
