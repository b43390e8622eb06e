// Operations on the user's own names for models: the map `aliases` of the settings.
import * as z from "zod";
import { setConfigEntry } from "../../config/edit.ts";
import { OptaError } from "../../protocol/error.ts";
import {
  type ClientOperation,
  defineClientOperation,
  noInput,
  withSpellings,
} from "./client-operation.ts";

const aliasSchema = z.string().trim().min(1);

const set = defineClientOperation({
  id: "models.aliases.set",
  title: "Name a model",
  description: "Gives a model a short name that works wherever a model is named.",
  safety: "write",
  input: z.lazy(() =>
    withSpellings(
      { model: "target", name: "alias" },
      z.object({ alias: aliasSchema, target: z.string().trim().min(1) }),
    ),
  ),
  async run({ alias, target }, { loadConfig }) {
    const { path, config } = await loadConfig();
    if (Object.hasOwn(config.aliases, target)) {
      throw new OptaError(
        "usage",
        `${target} is an alias itself; name the model: ${config.aliases[target]}`,
      );
    }
    await setConfigEntry(path, "aliases", { name: alias, value: target });
    return toShown(alias, target);
  },
});

const list = defineClientOperation({
  id: "models.aliases.list",
  title: "List model names",
  description: "The user's own names for models.",
  safety: "read",
  input: noInput,
  async run(_input, { loadConfig }) {
    const { aliases } = (await loadConfig()).config;
    return {
      aliases: Object.entries(aliases).map(([alias, target]) => toShown(alias, target)),
    };
  },
});

const remove = defineClientOperation({
  id: "models.aliases.delete",
  title: "Remove a model's name",
  description: "Removes one of the user's own names for models.",
  safety: "write",
  input: z.lazy(() => withSpellings({ name: "alias" }, z.object({ alias: aliasSchema }))),
  async run({ alias }, { loadConfig }) {
    const { path, config } = await loadConfig();
    if (!Object.hasOwn(config.aliases, alias)) {
      throw new OptaError("not-found", `there is no alias ${alias}`, "opta models alias");
    }
    await setConfigEntry(path, "aliases", { name: alias, value: undefined });
    return { alias, deleted: true };
  },
});

export const modelAliasOperations: readonly ClientOperation[] = [set, list, remove];

/** `model`: as the original daemon called it. */
function toShown(alias: string, target: string): object {
  return { alias, target, model: target };
}
