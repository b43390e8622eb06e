// Changing and showing single settings: what `opta config` does. A change keeps every other key and its order,
// and is written only when the whole file would then be valid. Knows no terminal: it takes and gives text.
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { toStorageError } from "../base/storage-error.ts";
import { toOptaError } from "../protocol/error.ts";
import {
  type ConfigKey,
  configKeys,
  findConfigKey,
  type JsonObject,
  parseSetting,
  placeKey,
  readKey,
  removeKey,
} from "./keys.ts";
import { type ConfigSource, type LoadedConfig, readConfigFile } from "./load.ts";
import { configSchema } from "./schema.ts";

export interface ConfigEntry {
  /** Dotted. */
  readonly key: string;
  /** Undefined when unset. The real value, also of a secret: showing it is the caller's choice. */
  readonly value: unknown;
  readonly source: ConfigSource;
  readonly secret: boolean;
}

/** Every setting in the schema's order. */
export function listConfig(loaded: LoadedConfig): ConfigEntry[] {
  return configKeys.map((key) => toEntry(loaded, key));
}

/** @throws OptaError usage, naming the nearest known key */
export async function getConfig(loaded: LoadedConfig, key: string): Promise<ConfigEntry> {
  return toEntry(loaded, await requireKey(key));
}

/** A value as one line of text: secrets masked, lists and rules as JSON, nothing for what is unset. */
export function showConfigValue(entry: ConfigEntry): string {
  if (entry.value === undefined) return "";
  if (entry.secret) return "********";
  return typeof entry.value === "string" ? entry.value : JSON.stringify(entry.value);
}

/**
 * Writes one setting, 0600 in a 0700 directory. `text` is read by the key's type; lists may be JSON or
 * separated by commas. @returns the full key, since `model` with plain text means `model.default`, as existing
 * clients send it (contracts/daemon-v3.md section 4).
 * @throws OptaError usage | config-invalid | storage-full | storage-failed
 */
export async function setConfig(path: string, key: string, text: string): Promise<string> {
  const known = await requireKey(key === "model" ? "model.default" : key);
  const settings = placeKey(await readConfigFile(path), known.key, parseSetting(known, text));
  const parsed = configSchema.safeParse(settings);
  if (!parsed.success) {
    const { invalidConfigError } = await import("./problems.ts");
    throw invalidConfigError(parsed.error.issues, settings, () => path);
  }
  await writeConfig(path, settings);
  return known.key;
}

/**
 * Removes one setting, so that its default holds again; also an unknown one, which is how a file that opta
 * refuses is mended. @returns false when it was not in the file
 * @throws OptaError usage | config-invalid | storage-full | storage-failed
 */
export async function unsetConfig(path: string, key: string): Promise<boolean> {
  const settings = await readConfigFile(path);
  if (readKey(settings, key) === undefined) {
    await requireKey(key);
    return false;
  }
  await writeConfig(path, removeKey(settings, key));
  return true;
}

function toEntry(loaded: LoadedConfig, { key, secret }: ConfigKey): ConfigEntry {
  return {
    key,
    value: readKey(loaded.config, key),
    source: loaded.sources[key] ?? "default",
    secret,
  };
}

async function requireKey(key: string): Promise<ConfigKey> {
  const known = findConfigKey(key);
  if (known !== undefined) return known;
  const { unknownKeyError } = await import("./problems.ts");
  throw unknownKeyError(key);
}

async function writeConfig(path: string, settings: JsonObject): Promise<void> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    await writeFileAtomic(path, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
  } catch (error) {
    throw toOptaError(toStorageError(error, `write ${path}`));
  }
}
