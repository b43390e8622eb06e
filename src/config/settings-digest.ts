// Whether two processes would do a turn alike: a digest of the settings and variables that decide it, keyed by the
// daemon's token so that it tells nothing to anybody else. A client whose own settings differ from the daemon's runs
// its turn itself, so that no turn ever runs under other permissions than the ones its user set.
import { resolve } from "node:path";
import { version } from "../base/version.ts";
import type { Environment } from "./environment.ts";
import type { ConfigFlags } from "./load.ts";
import type { Config } from "./schema.ts";
import { readSettingsText, settingsPath } from "./settings-text.ts";
import { providerVariables, settingVariables } from "./variables.ts";

/** Of the settings that hold, with the home that `~/` means in rules. */
export function settingsDigest(config: Config, environment: Environment, token: string): string {
  // How the daemon serves and which servers clients manage decides nothing about a turn.
  const { daemon: _, mcp: __, ...deciding } = config;
  return digest([token, deciding, given(providerVariables, environment), homeOf(environment)]);
}

/**
 * Of what they are made of: the same sources are the same settings, but not the other way round. For who has not read
 * them, which takes a command longer than to ask the daemon. @param text the settings file's
 */
export function settingsSourceDigest(
  text: string | undefined,
  environment: Environment,
  token: string,
): string {
  const names = [...Object.keys(settingVariables), ...providerVariables];
  return digest([token, version, text ?? null, given(names, environment), homeOf(environment)]);
}

/**
 * Whether a process with these digests has the settings of this one.
 * @param loadConfig asked only where the sources differ
 * @throws OptaError config-invalid
 */
export async function isSameWork(options: {
  readonly digests: { readonly settings: string; readonly settingsSource: string };
  readonly token: string;
  /** opta's own. */
  readonly directory: string;
  readonly environment: Environment;
  readonly flags: ConfigFlags;
  readonly loadConfig: () => Promise<{ readonly config: Config }>;
}): Promise<boolean> {
  const { digests, token, directory, environment, flags } = options;
  if (Object.values(flags).every((value) => value === undefined)) {
    const text = readSettingsText(settingsPath(directory));
    if (settingsSourceDigest(text, environment, token) === digests.settingsSource) return true;
  }
  const { config } = await options.loadConfig();
  return settingsDigest(config, environment, token) === digests.settings;
}

/** As `~/` means it: a slash at its end changes nothing. */
const homeOf = ({ home }: Environment) => resolve(home);

function given(names: readonly string[], { variables }: Environment) {
  return names.map((name) => variables[name] ?? null);
}

function digest(value: unknown): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify(value)).digest("hex");
}
