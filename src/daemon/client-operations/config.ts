// Operations on the user's settings: what `opta config` does, for clients. Secrets go in and never come out.
import * as z from "zod";
import {
  type ConfigEntry,
  getConfig,
  listConfig,
  setConfig,
  unsetConfig,
} from "../../config/edit.ts";
import { type JsonObject, placeKey, readKey } from "../../config/keys.ts";
import { OptaError } from "../../protocol/error.ts";
import { type ClientOperation, defineClientOperation, noInput } from "./client-operation.ts";

/** What stands for a secret. A client that writes back what it was shown changes nothing. */
const mask = "********";

const get = defineClientOperation({
  id: "config.get",
  title: "Get a setting",
  description: "One setting, or a group of them as an object; secrets are masked.",
  safety: "read",
  input: z.lazy(() => z.object({ key: z.string().min(1) })),
  async run({ key }, { loadConfig }) {
    const entries = listConfig(await loadConfig());
    const exact = entries.find((entry) => entry.key === key);
    if (exact !== undefined) return { key, value: shown(exact) ?? null, source: exact.source };
    const group = entries.filter((entry) => entry.key.startsWith(`${key}.`));
    if (group.length > 0) return { key, value: readKey(nest(group), key) ?? {} };
    throw new OptaError("not-found", `there is no setting ${key}`, "opta config list");
  },
});

const set = defineClientOperation({
  id: "config.set",
  title: "Change a setting",
  description: "Writes one setting to the user's file; null removes it, so that its default holds.",
  safety: "write",
  input: z.lazy(() =>
    z.object({
      key: z.string().min(1),
      /** JSON, or text as `opta config set` takes it. */
      value: z.json(),
    }),
  ),
  async run({ key: given, value }, { loadConfig }) {
    const loaded = await loadConfig();
    // As existing clients choose a model; any other value there would be a group.
    const key = given === "model" && typeof value === "string" ? "model.default" : given;
    const { secret } = await getConfig(loaded, key);
    if (secret && value === mask) return { key };
    const text = typeof value === "string" ? value : JSON.stringify(value);
    if (value === null) await unsetConfig(loaded.path, key);
    else await setConfig(loaded.path, key, text);
    return { key };
  },
});

const list = defineClientOperation({
  id: "config.list",
  title: "List settings",
  description: "Every setting that has a value, nested by group; secrets are masked.",
  safety: "read",
  input: noInput,
  async run(_input, { loadConfig }) {
    return nest(listConfig(await loadConfig()));
  },
});

export const configOperations: readonly ClientOperation[] = [get, set, list];

function shown({ value, secret }: ConfigEntry): unknown {
  return secret && value !== undefined ? mask : value;
}

function nest(entries: readonly ConfigEntry[]): JsonObject {
  return entries
    .filter(({ value }) => value !== undefined)
    .reduce<JsonObject>((root, entry) => placeKey(root, entry.key, shown(entry)), {});
}
