// `opta config`: reads and changes the user's settings. `path`, `set` and `unset` do not load the settings
// first, because they are how a file that opta refuses is mended. Secrets are shown only when asked for.
import { join } from "node:path";
import { stripTerminalText } from "../../base/terminal-text.ts";
import {
  addToConfig,
  type ConfigEntry,
  getConfig,
  listConfig,
  setConfig,
  showConfigValue,
  unsetConfig,
} from "../../config/edit.ts";
import type { Environment } from "../../config/environment.ts";
import { findConfigKey } from "../../config/keys.ts";
import { configDirectory } from "../../config/directory.ts";
import { overridingVariable } from "../../config/load.ts";
import { OptaError } from "../../protocol/error.ts";
import { type CommandGroup, defineCommand, type Positional } from "../command.ts";
import type { Io } from "../output/io.ts";
import { toJsonText } from "../output/json.ts";
import { renderTable } from "../output/table.ts";

const json = { type: "boolean", description: "print one JSON document" } as const;

const keyArgument: Positional = {
  name: "key",
  description: "a setting, such as connection.host",
  required: true,
};

const list = defineCommand({
  name: "list",
  summary: "list every setting, its value and where that comes from",
  args: { json },
  notes: "Flags win over environment variables, those over the file, and that over the defaults.",
  examples: ["opta config list", "opta config list --json"],
  async run({ args, io, loadConfig }) {
    const loaded = await loadConfig();
    const entries = listConfig(loaded);
    if (args.json) {
      io.stdout.write(toJsonText({ path: loaded.path, settings: entries.map(toDocument) }));
      return 0;
    }
    const rows = entries.map((entry) => [entry.key, showConfigValue(entry), entry.source]);
    io.stdout.write(renderTable({ head: ["KEY", "VALUE", "SOURCE"], rows }, io));
    return 0;
  },
});

const get = defineCommand({
  name: "get",
  summary: "print one setting",
  args: { json, reveal: { type: "boolean", description: "print a secret instead of ********" } },
  positionals: [keyArgument],
  examples: ["opta config get connection.host"],
  async run({ args, rest: [key = ""], io, loadConfig }) {
    const found = await getConfig(await loadConfig(), key);
    const entry = args.reveal ? { ...found, secret: false } : found;
    if (args.json) {
      io.stdout.write(toJsonText(toDocument(entry)));
      return 0;
    }
    if (entry.value === undefined) {
      throw new OptaError("not-found", `${key} is not set`, `opta config set ${key} <value>`);
    }
    io.stdout.write(`${clean(showConfigValue(entry))}\n`);
    return 0;
  },
});

const set = defineCommand({
  name: "set",
  summary: "write one setting to the file",
  positionals: [
    keyArgument,
    {
      name: "value",
      description: "text, a number, or a list as a,b or JSON; for a secret, - reads it from stdin",
      required: true,
    },
  ],
  examples: [
    "opta config set connection.host studio.local",
    "opta config set connection.apiKey - < key.txt",
    "opta config set connection.fallbackHosts macbook,10.0.0.5:1235",
    `opta config set permissions.rules '[{"decision":"allow","prefix":["git","status"]}]'`,
  ],
  async run({ rest: [key = "", value = ""], io, environment }) {
    const path = configPath(environment);
    const isSecret = findConfigKey(key)?.secret === true;
    const fromStdin = isSecret && value === "-";
    const text = fromStdin ? await readSecret(key, io) : value;
    const written = await setConfig(path, key, text);
    io.stdout.write(`${written} = ${isSecret ? "********" : clean(text)}\n`);
    if (isSecret && !fromStdin) {
      io.stderr.write(
        `your shell's history now holds that secret; next time: opta config set ${key} - < FILE\n`,
      );
    }
    warnOfOverride(environment, written, io);
    return 0;
  },
});

const add = defineCommand({
  name: "add",
  summary: "append to a list",
  positionals: [
    { ...keyArgument, description: "a list, such as permissions.rules" },
    { name: "value", description: "an element, as text or JSON", required: true },
  ],
  examples: [
    `opta config add permissions.rules '{"decision":"allow","prefix":["npm","test"]}'`,
    "opta config add connection.fallbackHosts macbook",
  ],
  async run({ rest: [key = "", value = ""], io, environment }) {
    await addToConfig(configPath(environment), key, value);
    io.stdout.write(`${key} += ${clean(value)}\n`);
    return 0;
  },
});

const unset = defineCommand({
  name: "unset",
  summary: "remove one setting from the file, so that its default holds",
  positionals: [keyArgument],
  examples: ["opta config unset connection.apiKey"],
  async run({ rest: [key = ""], io, environment }) {
    const removed = await unsetConfig(configPath(environment), key);
    io.stdout.write(removed ? `${clean(key)} removed\n` : `${clean(key)} was not set\n`);
    warnOfOverride(environment, key, io);
    return 0;
  },
});

const path = defineCommand({
  name: "path",
  summary: "print where the file is, whether or not it exists",
  examples: ["opta config path", '$EDITOR "$(opta config path)"'],
  async run({ io, environment }) {
    io.stdout.write(`${configPath(environment)}\n`);
    return 0;
  },
});

export const command: CommandGroup = {
  name: "config",
  summary: "read and change settings",
  subcommands: [list, get, set, add, unset, path],
  defaultSubcommand: "list",
  examples: ["opta config", "opta config set connection.host studio.local", "opta config path"],
};

function configPath(environment: Environment): string {
  return join(configDirectory(environment), "config.json");
}

/** What is unset is null, as JSON has no better word. */
function toDocument(entry: ConfigEntry): object {
  const shown = entry.secret && entry.value !== undefined ? "********" : (entry.value ?? null);
  return { key: entry.key, value: shown, source: entry.source };
}

/** @throws OptaError usage when nothing came */
async function readSecret(key: string, io: Io): Promise<string> {
  if (io.isTerminal(0)) io.stderr.write(`${key}: type or paste it, then Enter and Ctrl+D\n`);
  const text = (await io.readStdin()).replace(/\r?\n$/, "");
  if (text !== "") return text;
  throw new OptaError("usage", `stdin was empty, so ${key} is unchanged`, `opta help config set`);
}

function warnOfOverride(environment: Environment, key: string, io: Io): void {
  const name = overridingVariable(environment, key);
  if (name !== undefined) io.stderr.write(`${name} is set and still wins in this shell\n`);
}

function clean(text: string): string {
  return stripTerminalText(text);
}
