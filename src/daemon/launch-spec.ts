// What a service manager is to run, checked: the executable, its PATH, and the variables that decide which
// directory the daemon serves. Knows neither launchd nor systemd; never takes a key or token along, because
// plist and unit can be read by everybody.
import { basename, isAbsolute, join, resolve } from "node:path";
import type { Environment } from "../config/environment.ts";
import { configDirectory } from "../config/directory.ts";
import { daemonRuntime } from "../store/daemon-place.ts";
import { OptaError } from "../protocol/error.ts";

export interface LaunchSpec {
  /** Absolute. */
  readonly executable: string;
  /** PATH of the daemon: a service manager gives a bare one, so it is the one at installation. */
  readonly path: string;
  /** Absolute; where daemon.log lies. */
  readonly logDirectory: string;
  /** Variables beside PATH, no secrets among them. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * The spec for this executable and the directory that `environment` leads to.
 * @throws OptaError usage: a service manager could not start it, or not for long
 */
export function createLaunchSpec(options: {
  readonly executable: string;
  readonly environment: Environment;
}): LaunchSpec {
  const { executable, environment } = options;
  assertLasting(executable);
  const spec = {
    executable,
    path: withoutControls(environment.toolPath),
    logDirectory: join(configDirectory(environment), "daemon"),
    environment: { ...directoryVariables(environment), ...daemonRuntime },
  };
  for (const text of [executable, spec.logDirectory, ...Object.values(spec.environment)]) {
    if (!control.test(text)) continue;
    throw new OptaError("usage", "a path with control characters in it cannot be installed");
  }
  return spec;
}

/** Neither XML nor a unit file can carry them, or they would break its lines. */
// eslint-disable-next-line no-control-regex -- control characters are the subject
const control = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** Emptied by the system: also where macOS runs a quarantined program from (App Translocation). */
const temporaryDirectories = [
  "/tmp",
  "/private/tmp",
  "/var/tmp",
  "/private/var/tmp",
  "/var/folders",
  "/private/var/folders",
  "/dev/shm",
];

function assertLasting(executable: string): void {
  if (!isAbsolute(executable)) {
    throw new OptaError("usage", `cannot install ${executable}: the path must be absolute`);
  }
  if (/^bun(-[a-z]+)?(\.exe)?$/.test(basename(executable))) {
    throw new OptaError(
      "usage",
      "opta runs from its sources here, and a service needs the program",
      "build opta first: bun run build",
    );
  }
  const temporary = temporaryDirectories.find((place) => executable.startsWith(`${place}/`));
  if (temporary === undefined) return;
  throw new OptaError(
    "usage",
    `cannot install ${executable}: what is in ${temporary} does not stay`,
    "move opta to a lasting place, such as ~/.local/bin, and run it from there",
  );
}

/** What configDirectory looks at, made independent of the current directory. */
function directoryVariables({ variables }: Environment): Record<string, string> {
  const { OPTA_CONFIG_DIR: own, XDG_CONFIG_HOME: shared } = variables;
  return {
    ...(own !== undefined && own !== "" ? { OPTA_CONFIG_DIR: resolve(own) } : {}),
    ...(shared?.startsWith("/") === true ? { XDG_CONFIG_HOME: shared } : {}),
  };
}

function withoutControls(path: string): string {
  return path
    .split(":")
    .filter((directory) => !control.test(directory))
    .join(":");
}
