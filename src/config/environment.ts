// The one reader of process.env: everybody else is given this snapshot. It also mends what launchd and cron
// leave bare (lesson 35): a home directory and a tool PATH that has the usual places. Knows no settings.
import { homedir } from "node:os";
import { isAbsolute } from "node:path";
import { absoluteSearchPath } from "../base/search-path.ts";

export interface Environment {
  /** Every variable, as it was given to the process. */
  readonly variables: Readonly<Record<string, string>>;
  /** The user's home directory, absolute; from the account when HOME is unset or relative. */
  readonly home: string;
  /** PATH for tools: the given one, then the usual directories that it lacks. */
  readonly toolPath: string;
}

/** The environment as it is now; later changes of process.env do not show. */
export function readEnvironment(): Environment {
  return createEnvironment(process.env);
}

/** The snapshot of the given variables: what tests use instead of process.env. */
export function createEnvironment(
  variables: Readonly<Record<string, string | undefined>>,
): Environment {
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(variables)) {
    if (value !== undefined) given[name] = value;
  }
  const home = given["HOME"];
  return {
    variables: given,
    home: home !== undefined && isAbsolute(home) ? home : homedir(),
    toolPath: absoluteSearchPath(given["PATH"] ?? ""),
  };
}
