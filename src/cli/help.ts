// Help pages, made from the same definitions that parse the flags: usage, flags with their defaults,
// examples. Not citty's renderer: it reads the environment and prints upper-case argument names that the
// messages do not use.
import { isGroup, type Command, type CommandDefinition, type CommandTable } from "./command.ts";
import type { Flag, Positional } from "./command.ts";
import type { Style } from "./output/style.ts";

/** What a bare `opta` prints: the first things to type. */
export function startPage(style: Style): string {
  return `${style.bold("opta")} - a coding agent for models you run yourself

  opta demo                        watch it repair a small project, no model needed
  opta status                      see which model server it would use
  opta do "fix the failing test"   give it a task in this directory

opta help lists everything; opta help do explains one command.
`;
}

/** `opta help`. */
export function overviewPage(commands: CommandTable): string {
  const rows = Object.entries(commands).map(([name, row]) => [name, row.summary] as const);
  return `opta - a coding agent for models you run yourself

Usage: opta <command> [flags] [arguments]

Commands:
${columns(rows)}

opta help <command> explains one; opta help exit-codes lists the exit codes.
`;
}

/** `opta help models` and `opta models load --help`. @param path as typed, without `opta` */
export function commandPage(path: string, command: Command): string {
  const sections = isGroup(command)
    ? [
        `opta ${path} - ${command.summary}`,
        `Usage: opta ${path} ${command.defaultSubcommand ? "[command]" : "<command>"} [flags]`,
        `Commands:\n${columns(command.subcommands.map((each) => subcommandRow(each, command.defaultSubcommand)))}`,
      ]
    : [
        `opta ${path} - ${command.summary}`,
        `Usage: ${usage(path, command)}`,
        ...argumentSection(command.positionals ?? []),
        `Flags:\n${columns(flagRows(command))}`,
        ...(command.notes === undefined ? [] : [command.notes]),
      ];
  const examples = command.examples.map((each) => `  ${each}`).join("\n");
  return `${[...sections, `Examples:\n${examples}`].join("\n\n")}\n`;
}

function subcommandRow(
  command: CommandDefinition,
  fallback: string | undefined,
): readonly [string, string] {
  const placeholders = (command.positionals ?? []).map((each) => ` ${placeholder(each)}`).join("");
  const note = command.name === fallback ? " (when none is named)" : "";
  return [`${command.name}${placeholders}`, `${command.summary}${note}`];
}

function usage(path: string, command: CommandDefinition): string {
  const placeholders = (command.positionals ?? []).map((each) => placeholder(each));
  return ["opta", path, "[flags]", ...placeholders].join(" ");
}

function placeholder(positional: Positional): string {
  const name = `${positional.name}${positional.variadic ? "…" : ""}`;
  return positional.required ? `<${name}>` : `[${name}]`;
}

function argumentSection(positionals: readonly Positional[]): readonly string[] {
  if (positionals.length === 0) return [];
  return [`Arguments:\n${columns(positionals.map((each) => [each.name, each.description]))}`];
}

function flagRows(command: CommandDefinition): readonly (readonly [string, string])[] {
  const rows = Object.entries(command.args ?? {}).map(
    ([name, flag]) => [flagLabel(name, flag), flagDescription(flag)] as const,
  );
  return [...rows, ["-h, --help", "show this page"]];
}

function flagLabel(name: string, flag: Flag): string {
  const long = flag.alias === undefined ? `    --${name}` : `-${flag.alias}, --${name}`;
  if (flag.type === "boolean") return long;
  return `${long} ${flag.type === "enum" ? flag.options.join("|") : flag.valueHint}`;
}

function flagDescription(flag: Flag): string {
  if (flag.type === "boolean" || flag.default === undefined) return flag.description;
  return `${flag.description} (default: ${flag.default})`;
}

/** Two columns, the second aligned; a left cell that is too wide has its text on the next line. */
function columns(rows: readonly (readonly [string, string])[]): string {
  const fitting = rows.map(([left]) => left.length).filter((length) => length <= widestLeft);
  const width = Math.max(0, ...fitting);
  return rows
    .map(([left, right]) => {
      if (left.length > width) return `  ${left}\n  ${" ".repeat(width)}  ${right}`;
      return `  ${left.padEnd(width)}  ${right}`;
    })
    .join("\n");
}

/** Characters; what leaves room for a sentence in 80 columns. */
const widestLeft = 32;
