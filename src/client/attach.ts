// Attaching to a daemon that lives, when it would do the same as this process. Loaded only where there may be one.
import { OptaError } from "../protocol/error.ts";
import { createAttachedClient } from "./attached.ts";
import type { Client } from "./client.ts";
import type { ConnectOptions } from "./connect-options.ts";
import { askDaemon, findDaemon } from "./daemon-address.ts";
import { createDaemonTransport } from "./daemon-transport.ts";

const patientLimitMs = 2_000;

/**
 * @returns undefined where an engine in this process has to do the work
 * @throws OptaError daemon-unreachable | state-conflict, with mode "attach"
 */
export async function tryAttach(options: ConnectOptions): Promise<Client | undefined> {
  const { directory, mode } = options;
  const state = findDaemon(directory);
  // With nothing to fall back on there is time to wait for one that is busy.
  const limit = mode === "attach" ? { limitMs: patientLimitMs } : {};
  const health = state && (await askDaemon(state, limit));
  if (state === undefined || health === undefined) {
    if (mode === "either") {
      if (state !== undefined) options.notice("the daemon does not answer: working without it");
      return undefined;
    }
    throw state === undefined
      ? new OptaError("daemon-unreachable", "no daemon is running", "opta daemon start")
      : new OptaError("daemon-unreachable", "the daemon does not answer", "opta daemon restart");
  }
  if (!(await options.isSameWork(state.token, health.settings))) {
    if (mode === "either") return undefined;
    throw new OptaError(
      "state-conflict",
      "the daemon works with other settings than this command (flags or variables that it does not have)",
      "opta daemon restart   (from this shell), or leave out --attach",
    );
  }
  return createAttachedClient(createDaemonTransport(state, () => findDaemon(directory)));
}
