// Which client a command gets is decided here and nowhere else: the daemon's, when one lives that would do the same
// with the same settings; else an engine in this process, with nothing to start.
import type { AppOptions } from "../app.ts";
import { createId } from "../base/ids.ts";
import { OptaError } from "../protocol/error.ts";
import { createAttachedClient } from "./attached.ts";
import type { Client } from "./client.ts";
import { askDaemon, findDaemon } from "./daemon-address.ts";
import { createEmbeddedClient } from "./embedded.ts";
import { createDaemonTransport } from "./daemon-transport.ts";

export interface ConnectOptions extends Omit<AppOptions, "daemonId"> {
  /** "embedded": never the daemon; "attach": only the daemon. */
  readonly mode: "either" | "embedded" | "attach";
  /** Whether the daemon would do what this process would: its digest of the settings, keyed by its token. */
  readonly isSameWork: (token: string, digest: string) => boolean;
}

/**
 * @throws OptaError daemon-unreachable, state-conflict with mode "attach"; otherwise nothing: the model server is
 *   looked for when an operation needs it
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  if (options.mode !== "embedded") {
    const attached = await tryAttach(options);
    if (attached !== undefined) return attached;
  }
  const { createApp } = await import("../app.ts");
  return createEmbeddedClient(createApp({ ...options, daemonId: `embedded_${createId()}` }));
}

async function tryAttach(options: ConnectOptions): Promise<Client | undefined> {
  const { directory, mode } = options;
  const state = findDaemon(directory);
  const health = state && (await askDaemon(state));
  if (state === undefined || health === undefined) {
    if (mode === "either") return undefined;
    throw new OptaError("daemon-unreachable", "no daemon is running", "opta daemon start");
  }
  if (!options.isSameWork(state.token, health.settings)) {
    if (mode === "either") return undefined;
    throw new OptaError(
      "state-conflict",
      "the daemon works with other settings than this command (flags or variables that it does not have)",
      "opta daemon restart   (from this shell), or leave out --attach",
    );
  }
  return createAttachedClient(createDaemonTransport(state, () => findDaemon(directory)));
}
