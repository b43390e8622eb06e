// Finding the daemon of a directory: state.json says where, the lock says that its writer lives, its own answer that
// it is the one and speaks our contract (promises D2). Shared by whoever attaches and by the daemon commands.
import { existsSync } from "node:fs";
import { OptaError, toPeerError } from "../protocol/error.ts";
import { daemonPaths, isDaemonAlive } from "../store/daemon-place.ts";
import { type DaemonState, readDaemonState } from "../store/daemon-state.ts";

export interface DaemonHealth {
  readonly daemonId: string;
  readonly version: string;
  readonly pid: number;
  /** Digest of the settings it works by. */
  readonly settings: string;
  /** Digest of what they were made of. */
  readonly settingsSource: string;
  readonly runtime: {
    readonly sessionCount: number;
    readonly activeTurnCount: number;
    readonly queuedTurnCount: number;
    readonly subscriberCount: number;
  };
}

/** A daemon that takes longer is in trouble, not only busy with many clients: one that can goes on without it. */
const healthLimitMs = 1_000;
/** With nothing to fall back on there is time to wait for one that is busy. */
export const patientLimitMs = 2_000;

/** The address of a living daemon; undefined when there is none. Asks nobody. @param root opta's own directory */
export function findDaemon(root: string): DaemonState | undefined {
  const paths = daemonPaths(root);
  const state = readDaemonState(paths);
  return state !== undefined && isDaemonAlive(paths) ? state : undefined;
}

/** Whether one is there that cannot be found: its state.json cannot be read. One that has none is coming or going. */
export function hasDaemon(root: string): boolean {
  const paths = daemonPaths(root);
  return existsSync(paths.state) && isDaemonAlive(paths);
}

/**
 * What the daemon says of itself, or why it is of no use: daemon-unreachable where it is silent, not the one of
 * `state`, or another contract's; else what it says is wrong with it (settings that it cannot read).
 */
export async function askDaemon(
  state: DaemonState,
  { limitMs = healthLimitMs }: { readonly limitMs?: number } = {},
): Promise<DaemonHealth | OptaError> {
  const silent = new OptaError("daemon-unreachable", "the daemon does not answer", restartHint);
  try {
    const response = await fetch(`http://${state.host}:${state.port}/v3/health`, {
      headers: { authorization: `Bearer ${state.token}` },
      signal: AbortSignal.timeout(limitMs),
      redirect: "error",
      proxy: "",
    });
    const health = (await response.json()) as DaemonHealth & { contract?: unknown };
    if (!response.ok) return toOwnTrouble(health) ?? silent;
    const { name, version } = (health.contract ?? {}) as { name?: unknown; version?: unknown };
    const isOurs = name === "opta-daemon-v3" && version === 1;
    return isOurs && health.daemonId === state.daemonId ? health : silent;
  } catch {
    return silent; // not there, not in time, or not a daemon: all the same to who asks
  }
}

const restartHint = "opta daemon restart";

/** An error with a code is the daemon's word to its user; any other refusal may be anybody's. */
function toOwnTrouble(body: unknown): OptaError | undefined {
  const { error, code } = body as { error?: string; code?: string };
  if (code === undefined || error === undefined) return undefined;
  return toPeerError({ code, message: `the daemon cannot serve: ${error}`, hint: restartHint });
}
