// Which client a command gets is decided here and nowhere else: the daemon's, when one lives that would do the same
// with the same settings; else an engine in this process, with nothing to start.
import { existsSync } from "node:fs";
import { createId } from "../base/ids.ts";
import { daemonPaths } from "../store/daemon-place.ts";
import type { Client } from "./client.ts";
import type { ConnectOptions } from "./connect-options.ts";
import { createEmbeddedClient } from "./embedded.ts";

/**
 * @throws OptaError daemon-unreachable, state-conflict with mode "attach"; otherwise nothing: the model server is
 *   looked for when an operation needs it
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const mayAttach = options.mode === "attach" || existsSync(daemonPaths(options.directory).state);
  if (options.mode !== "embedded" && mayAttach) {
    const { tryAttach } = await import("./attach.ts");
    const attached = await tryAttach(options);
    if (attached !== undefined) return attached;
  }
  const { createApp } = await import("../app.ts");
  return createEmbeddedClient(createApp({ ...options, daemonId: `embedded_${createId()}` }));
}
