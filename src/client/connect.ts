// Which client a command gets is decided here and nowhere else: the daemon's, when one lives that would do the same
// with the same settings; else an engine in this process, with nothing to start.
import { existsSync } from "node:fs";
import { createId } from "../base/ids.ts";
import { daemonPaths } from "../store/daemon-place.ts";
import type { Client } from "./client.ts";
import type { ConnectMode, ConnectOptions } from "./connect-options.ts";
import { createEmbeddedClient } from "./embedded.ts";

/**
 * Begins to ask for a daemon, which takes its time, while the caller reads its settings.
 * @returns to be called with them. It throws OptaError daemon-unreachable, state-conflict with mode "attach";
 *   otherwise nothing: the model server is looked for when an operation needs it
 */
export function beginToConnect(place: {
  readonly directory: string;
  readonly mode: ConnectMode;
}): (options: ConnectOptions) => Promise<Client> {
  const { directory, mode } = place;
  const mayAttach = mode === "attach" || existsSync(daemonPaths(directory).state);
  const probing = mode !== "embedded" && mayAttach ? probe(directory, mode) : undefined;
  // Settings that cannot be read are told first; then nobody waits for this.
  probing?.catch(() => undefined);
  return async (options) => {
    const found = await probing;
    const attached = await found?.attachTo(found.probed, mode, options);
    if (attached !== undefined) return attached;
    const { createApp } = await import("../app.ts");
    return createEmbeddedClient(createApp({ ...options, daemonId: `embedded_${createId()}` }));
  };
}

async function probe(directory: string, mode: ConnectMode) {
  const { attachTo, probeDaemon } = await import("./attach.ts");
  return { attachTo, probed: await probeDaemon(directory, mode) };
}
