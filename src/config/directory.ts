// Where everything is that opta keeps: settings, sessions, the daemon. A file of its own, so that commands which read
// no settings load none.
import { join, resolve } from "node:path";
import type { Environment } from "./environment.ts";

/**
 * The root directory: $OPTA_CONFIG_DIR itself, else $XDG_CONFIG_HOME/opta, else ~/.config/opta, on macOS too
 * (contracts/daemon-v3.md section 1). A relative XDG_CONFIG_HOME is ignored, as its specification demands.
 */
export function configDirectory(environment: Environment): string {
  const { OPTA_CONFIG_DIR: own, XDG_CONFIG_HOME: shared } = environment.variables;
  if (own !== undefined && own !== "") return resolve(own);
  if (shared?.startsWith("/") === true) return join(shared, "opta");
  return join(environment.home, ".config", "opta");
}
