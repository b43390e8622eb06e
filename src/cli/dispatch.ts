// One command line from its words to its exit code: find the command, parse its flags, run it, print what
// went wrong. Knows no command and no process: run.ts gives it the real ones, tests give it theirs.
import { OptaError } from "../protocol/error.ts";
import { parseArguments } from "./arguments.ts";
import { isGroup, type Command, type CommandDefinition, type CommandTable } from "./command.ts";
import type { ContextParts } from "./context.ts";
import { reportError } from "./errors.ts";
import { commandPage, startPage } from "./help.ts";

/** Runs one command and returns its exit code; whatever it throws is reported on stderr. */
export async function runCommandLine(
  words: readonly string[],
  commands: CommandTable,
  parts: ContextParts,
): Promise<number> {
  try {
    return await dispatch(words, commands, parts);
  } catch (thrown) {
    return reportError(thrown, parts.io, { trace: wantsTrace(parts) });
  } finally {
    await parts.close();
  }
}

async function dispatch(
  words: readonly string[],
  commands: CommandTable,
  parts: ContextParts,
): Promise<number> {
  const [name, ...others] = words;
  if (name === undefined) return print(parts, startPage(parts.io.style(1)));
  if (name === "--help" || name === "-h") return dispatch(["help", ...others], commands, parts);
  if (name === "--version" || name === "-v") return dispatch(["version"], commands, parts);
  const row = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (row === undefined) throw await unknownCommand(words, commands);
  const command = await row.load();
  const { path, leaf, rest } = await descend(command, others);
  if (leaf === undefined) return print(parts, commandPage(path, command));
  const parsed = await parseArguments(path, leaf, rest);
  if (parsed.help) return print(parts, commandPage(path, leaf));
  const { args, rest: positionals } = parsed;
  const { io, environment, loadConfig, loadDirectory, connect } = parts;
  return leaf.run({
    args,
    rest: positionals,
    io,
    environment,
    commands,
    loadConfig,
    loadDirectory,
    connect,
  });
}

function print(parts: ContextParts, text: string): number {
  parts.io.stdout.write(text);
  return 0;
}

interface Found {
  /** As typed: `models load`. */
  readonly path: string;
  /** Undefined: the group's own page is wanted. */
  readonly leaf: CommandDefinition | undefined;
  readonly rest: readonly string[];
}

async function descend(command: Command, words: readonly string[]): Promise<Found> {
  if (!isGroup(command)) return { path: command.name, leaf: command, rest: words };
  const [first, ...others] = words;
  if (first === "--help" || first === "-h") {
    return { path: command.name, leaf: undefined, rest: [] };
  }
  const named = command.subcommands.find((each) => each.name === first);
  if (named) return { path: `${command.name} ${named.name}`, leaf: named, rest: others };
  const fallback = command.subcommands.find((each) => each.name === command.defaultSubcommand);
  if (fallback && (first === undefined || first.startsWith("-"))) {
    return { path: `${command.name} ${fallback.name}`, leaf: fallback, rest: words };
  }
  throw await unknownSubcommand(command.name, first, command.subcommands);
}

async function unknownSubcommand(
  group: string,
  given: string | undefined,
  known: readonly CommandDefinition[],
): Promise<OptaError> {
  const names = known.map((each) => each.name);
  const hint = `opta help ${group}`;
  if (given === undefined || given.startsWith("-")) {
    return new OptaError("usage", `opta ${group} needs one of: ${names.join(", ")}`, hint);
  }
  const { nearestName } = await import("./nearest.ts");
  const near = nearestName(given, names);
  const guess = near === undefined ? `; it has ${names.join(", ")}` : `; did you mean ${near}?`;
  return new OptaError("usage", `opta ${group} has no command "${given}"${guess}`, hint);
}

/** A word that is no command may be a task whose `do` was forgotten: `opta "fix the bug"`. */
async function unknownCommand(
  words: readonly string[],
  commands: CommandTable,
): Promise<OptaError> {
  const [name = ""] = words;
  if (name.startsWith("-")) {
    const message = `opta has no flag ${name} of its own; flags follow a command`;
    return new OptaError("usage", message, "opta help");
  }
  const { nearestName } = await import("./nearest.ts");
  const near = /\s/.test(name) ? undefined : nearestName(name, Object.keys(commands));
  if (near !== undefined) {
    return new OptaError("usage", `no command "${name}"; did you mean ${near}?`, `opta ${near}`);
  }
  const task = words.filter((word) => !word.startsWith("-")).join(" ");
  const quoted = `"${task.replace(/["\\$`]/g, "\\$&")}"`;
  const shown = quoted.length <= 200 ? quoted : '"…"';
  const hint = `for a task: opta do ${shown}\nfor a list of commands: opta help`;
  return new OptaError("usage", `no command ${shown}`, hint);
}

function wantsTrace(parts: ContextParts): boolean {
  return parts.environment.variables["OPTA_DEBUG"] === "1";
}
