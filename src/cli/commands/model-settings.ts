// `opta models alias` and `opta models settings`: what the user calls models and knows of them, kept in the
// settings file under `aliases` and `models`. Neither asks a server: a model may be set up before it is there.
import { showControls } from "../../base/terminal-text.ts";
import { setConfigEntry } from "../../config/edit.ts";
import { OptaError } from "../../protocol/error.ts";
import { defineCommand } from "../command.ts";
import { toJsonText } from "../output/json.ts";
import { renderTable } from "../output/table.ts";

const json = { type: "boolean", description: "print one JSON document" } as const;

export const alias = defineCommand({
  name: "alias",
  summary: "give a model a short name of your own",
  args: { json, remove: { type: "boolean", description: "remove that alias" } },
  positionals: [
    { name: "name", description: "the short name; none lists them all" },
    { name: "model", description: "the model's id" },
  ],
  notes:
    "An alias works wherever a model is named: -m, model.default, OPTA_MODEL, opta models load.",
  examples: [
    "opta models alias fast mlx-community/Qwen3-8B-4bit",
    "opta models alias fast --remove",
  ],
  async run({ args, rest: [name, modelId], io, loadConfig }) {
    const { path, config } = await loadConfig();
    const { aliases } = config;
    if (name === undefined) {
      const rows = Object.entries(aliases).map(([key, id]) => [key, id]);
      const table = renderTable({ head: ["ALIAS", "MODEL"], rows }, io);
      const none = "no aliases yet: opta models alias NAME ID\n";
      io.stdout.write(args.json ? toJsonText({ aliases }) : rows.length === 0 ? none : table);
      return 0;
    }
    const known = Object.hasOwn(aliases, name) ? aliases[name] : undefined;
    if (args.remove || modelId === undefined) {
      if (known === undefined) {
        throw new OptaError(
          "not-found",
          `there is no alias ${name}`,
          `opta models alias ${name} ID`,
        );
      }
      if (args.remove) await setConfigEntry(path, "aliases", { name, value: undefined });
      const text = args.remove ? `alias ${name} removed` : `${name} = ${known}`;
      io.stdout.write(args.json ? toJsonText({ name, modelId: known }) : `${showControls(text)}\n`);
      return 0;
    }
    if (Object.hasOwn(aliases, modelId)) {
      throw new OptaError(
        "usage",
        `${modelId} is an alias itself`,
        `name the model: ${aliases[modelId]}`,
      );
    }
    await setConfigEntry(path, "aliases", { name, value: modelId });
    io.stdout.write(
      args.json ? toJsonText({ name, modelId }) : `${showControls(`${name} = ${modelId}`)}\n`,
    );
    return 0;
  },
});

/** How each setting is read from text; what does not fit is handed on as it is, for the schema to refuse. */
const readers: Readonly<Record<string, (text: string) => unknown>> = {
  window: toNumber,
  reasoning: (text) => text,
  parallelTools: (text) => (text === "true" ? true : text === "false" ? false : text),
  temperature: toNumber,
};

export const settings = defineCommand({
  name: "settings",
  summary: "show or change what opta takes for true of a model",
  args: { json },
  positionals: [
    { name: "model", description: "its id, or the part after the last /; none lists them all" },
    { name: "setting", description: "name=value, or name= to remove it", variadic: true },
  ],
  notes:
    "window: tokens of prompt and answer together, where the server does not say or says too much\n" +
    "reasoning: resend or drop earlier thoughts; unset, as the model's family wants it\n" +
    "parallelTools: false runs the tool calls of an answer one after another\n" +
    "temperature: 0 to 2",
  examples: [
    "opta models settings",
    "opta models settings Qwen3-8B-4bit window=32768 temperature=0.2",
    "opta models settings Qwen3-8B-4bit temperature=",
  ],
  async run({ args, rest: [model, ...changes], io, loadConfig }) {
    const { path, config } = await loadConfig();
    const before =
      model !== undefined && Object.hasOwn(config.models, model) ? config.models[model] : undefined;
    if (model !== undefined && Object.hasOwn(config.aliases, model)) {
      const hint = `opta models settings ${config.aliases[model]} …`;
      throw new OptaError("usage", `${model} is an alias; settings belong to the model`, hint);
    }
    if (model !== undefined && changes.length > 0) {
      const value = Object.fromEntries(
        Object.entries({ ...before, ...Object.fromEntries(changes.map(readChange)) }).filter(
          ([, each]) => each !== undefined,
        ),
      );
      const isEmpty = Object.keys(value).length === 0;
      await setConfigEntry(path, "models", { name: model, value: isEmpty ? undefined : value });
      io.stdout.write(
        args.json ? toJsonText({ model, settings: value }) : `${line(model, value)}\n`,
      );
      return 0;
    }
    const shown = model === undefined ? config.models : { [model]: before ?? {} };
    if (args.json) {
      io.stdout.write(toJsonText({ models: shown }));
      return 0;
    }
    const lines = Object.entries(shown).map(([name, value]) => line(name, value));
    const none = "no settings yet: opta models settings MODEL window=32768";
    io.stdout.write(`${lines.length === 0 ? none : lines.join("\n")}\n`);
    return 0;
  },
});

/** @throws OptaError usage */
function readChange(change: string): readonly [name: string, value: unknown] {
  const at = change.indexOf("=");
  const name = at < 0 ? change : change.slice(0, at);
  const read = Object.hasOwn(readers, name) ? readers[name] : undefined;
  if (at < 0 || read === undefined) {
    const names = Object.keys(readers).join(", ");
    throw new OptaError(
      "usage",
      `"${change}" is no setting of a model: write name=value, with a name of ${names}`,
      "opta help models settings",
    );
  }
  const text = change.slice(at + 1);
  return [name, text === "" ? undefined : read(text)];
}

function toNumber(text: string): unknown {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

function line(model: string, value: object): string {
  const pairs = Object.entries(value).map(([name, each]) => `${name}=${String(each)}`);
  return showControls(`${model}  ${pairs.length === 0 ? "as the server has it" : pairs.join(" ")}`);
}
