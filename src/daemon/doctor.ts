// Whether everything that opta needs is there: for `opta doctor` and the operation `doctor`. Every check is made,
// whatever the others say, and each that is not a pass names what to type. Changes nothing.
import { existsSync, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { orAborted } from "../base/or-aborted.ts";
import { version } from "../base/version.ts";
import { readEnvironment } from "../config/environment.ts";
import type { LoadedConfig } from "../config/load.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";
import type { ServerStatus } from "../protocol/model.ts";
import type { OperationParams } from "../protocol/operations.ts";

export interface DoctorCheck {
  readonly name: string;
  /** "skip": nothing could be said, and that is no fault. */
  readonly status: "pass" | "warn" | "fail" | "skip";
  readonly message: string;
  /** What to type or do, one or more lines. */
  readonly fix?: string;
}

export interface DoctorReport {
  readonly version: string;
  /** False when a check failed. */
  readonly ok: boolean;
  readonly checks: readonly DoctorCheck[];
}

export interface DoctorOptions {
  /** @throws OptaError config-invalid, which is a finding */
  loadConfig(): Promise<LoadedConfig>;
  call(operation: "lmx.status", params: OperationParams<"lmx.status">): Promise<ServerStatus>;
  /** The user's home directory, absolute. */
  readonly home: string;
  /** Where programs are looked for, ":" between them; default: this process's own PATH, completed. */
  readonly toolPath?: string;
  /** The daemon that runs, and what is wrong with it; undefined when there is none. */
  readonly daemon?:
    | { readonly pid: number; readonly port: number; readonly problem?: string | undefined }
    | undefined;
  /** How long the model server may take; shorter in tests. */
  readonly serverLimitMs?: number;
  readonly signal: AbortSignal;
}

/** Clients wait 8 s for an operation; a server that needs longer for its status is of no use either. */
const defaultServerLimitMs = 5_000;

/** @throws the signal's reason when it aborts; nothing else: what fails is a check that failed */
export async function runDoctor(options: DoctorOptions): Promise<DoctorReport> {
  const { loadConfig, home, daemon, serverLimitMs = defaultServerLimitMs, signal } = options;
  const toolPath = options.toolPath ?? readEnvironment().toolPath;
  const [loaded, server] = await Promise.all([
    loadConfig().catch(toOptaError),
    askServer(options, serverLimitMs),
  ]);
  signal.throwIfAborted();
  const settings = loaded instanceof OptaError ? undefined : loaded;
  const checks = [
    checkSettings(loaded),
    settings === undefined
      ? skipped("settings directory", "unknown while the settings cannot be read")
      : checkDirectory(settings.directory),
    checkDisk(settings?.directory ?? home),
    ...checkServer(server),
    checkRipgrep(toolPath),
    checkGit(toolPath),
    checkDaemon(daemon),
  ];
  return { version, ok: !checks.some(({ status }) => status === "fail"), checks };
}

function checkDaemon(daemon: DoctorOptions["daemon"]): DoctorCheck {
  const name = "daemon";
  if (daemon === undefined) return skipped(name, "not running, and not needed: opta daemon start");
  const { pid, port, problem } = daemon;
  return problem === undefined
    ? passed(name, `runs as process ${pid} on port ${port}`)
    : failed(name, `${problem} (process ${pid}, port ${port})`, "opta daemon restart");
}

function checkSettings(loaded: LoadedConfig | OptaError): DoctorCheck {
  const name = "settings";
  if (loaded instanceof OptaError) return failed(name, loaded.message, loaded.hint);
  return existsSync(loaded.path)
    ? passed(name, `${loaded.path} is valid`)
    : passed(name, `${loaded.path} does not exist; the defaults hold`);
}

/** Keys, sessions and the daemon's token lie there (contracts/daemon-v3.md section 1). */
function checkDirectory(directory: string): DoctorCheck {
  const name = "settings directory";
  const stats = statSync(directory, { throwIfNoEntry: false });
  if (stats === undefined) return skipped(name, `${directory} does not exist yet`);
  if (!stats.isDirectory()) return failed(name, `${directory} is not a directory`);
  if (stats.uid !== process.geteuid?.()) {
    return failed(name, `${directory} belongs to another user`, `ls -ld ${directory}`);
  }
  const fix = `chmod 700 ${directory}`;
  if ((stats.mode & 0o022) !== 0) return failed(name, `others can write to ${directory}`, fix);
  if ((stats.mode & 0o055) !== 0) {
    return { name, status: "warn", message: `others can look into ${directory}`, fix };
  }
  return passed(name, `${directory} is private`);
}

function checkDisk(directory: string): DoctorCheck {
  try {
    const { bavail, bsize } = statfsSync(existingAncestor(directory));
    return judgeDiskSpace(bavail * bsize, directory);
  } catch (error) {
    return skipped("disk space", `cannot be told: ${toOptaError(error).message}`);
  }
}

/** Sessions of a working day with their events and outputs. */
const enoughBytes = 1e9;
/** Below it a long answer or a large tool output may already not fit. */
const tooLittleBytes = 200e6;

/** The check of the space that is left for `directory`. */
export function judgeDiskSpace(freeBytes: number, directory: string): DoctorCheck {
  const name = "disk space";
  const amount =
    freeBytes >= 1e9 ? `${(freeBytes / 1e9).toFixed(1)} GB` : `${Math.floor(freeBytes / 1e6)} MB`;
  const message = `${amount} free for ${directory}`;
  if (freeBytes >= enoughBytes) return passed(name, message);
  const status = freeBytes < tooLittleBytes ? "fail" : "warn";
  return { name, status, message, fix: `df -h ${directory}` };
}

function existingAncestor(path: string): string {
  const parent = dirname(path);
  return existsSync(path) || parent === path ? path : existingAncestor(parent);
}

async function askServer(
  options: Pick<DoctorOptions, "call" | "signal">,
  limitMs: number,
): Promise<ServerStatus | OptaError> {
  const limit = AbortSignal.timeout(limitMs);
  const signal = AbortSignal.any([options.signal, limit]);
  try {
    return await orAborted(options.call("lmx.status", {}), signal);
  } catch (thrown) {
    if (!limit.aborted) return toOptaError(thrown);
    return new OptaError("lmx-timeout", `no answer within ${limitMs / 1000} s`, "opta status");
  }
}

function checkServer(server: ServerStatus | OptaError): readonly DoctorCheck[] {
  const [serverName, modelName] = ["model server", "model"];
  const noModel = skipped(modelName, "unknown while no model server answers");
  if (server instanceof OptaError) {
    const { code, message, hint } = server;
    const unasked = skipped(serverName, "not asked while the settings cannot be read");
    return [code === "config-invalid" ? unasked : failed(serverName, message, hint), noModel];
  }
  const { kind, ready, loadedModels } = server;
  const what = server.version === null ? kind : `${kind} ${server.version}`;
  const answers = passed(serverName, `${server.server} answers (${what})`);
  if (!ready) {
    const fix = kind === "lmx" ? "opta models load MODEL" : "opta models list";
    return [answers, failed(modelName, "none is loaded", fix)];
  }
  const loaded =
    loadedModels.length === 0 ? "loaded when first asked for" : loadedModels.join(", ");
  return [answers, passed(modelName, loaded)];
}

/** The released opta carries its own, and without any it searches by itself. */
function checkRipgrep(toolPath: string): DoctorCheck {
  const program = Bun.which("rg", { PATH: toolPath });
  return program === null
    ? skipped("ripgrep", "not on PATH, and not needed there")
    : passed("ripgrep", program);
}

function checkGit(toolPath: string): DoctorCheck {
  const program = Bun.which("git", { PATH: toolPath });
  if (program !== null) return passed("git", program);
  return {
    name: "git",
    status: "warn",
    message: "not on PATH; models rely on it to see and keep changes",
    fix: "install git",
  };
}

function passed(name: string, message: string): DoctorCheck {
  return { name, status: "pass", message };
}

function skipped(name: string, message: string): DoctorCheck {
  return { name, status: "skip", message };
}

function failed(name: string, message: string, fix?: string): DoctorCheck {
  return { name, status: "fail", message, ...(fix === undefined ? {} : { fix }) };
}
