// The command table flattened for completion: for every command path, the words that may follow it and what
// its flags take. The three shell scripts are written from this alone.
import { isGroup, type CommandDefinition, type CommandTable } from "./command.ts";

export interface CompletionFlag {
  /** `--format`, `-f`. */
  readonly spellings: readonly string[];
  readonly description: string;
  readonly takes: "nothing" | "value" | "file" | "directory" | readonly string[];
}

export interface CompletionPath {
  /** "" for opta itself, `do`, `models load`. */
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly description: string }[];
  readonly flags: readonly CompletionFlag[];
}

/** Loads every command's definition; runs none. */
export async function completionPaths(commands: CommandTable): Promise<readonly CompletionPath[]> {
  const names = Object.entries(commands).map(([word, row]) => ({
    word,
    description: row.summary,
  }));
  const versionFlag = { spellings: ["--version", "-v"], description: "print the version" };
  const paths: CompletionPath[] = [
    { path: "", words: names, flags: [helpFlag, { ...versionFlag, takes: "nothing" }] },
  ];
  for (const [name, row] of Object.entries(commands)) {
    const command = await row.load();
    if (!isGroup(command)) {
      // The topics of `opta help` are the commands themselves, which no definition lists.
      const words = name === "help" ? [...names, exitCodesTopic] : wordsOf(command);
      paths.push({ path: name, words, flags: flagsOf(command) });
      continue;
    }
    const words = command.subcommands.map((each) => ({
      word: each.name,
      description: each.summary,
    }));
    const fallback = command.subcommands.find((each) => each.name === command.defaultSubcommand);
    paths.push({ path: name, words, flags: fallback ? flagsOf(fallback) : [helpFlag] });
    for (const each of command.subcommands) {
      paths.push({
        path: `${name} ${each.name}`,
        words: wordsOf(each),
        flags: flagsOf(each),
      });
    }
  }
  return paths;
}

const exitCodesTopic = { word: "exit-codes", description: "what each exit code means" };

const helpFlag: CompletionFlag = {
  spellings: ["--help", "-h"],
  description: "show the help page",
  takes: "nothing",
};

function flagsOf(command: CommandDefinition): readonly CompletionFlag[] {
  const own = Object.entries(command.args ?? {}).map(([name, flag]): CompletionFlag => {
    const spellings = flag.alias === undefined ? [`--${name}`] : [`--${name}`, `-${flag.alias}`];
    const base = { spellings, description: flag.description };
    if (flag.type === "boolean") return { ...base, takes: "nothing" };
    if (flag.type === "enum") return { ...base, takes: flag.options };
    if (flag.valueHint === "FILE") return { ...base, takes: "file" };
    return { ...base, takes: flag.valueHint === "DIR" ? "directory" : "value" };
  });
  return [...own, helpFlag];
}

function wordsOf(command: CommandDefinition): CompletionPath["words"] {
  const [first] = command.positionals ?? [];
  return (first?.options ?? []).map((word) => ({ word, description: "" }));
}
