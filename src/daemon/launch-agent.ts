// Installing the daemon with the user's service manager, so that it runs from login on and again after a crash:
// a launch agent on macOS, a systemd user unit on Linux. The file is what counts: where the manager is missing
// or refuses, the file stays and the report says what to type. Prints nothing.
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { type Clock, sleep, systemClock } from "../base/clock.ts";
import { errnoOf, toStorageError } from "../base/storage-error.ts";
import { stripTerminalText } from "../base/terminal-text.ts";
import type { Environment } from "../config/environment.ts";
import { OptaError } from "../protocol/error.ts";
import type { RunServiceCommand, ServiceCommandResult } from "./launch-command.ts";
import { launchAgentLabel, launchAgentPlist } from "./launch-plist.ts";
import { createLaunchSpec } from "./launch-spec.ts";
import { systemdUnit, unitName } from "./launch-unit.ts";

export interface LaunchAgentOptions {
  /** process.platform: darwin and linux have a service manager we know. */
  readonly platform: string;
  readonly environment: Environment;
  readonly run: RunServiceCommand;
  /** For the pauses while launchd lets go of an old agent. */
  readonly clock?: Clock;
}

export interface LaunchAgentReport {
  /**
   * `installed`: the manager has it and starts it. `file-only`: the file is in place, the manager did not take it.
   * `removed`: the file is gone, and the manager's hold on it if `next` is undefined.
   */
  readonly state: "installed" | "already-installed" | "file-only" | "removed" | "not-installed";
  /** The plist or unit, absolute. */
  readonly path: string;
  /** What happened, in a sentence without a full stop. */
  readonly message: string;
  /** The command to type next; undefined when nothing is left to do. */
  readonly next: string | undefined;
}

/**
 * Writes plist or unit (0644) and has the manager start it. A second call with the same facts changes nothing
 * and leaves a running daemon alone.
 * @throws OptaError usage: an executable that is no lasting program, or a system without a manager we know
 * @throws StorageError: the file cannot be written
 */
export async function installLaunchAgent(
  options: LaunchAgentOptions & { readonly executable: string },
): Promise<LaunchAgentReport> {
  const path = launchAgentPath(options);
  const spec = createLaunchSpec(options);
  if (options.platform === "linux") {
    const change = await putFile(path, systemdUnit(spec));
    return enableUnit(options, { path, change });
  }
  // launchd opens the error log before it starts the program, and makes no directories.
  makeDirectory(spec.logDirectory);
  const change = await putFile(path, launchAgentPlist(spec));
  return bootstrapAgent(options, { path, change });
}

/** @throws OptaError usage, as installLaunchAgent would */
export function assertInstallable(
  options: Pick<LaunchAgentOptions, "platform" | "environment"> & { readonly executable: string },
): void {
  launchAgentPath(options);
  createLaunchSpec(options);
}

/**
 * Stops the agent and removes its file. Settings, sessions and logs stay.
 * @throws OptaError usage: a system without a manager we know @throws StorageError: the file cannot be removed
 */
export async function uninstallLaunchAgent(
  options: LaunchAgentOptions,
): Promise<LaunchAgentReport> {
  const path = launchAgentPath(options);
  const wasThere = existsSync(path);
  if (options.platform === "darwin") return bootOutAgent(options, { path, wasThere });
  if (!wasThere) return notInstalled(path);
  return disableUnit(options, path);
}

/** Where the plist or unit belongs. @throws OptaError usage: a system without a manager we know */
export function launchAgentPath(options: {
  readonly platform: string;
  readonly environment: Environment;
}): string {
  const { home, variables } = options.environment;
  if (options.platform === "darwin") {
    return join(home, "Library/LaunchAgents", `${launchAgentLabel}.plist`);
  }
  if (options.platform === "linux") {
    const { XDG_CONFIG_HOME: shared } = variables;
    const root = shared !== undefined && isAbsolute(shared) ? shared : join(home, ".config");
    return join(root, "systemd/user", unitName);
  }
  throw new OptaError(
    "usage",
    `opta knows no service manager on ${options.platform}`,
    "opta daemon start   (runs the daemon until the next restart of the machine)",
  );
}

type Change = "new" | "changed" | "none";

interface Installed {
  readonly path: string;
  readonly change: Change;
}

const fileMode = 0o644;

async function putFile(path: string, text: string): Promise<Change> {
  const old = readIfThere(path);
  if (old === text && (statSync(path).mode & 0o777) === fileMode) return "none";
  makeDirectory(dirname(path));
  await writeFileAtomic(path, text, { mode: fileMode });
  return old === undefined ? "new" : "changed";
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw toStorageError(error, `read ${path}`);
  }
}

/** What is missing of it becomes the user's alone. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw toStorageError(error, `make ${path}`);
  }
}

// macOS

/** EIO and EALREADY: launchd is still letting go of the agent that was booted out. */
const stillLeaving = [5, 37];
/** That takes as long as the daemon's stop, 5 s at most, and some seconds of launchd's own. */
const bootstrapAttempts = 30;
const bootstrapPauseMs = 500;

