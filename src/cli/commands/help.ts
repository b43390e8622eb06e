// `opta help [command]` and `opta help exit-codes`: pages from the definitions, exit codes from the one table
// of protocol/error.ts. Reads no settings and opens no connection.
import { exitCodes, OptaError } from "../../protocol/error.ts";
import { defineCommand, isGroup, type Command, type CommandTable } from "../command.ts";
import { commandPage, overviewPage } from "../help.ts";

export const command = defineCommand({
  name: "help",
  summary: "explain a command, or the exit codes",
  positionals: [
    { name: "topic", description: "a command, its subcommand, or exit-codes", variadic: true },
  ],
  examples: ["opta help do", "opta help models load", "opta help exit-codes"],
  async run({ rest, io, commands }) {
    io.stdout.write(await pageFor(rest, commands));
    return 0;
  },
});

async function pageFor(topic: readonly string[], commands: CommandTable): Promise<string> {
  const [name, subcommand, extra] = topic;
  if (name === undefined) return overviewPage(commands);
  if (name === "exit-codes" && subcommand === undefined) return exitCodesPage();
  const row = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (row === undefined) throw await noPage(name, [...Object.keys(commands), "exit-codes"]);
  const found: Command = await row.load();
  if (subcommand === undefined) return commandPage(name, found);
  const known = isGroup(found) ? found.subcommands : [];
  const leaf = known.find((each) => each.name === subcommand);
  const names = known.map((each) => `${name} ${each.name}`);
  if (leaf === undefined || extra !== undefined) throw await noPage(topic.join(" "), names);
  return commandPage(`${name} ${subcommand}`, leaf);
}

async function noPage(topic: string, known: readonly string[]): Promise<OptaError> {
  const { nearestName } = await import("../nearest.ts");
  const near = nearestName(topic, known);
  const hint = near === undefined ? "opta help" : `opta help ${near}`;
  return new OptaError("usage", `there is no help page "${topic}"`, hint);
}

function exitCodesPage(): string {
  const rows = Object.values(exitCodes).map(
    ({ exit, meaning }) => `  ${String(exit).padStart(3)}  ${meaning}`,
  );
  return `Exit codes of opta:\n${rows.join("\n")}\n`;
}
