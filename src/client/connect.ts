// Which client a command gets is decided here and nowhere else: the daemon's, when one lives that would do the same
// with the same settings; else an engine in this process, with nothing to start.
import { existsSync } from "node:fs";
import { createId } from "../base/ids.ts";
import { daemonPaths } from "../store/daemon-place.ts";
import type { Client } from "./client.ts";
import type { ConnectOptions } from "./connect-options.ts";

/**
 * Beside the errors of its options it throws OptaError daemon-unreachable and state-conflict, with mode "attach"; the
 * model server is looked for when an operation needs it.
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const { directory, mode } = options;
  const mayAttach = mode === "attach" || existsSync(daemonPaths(directory).state);
  if (mode !== "embedded" && mayAttach) {
    const { attach } = await import("./attach.ts");
    const attached = await attach(options);
    if (attached !== undefined) return attached;
  }
  const { config } = await options.loadConfig();
  const { createApp } = await import("../app.ts");
  const { createEmbeddedClient } = await import("./embedded.ts");
  const { environment } = options;
  const daemonId = `embedded_${createId()}`;
  return createEmbeddedClient(createApp({ config, directory, environment, daemonId }));
}