async function bootstrapAgent(
  { run, clock = systemClock }: LaunchAgentOptions,
  { path, change }: Installed,
): Promise<LaunchAgentReport> {
  const isLoaded = async () => (await run(["launchctl", "print", agentTarget()])).exitCode === 0;
  if (change === "none" && (await isLoaded())) return installed(path, "none");
  const bootstrap = ["launchctl", "bootstrap", agentDomain(), path];
  const left = await run(["launchctl", "bootout", agentTarget()]);
  let result = await run(bootstrap);
  for (let attempt = 1; attempt < bootstrapAttempts; attempt++) {
    if (left.exitCode !== 0 || !stillLeaving.includes(result.exitCode)) break;
    await sleep(bootstrapPauseMs, { clock, signal: new AbortController().signal });
    result = await run(bootstrap);
  }
  if (result.exitCode === 0) return installed(path, change);
  return fileOnly(path, "launchctl", { result, next: shellCommand(bootstrap) });
}

async function bootOutAgent(
  { run }: LaunchAgentOptions,
  { path, wasThere }: { readonly path: string; readonly wasThere: boolean },
): Promise<LaunchAgentReport> {
  const result = await run(["launchctl", "bootout", agentTarget()]);
  if (!wasThere && result.exitCode !== 0) return notInstalled(path);
  removeFile(path);
  return removed(path, "launchctl", isGone(result) ? undefined : result);
}

/** ESRCH, and launchctl's "could not find service": it was not loaded. */
function isGone({ exitCode }: ServiceCommandResult): boolean {
  return [0, 3, 113].includes(exitCode);
}

function agentDomain(): string {
  return `gui/${process.getuid?.() ?? 0}`;
}

function agentTarget(): string {
  return `${agentDomain()}/${launchAgentLabel}`;
}

// Linux

const reload = ["systemctl", "--user", "daemon-reload"];
const enable = ["systemctl", "--user", "enable", "--now", unitName];

async function enableUnit(
  { run }: LaunchAgentOptions,
  { path, change }: Installed,
): Promise<LaunchAgentReport> {
  const commands = [reload, enable];
  for (const [index, command] of commands.entries()) {
    const result = await run(command);
    if (result.exitCode === 0) continue;
    const next = commands.slice(index).map(shellCommand).join(" && ");
    return fileOnly(path, "systemctl", { result, next });
  }
  const report = installed(path, change);
  if (change !== "changed") return report;
  // enable --now leaves a running daemon alone, and its turns with it.
  return {
    ...report,
    message: `${report.message}; a daemon that runs already keeps the old ones until it is restarted`,
    next: `systemctl --user restart ${unitName}`,
  };
}

async function disableUnit({ run }: LaunchAgentOptions, path: string): Promise<LaunchAgentReport> {
  const result = await run(["systemctl", "--user", "disable", "--now", unitName]);
  removeFile(path);
  // What `enable` made; it stays when the manager does not answer.
  removeFile(join(dirname(path), "default.target.wants", unitName));
  if (result.exitCode === 0) await run(reload);
  return removed(path, "systemctl", result.exitCode === 0 ? undefined : result);
}

// Reports

function installed(path: string, change: Change): LaunchAgentReport {
  const messages = {
    new: `installed ${path}: the daemon runs now and from every login on`,
    changed: `installed ${path} with new settings`,
    none: `already installed: ${path}`,
  };
  const state = change === "none" ? "already-installed" : "installed";
  return { state, path, message: messages[change], next: undefined };
}

function fileOnly(
  path: string,
  manager: string,
  failure: { readonly result: ServiceCommandResult; readonly next: string },
): LaunchAgentReport {
  const { result, next } = failure;
  return {
    state: "file-only",
    path,
    message: `wrote ${path}, but ${explain(manager, result)}`,
    next: isMissing(result) ? "opta daemon start" : next,
  };
}

function removed(
  path: string,
  manager: string,
  failure: ServiceCommandResult | undefined,
): LaunchAgentReport {
  if (failure === undefined) {
    return { state: "removed", path, message: `removed ${path}`, next: undefined };
  }
  const message = `removed ${path}, but ${explain(manager, failure)}`;
  return { state: "removed", path, message, next: "opta daemon stop" };
}

function notInstalled(path: string): LaunchAgentReport {
  return {
    state: "not-installed",
    path,
    message: `not installed: there is no ${path}`,
    next: undefined,
  };
}

/** Enough for every message of either program. */
const maxReasonLength = 300;

function explain(manager: string, result: ServiceCommandResult): string {
  if (isMissing(result)) return `${manager} was not found`;
  const [line = ""] = stripTerminalText(result.stderr).trim().split("\n");
  const reason = line === "" ? `exit code ${result.exitCode}` : line.slice(0, maxReasonLength);
  return `${manager} failed: ${reason}`;
}

function isMissing({ exitCode }: ServiceCommandResult): boolean {
  return exitCode === 127;
}

function removeFile(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw toStorageError(error, `remove ${path}`);
  }
}

/** For a shell: quoted where a character might mean something. */
function shellCommand(argv: readonly string[]): string {
  return argv
    .map((word) =>
      /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`,
    )
    .join(" ");
}
