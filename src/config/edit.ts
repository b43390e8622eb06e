// Changing and showing single settings: what `opta config` does. A change keeps every other key and its order,
// and is written only when the whole file would then be valid. Knows no terminal: it takes and gives text.
import { removeEmptyDirectories } from "../base/held-directory.ts";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { acquireFileLock } from "../base/file-lock.ts";
import { toStorageError } from "../base/storage-error.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";
import {
  type ConfigKey,
  configKeys,
  findConfigKey,
  isJsonObject,
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
 * @param signal whoever asked is gone: nothing is written any more
 * @throws OptaError usage | config-invalid | storage-full | storage-failed; the signal's reason
 */
export async function setConfig(
  path: string,
  key: string,
  text: string,
  signal?: AbortSignal,
): Promise<string> {
  const known = await requireKey(key === "model" ? "model.default" : key);
  await changeConfig(path, (settings) => {
    signal?.throwIfAborted();
    return placeKey(settings, known.key, parseSetting(known, text));
  });
  return known.key;
}

/**
 * Changes one entry of a setting that is a map (`aliases`, `models`, `mcp.servers`); undefined removes it, and
 * with the last one the map. Names may hold dots, so that they are no dotted keys.
 * @throws OptaError usage for the one name that no object keeps | config-invalid | storage-full | storage-failed
 */
export async function setConfigEntry(
  path: string,
  key: "aliases" | "models" | "mcp.servers",
  entry: { readonly name: string; readonly value: unknown },
): Promise<void> {
  if (entry.name === "__proto__") throw new OptaError("usage", `${entry.name} is no name`);
  await changeConfig(path, (settings) => {
    const now = readKey(settings, key);
    const { [entry.name]: _, ...others } = isJsonObject(now) ? now : {};
    const next = entry.value === undefined ? others : { ...others, [entry.name]: entry.value };
    return Object.keys(next).length === 0
      ? removeKey(settings, key)
      : placeKey(settings, key, next);
  });
}

/**
 * Appends to a list: one element (a rule as JSON, a host), or several as setConfig takes them.
 * @throws OptaError usage (not a list) | config-invalid | storage-full | storage-failed
 */
export async function addToConfig(path: string, key: string, text: string): Promise<void> {
  const known = await requireKey(key);
  if (!(known.schema instanceof z.ZodArray)) {
    throw new OptaError("usage", `${key} is not a list`, `opta config set ${key} <value>`);
  }
  const value = parseSetting(known, text);
  await changeConfig(path, (settings) => {
    const now = readKey(settings, key);
    const items = Array.isArray(value) ? value : [value];
    return placeKey(settings, key, [...(Array.isArray(now) ? now : []), ...items]);
  });
}

/**
 * Removes one setting, so that its default holds again; also an unknown one, which is how a file that opta
 * refuses is mended. @returns false when it was not in the file
 * @throws OptaError usage | config-invalid | storage-full | storage-failed
 */
export async function unsetConfig(path: string, key: string): Promise<boolean> {
  if (readKey(await readConfigFile(path), key) === undefined) {
    await requireKey(key);
    return false;
  }
  await whileLocked(path, async () =>
    writeConfig(path, removeKey(await readConfigFile(path), key)),
  );
  return true;
}

/** Reads, changes, checks the whole and writes, with nobody else changing it in between. */
async function changeConfig(
  path: string,
  change: (settings: JsonObject) => JsonObject,
): Promise<void> {
  await whileLocked(path, async () => {
    const settings = change(await readConfigFile(path));
    const parsed = configSchema.safeParse(settings);
    if (!parsed.success) {
      const { invalidConfigError } = await import("./problems.ts");
      throw invalidConfigError(parsed.error.issues, settings, () => path);
    }
    await writeConfig(path, settings);
  });
}

/** How long a change waits for others, and how often it looks: one takes milliseconds, many on a busy machine seconds. */
const lockLimitMs = 5_000;
const lockLookMs = 20;

async function whileLocked<T>(path: string, work: () => Promise<T>): Promise<T> {
  const lockDirectory = join(dirname(path), "config.lock");
  const deadline = performance.now() + lockLimitMs;
  while (performance.now() < deadline) {
    const lock = storing(path, () =>
      acquireFileLock(join(lockDirectory, "lock"), { pid: process.pid }),
    );
    if (!lock.acquired) {
      await Bun.sleep(lockLookMs);
      continue;
    }
    try {
      return await work();
    } finally {
      lock.release();
      // Another change may be on its way through it; then it stays.
      removeEmptyDirectories([lockDirectory]);
    }
  }
  throw new OptaError(
    "state-conflict",
    `${path} is being changed by another opta`,
    "opta config list",
  );
}

function storing<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw toOptaError(toStorageError(error, `write ${path}`));
  }
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
