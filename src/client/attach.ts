// Attaching to a daemon that lives, when it would do the same as this process. Loaded only where there may be one.
import { OptaError } from "../protocol/error.ts";
import type { DaemonState } from "../store/daemon-state.ts";
import { createAttachedClient } from "./attached.ts";
import type { Client } from "./client.ts";
import type { ConnectMode, ConnectOptions } from "./connect-options.ts";
import { askDaemon, type DaemonHealth, findDaemon, patientLimitMs } from "./daemon-address.ts";
import { createDaemonTransport } from "./daemon-transport.ts";

export interface Probe {
  /** Undefined: there is no daemon. */
  readonly state: DaemonState | undefined;
  /** Undefined: it does not answer. */
  readonly health: DaemonHealth | undefined;
}

export async function probeDaemon(directory: string, mode: ConnectMode): Promise<Probe> {
  const state = findDaemon(directory);
  const limit = mode === "attach" ? { limitMs: patientLimitMs } : {};
  return { state, health: state && (await askDaemon(state, limit)) };
}

/**
 * @returns undefined where an engine in this process has to do the work
 * @throws OptaError daemon-unreachable | state-conflict, with mode "attach"
 */
export async function attachTo(
  { state, health }: Probe,
  mode: ConnectMode,
  options: ConnectOptions,
): Promise<Client | undefined> {
  const isOptional = mode === "either";
  if (state === undefined) {
    if (isOptional) return undefined;
    throw new OptaError("daemon-unreachable", "no daemon is running", "opta daemon start");
  }
  if (health === undefined) {
    const message = "the daemon does not answer";
    if (!isOptional) throw new OptaError("daemon-unreachable", message, "opta daemon restart");
    options.notice(`${message}: working without it`);
    return undefined;
  }
  if (!(await options.isSameWork(state.token, health.settings))) {
    if (isOptional) return undefined;
    throw new OptaError(
      "state-conflict",
      "the daemon works with other settings than this command (flags or variables that it does not have)",
      "opta daemon restart   (from this shell), or leave out --attach",
    );
  }
  return createAttachedClient(createDaemonTransport(state, () => findDaemon(options.directory)));
}
