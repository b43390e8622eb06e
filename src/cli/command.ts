// The shape of a command: what it is called, which flags it knows, how it is run. Parsing, help pages and
// completions all derive from this one definition. Flags are spelled as citty spells them; why citty does
// not parse them is told in arguments.ts.
import type { Client } from "../client/client.ts";
import type { Environment } from "../config/environment.ts";
import type { ConfigFlags, LoadedConfig } from "../config/load.ts";
import type { Io } from "./output/io.ts";

interface FlagBase {
  /** One line for the help page, lower case, no full stop. */
  readonly description: string;
  /** One letter: `m` for `-m`. */
  readonly alias?: string;
}

export type Flag =
  | (FlagBase & { readonly type: "boolean" })
  /** `valueHint` names the value in help. DIR and FILE also choose what completion offers. */
  | (FlagBase & { readonly type: "string"; readonly valueHint: string; readonly default?: string })
  | (FlagBase & {
      readonly type: "enum";
      readonly options: readonly string[];
      readonly default?: string;
    })
  | (FlagBase & {
      readonly type: "integer";
      readonly valueHint: string;
      readonly minimum: number;
      readonly maximum: number;
      readonly default?: number;
    });

/** Long name in kebab-case, without dashes -> flag. */
export type Flags = Readonly<Record<string, Flag>>;

type Given<F extends Flag, V> = F extends { readonly default: string | number } ? V : V | undefined;

/** What a command reads: `args["max-steps"]`. A flag that was not given is false, its default, or undefined. */
export type FlagValues<F extends Flags> = {
  readonly [K in keyof F]: F[K] extends { readonly type: "boolean" }
    ? boolean
    : F[K] extends { readonly type: "integer" }
      ? Given<F[K], number>
      : F[K] extends { readonly type: "enum"; readonly options: readonly (infer O)[] }
        ? Given<F[K], O>
        : Given<F[K], string>;
};

export interface Positional {
  /** As help shows it: `session`. */
  readonly name: string;
  readonly description: string;
  readonly required?: boolean;
  /** The only values there are; completion offers them. */
  readonly options?: readonly string[];
  /** Takes all that follow; only the last positional may. */
  readonly variadic?: boolean;
}

/** Which client a command wants. */
export interface ConnectChoice {
  /** Default "either": the daemon's when one lives that would do the same, else one in this process. */
  readonly mode?: "either" | "embedded" | "attach";
  /** True: the daemon's settings do not matter, since it only tells what it has. */
  readonly anySettings?: boolean;
}

/** Everything a command may use. Made anew for each run. */
export interface CommandContext<F extends Flags = Flags> {
  readonly args: FlagValues<F>;
  /** The positional arguments, in order; how many there may be is already checked. */
  readonly rest: readonly string[];
  readonly io: Io;
  readonly environment: Environment;
  /** All commands: for help and completions. */
  readonly commands: CommandTable;
  /** Flags of the command line that override settings go in; loads config/ on first use. @throws OptaError config-invalid */
  loadConfig(flags?: ConfigFlags): Promise<LoadedConfig>;
  /** opta's own directory; nothing is read. */
  loadDirectory(): string;
  /** A client for the configured server, closed after the command. */
  connect(flags?: ConfigFlags, options?: ConnectChoice): Promise<Client>;
}

export interface CommandDefinition<F extends Flags = Flags> {
  readonly name: string;
  /** One line, lower case, no full stop. */
  readonly summary: string;
  readonly args?: F;
  readonly positionals?: readonly Positional[];
  /** Whole command lines, most useful first. */
  readonly examples: readonly string[];
  /** A paragraph for the help page, when flags do not say it all. */
  readonly notes?: string;
  /** Returns the exit code. @throws OptaError, which the caller prints. */
  run(context: CommandContext<F>): Promise<number>;
}

/** A command that only holds others: `opta models`. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly examples: readonly string[];
  readonly subcommands: readonly CommandDefinition[];
  /** Runs when no subcommand is named. */
  readonly defaultSubcommand?: string;
}

export type Command = CommandDefinition | CommandGroup;

/** Name -> how to load it; the list itself is table.ts. */
export type CommandTable = Readonly<
  Record<string, { readonly summary: string; load(): Promise<Command> }>
>;

/** Types `context.args` after the flags, then forgets them for the table. */
export function defineCommand<const F extends Flags>(
  command: CommandDefinition<F>,
): CommandDefinition {
  return command as unknown as CommandDefinition;
}

export function isGroup(command: Command): command is CommandGroup {
  return "subcommands" in command;
}
