// Which service manager starts the daemon at login, if one does.
import { existsSync } from "node:fs";
import type { Environment } from "../config/environment.ts";
import { launchAgentPath } from "./launch-agent.ts";

const managers: Readonly<Record<string, string>> = { darwin: "launchd", linux: "systemd" };

/** "launchd", "systemd", or null: started by hand. */
export function installedAs(environment: Environment): string | null {
  const manager = managers[process.platform];
  if (manager === undefined) return null;
  return existsSync(launchAgentPath({ platform: process.platform, environment })) ? manager : null;
}
