// Whether two processes would do a turn alike: a digest of the settings and variables that decide it, keyed by the
// daemon's token so that it tells nothing to anybody else. A client whose own settings differ from the daemon's runs
// its turn itself, so that no turn ever runs under other permissions than the ones its user set.
import type { Environment } from "./environment.ts";
import type { Config } from "./schema.ts";

/** Variables that reach a provider without being settings. */
const decidingVariables = ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"] as const;

export function settingsDigest(config: Config, { variables }: Environment, token: string): string {
  // How the daemon serves and which servers clients manage decides nothing about a turn.
  const { daemon: _, mcp: __, ...deciding } = config;
  const given = decidingVariables.map((name) => variables[name] ?? null);
  const text = JSON.stringify([token, deciding, given]);
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}
