// Attaching to a daemon that lives, when it would do the same as this process. Loaded only where there may be one.
import { OptaError } from "../protocol/error.ts";
import { createAttachedClient } from "./attached.ts";
import type { Client } from "./client.ts";
import type { ConnectOptions } from "./connect-options.ts";
import { askDaemon, findDaemon, hasDaemon, patientLimitMs } from "./daemon-address.ts";
import { createDaemonTransport } from "./daemon-transport.ts";

/**
 * @returns undefined where an engine in this process has to do the work
 * @throws OptaError daemon-unreachable | state-conflict, with mode "attach", or what the daemon says is wrong with it
 */
export async function attach(options: ConnectOptions): Promise<Client | undefined> {
  const { directory } = options;
  const isOptional = options.mode === "either";
  const state = findDaemon(directory);
  if (state === undefined) {
    if (isOptional) return undefined;
    throw hasDaemon(directory)
      ? new OptaError("daemon-unreachable", "the daemon is not to be found", "opta daemon restart")
      : new OptaError("daemon-unreachable", "no daemon is running", "opta daemon start");
  }
  const health = await askDaemon(state, isOptional ? {} : { limitMs: patientLimitMs });
  if (health instanceof OptaError) {
    // Where the settings of both are what is wrong, they are told as this command's own.
    await options.loadConfig();
    if (!isOptional) throw health;
    options.notice(`${health.message}: working without it`);
    return undefined;
  }
  if (!(await options.isSameWork(health, state.token))) {
    if (isOptional) return undefined;
    throw new OptaError(
      "state-conflict",
      "the daemon works with other settings than this command (flags or variables that it does not have)",
      "opta daemon restart   (from this shell), or leave out --attach",
    );
  }
  return createAttachedClient(createDaemonTransport(state, () => findDaemon(directory)));
}
