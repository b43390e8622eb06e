// The settings that hold now, and where each came from: flags > environment > the user's file > defaults.
// On the hot path of `opta do`, so it costs one file read and no more. Repository configuration is not read:
// it would be code from strangers (lesson 40).
import { OptaError } from "../protocol/error.ts";
import { configDirectory } from "./directory.ts";
import type { Environment } from "./environment.ts";
import {
  configKeys,
  findConfigKey,
  isJsonObject,
  type JsonObject,
  parseSetting,
  placeKey,
  readKey,
} from "./keys.ts";
import { type Config, configSchema } from "./schema.ts";
import { readSettingsText, settingsPath } from "./settings-text.ts";
import { settingVariables } from "./variables.ts";

export type ConfigSource = "flag" | "environment" | "file" | "default";

/** Dotted key -> value, for what the command line says: {"connection.port": 1235}. Undefined ones are ignored. */
export type ConfigFlags = Readonly<Record<string, unknown>>;

export interface LoadedConfig {
  readonly config: Config;
  /** The user's config.json, whether or not it exists. */
  readonly path: string;
  /** The file as it was read; undefined when there is none. */
  readonly text: string | undefined;
  /** The root of everything opta keeps: settings, sessions, daemon. */
  readonly directory: string;
  /** For every setting, by dotted key. */
  readonly sources: Readonly<Record<string, ConfigSource>>;
}

/**
 * Reads and checks the settings. No file means defaults, and nothing is created.
 * @throws OptaError config-invalid: a file that cannot be read or parsed, an unknown key, a value out of place
 */
export async function loadConfig(options: {
  readonly environment: Environment;
  readonly flags?: ConfigFlags | undefined;
}): Promise<LoadedConfig> {
  const directory = configDirectory(options.environment);
  const path = settingsPath(directory);
  const text = readSettingsText(path);
  const file = await parseSettings(path, text);
  const given = readVariables(options.environment);
  const flags = Object.entries(options.flags ?? {}).filter(([, value]) => value !== undefined);

  let settings = file;
  for (const { key, value } of given) settings = placeKey(settings, key, value);
  for (const [key, value] of flags) settings = placeKey(settings, key, value);

  const sourceOf = (key: string): ConfigSource => {
    if (flags.some(([flag]) => flag === key)) return "flag";
    if (given.some((variable) => variable.key === key)) return "environment";
    return readKey(file, key) === undefined ? "default" : "file";
  };
  const parsed = configSchema.safeParse(settings);
  if (!parsed.success) {
    const { invalidConfigError } = await import("./problems.ts");
    throw invalidConfigError(parsed.error.issues, settings, (key) => {
      const variable = given.find((candidate) => candidate.key === key);
      if (flags.some(([flag]) => flag === key)) return "command line";
      return variable?.name ?? path;
    });
  }
  const sources = Object.fromEntries(configKeys.map(({ key }) => [key, sourceOf(key)]));
  return { config: parsed.data, path, text, directory, sources };
}

/** The variable that overrides a setting, and whose value is not empty now: OPTA_HOST; undefined when none does. */
export function overridingVariable(environment: Environment, key: string): string | undefined {
  return readVariables(environment).find((variable) => variable.key === key)?.name;
}

/** The file's object as it is, unchecked but for being JSON; {} when there is none. @throws OptaError config-invalid */
export async function readConfigFile(path: string): Promise<JsonObject> {
  return parseSettings(path, readSettingsText(path));
}

async function parseSettings(path: string, text: string | undefined): Promise<JsonObject> {
  if (text === undefined) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const { jsonSyntaxError } = await import("./problems.ts");
    throw jsonSyntaxError(path, text);
  }
  if (isJsonObject(value)) return value;
  throw new OptaError(
    "config-invalid",
    `${path}: must be a JSON object such as {"connection": {"host": "localhost"}}`,
    `Correct the file in an editor, or remove it.`,
  );
}

/** The variables that are set, as values of their keys; an empty one counts as unset. */
function readVariables({ variables }: Environment) {
  return Object.entries(settingVariables).flatMap(([name, key]) => {
    const text = variables[name];
    const known = findConfigKey(key);
    if (text === undefined || text === "" || known === undefined) return [];
    return [{ name, key, value: parseSetting(known, text) }];
  });
}
