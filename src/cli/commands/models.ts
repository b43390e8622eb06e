// `opta models`: what the server has in memory and on disk, moving models between the two, and what the user
// calls them and knows of them. Sizes and states are the server's.
import { stripTerminalText } from "../../base/terminal-text.ts";
import type { LoadResult, ModelList } from "../../protocol/model.ts";
import {
  type CommandContext,
  type CommandGroup,
  defineCommand,
  type Positional,
} from "../command.ts";
import { deviceSettings } from "../device.ts";
import { loadToEnd } from "../model-load.ts";
import { findModel } from "../../protocol/find-model.ts";
import { noSuchModel } from "../model-name.ts";
import type { Io } from "../output/io.ts";
import { toJsonText } from "../output/json.ts";
import { formatBytes, formatCount, formatSeconds } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { alias, settings } from "./model-settings.ts";

const modelFlags = {
  json: { type: "boolean", description: "print one JSON document" },
  device: { type: "string", valueHint: "HOST[:PORT]", description: "the model server to use" },
} as const;

const modelArgument: Positional = {
  name: "model",
  description: "an id, or its part after the last /",
  required: true,
};

const list = defineCommand({
  name: "list",
  summary: "list the models in memory and on disk",
  args: modelFlags,
  examples: ["opta models list", "opta models list --json"],
  async run({ args, io, connect }) {
    const client = await connect(args.device === undefined ? {} : deviceSettings(args.device));
    const models = await client.call("lmx.models", {});
    io.stdout.write(args.json ? toJsonText(models) : describe(models, io));
    return 0;
  },
});

const load = defineCommand({
  name: "load",
  summary: "load a model into memory and wait until it answers",
  args: {
    ...modelFlags,
    yes: { type: "boolean", alias: "y", description: "download it without asking, if need be" },
  },
  notes:
    "A model that is not on the server's disk is downloaded by the server, after a question that\nnames its size. Ctrl+C stops watching; the download goes on.",
  positionals: [modelArgument],
  examples: ["opta models load mlx-community/Qwen3-8B-4bit", "opta models load qwen3-8b-4bit"],
  async run(context) {
    const { args, io } = context;
    const { client, server, models, name } = await askServer(context);
    const modelId = findModel(models, name)?.modelId ?? name;
    const result = await loadToEnd({ client, io, server, modelId, yes: args.yes });
    io.stdout.write(args.json ? toJsonText(result) : `${loadedLine(result)}\n`);
    return 0;
  },
});

const unload = defineCommand({
  name: "unload",
  summary: "take a model out of memory",
  args: modelFlags,
  positionals: [modelArgument],
  examples: ["opta models unload qwen3-8b-4bit"],
  async run(context) {
    const { args, io } = context;
    const { client, server, models, name } = await askServer(context);
    const found = findModel(models, name);
    if (found === undefined) throw await noSuchModel(models, { name, server });
    const result = await client.call("lmx.unload", { modelId: found.modelId });
    const { modelId, freedBytes } = result;
    const freed = freedBytes === null ? "" : `, ${formatBytes(freedBytes)} freed`;
    io.stdout.write(args.json ? toJsonText(result) : `unloaded ${clean(modelId)}${freed}\n`);
    return 0;
  },
});

const use = defineCommand({
  name: "use",
  summary: "make a model the default: sets model.default",
  args: modelFlags,
  positionals: [modelArgument],
  examples: ["opta models use qwen3-8b-4bit"],
  async run(context) {
    const { args, io, loadConfig, environment } = context;
    const { server, models, name } = await askServer(context);
    const found = findModel(models, name);
    if (found === undefined) throw await noSuchModel(models, { name, server });
    const { path } = await loadConfig();
    const { setConfig } = await import("../../config/edit.ts");
    await setConfig(path, "model.default", found.modelId);
    const { modelId, state } = found;
    io.stdout.write(
      args.json ? toJsonText({ modelId, state, path }) : `default model: ${modelId}\n`,
    );
    const override = environment.variables["OPTA_MODEL"];
    if (override !== undefined && override !== modelId) {
      io.stderr.write(`OPTA_MODEL=${clean(override)} is set and still wins in this shell\n`);
    }
    if (state !== "loaded") {
      io.stderr.write(`it is not loaded yet: opta models load ${clean(modelId)}\n`);
    }
    return 0;
  },
});

export const command: CommandGroup = {
  name: "models",
  summary: "list, load, unload, choose and name models",
  subcommands: [list, load, unload, use, alias, settings],
  defaultSubcommand: "list",
  examples: [
    "opta models",
    "opta models load mlx-community/Qwen3-8B-4bit",
    "opta models use qwen3-8b-4bit",
  ],
};

/** What the server has, and the model that was named, its alias resolved. */
async function askServer(context: CommandContext<typeof modelFlags>) {
  const { args, rest, connect, loadConfig } = context;
  const flags = args.device === undefined ? {} : deviceSettings(args.device);
  const client = await connect(flags);
  const { aliases } = (await loadConfig(flags)).config;
  const typed = rest[0] ?? "";
  const name = Object.hasOwn(aliases, typed) ? (aliases[typed] ?? typed) : typed;
  return { client, name, ...(await client.call("lmx.models", {})) };
}

function describe({ server, models }: ModelList, io: Io): string {
  if (models.length === 0) return `${server} has no models\n`;
  const rows = models.map(({ modelId, state, sizeBytes, contextLength }) => {
    const where = state === "on-disk" ? "on disk" : state;
    return [modelId, where, formatBytes(sizeBytes), formatCount(contextLength)];
  });
  return renderTable({ head: ["MODEL", "STATE", "SIZE", "CONTEXT"], rows, alignRight: [2, 3] }, io);
}

function loadedLine(result: Extract<LoadResult, { status: "loaded" }>): string {
  const facts = [
    ...(result.memoryBytes === null ? [] : [formatBytes(result.memoryBytes)]),
    ...(result.loadTimeMs === null ? [] : [formatSeconds(result.loadTimeMs)]),
  ];
  const suffix = facts.length === 0 ? "" : ` (${facts.join(", ")})`;
  return `loaded ${clean(result.modelId)}${suffix}`;
}

function clean(text: string): string {
  return stripTerminalText(text);
}
