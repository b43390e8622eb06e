// Which client a command gets is decided here and nowhere else. Today that is always the embedded one: an
// engine in this process, nothing to start.
import { createApp, type AppOptions } from "../app.ts";
import { createId } from "../base/ids.ts";
import type { Client } from "./client.ts";
import { createEmbeddedClient } from "./embedded.ts";

/** @throws nothing: the model server is looked for when an operation needs it */
export async function connect(options: Omit<AppOptions, "daemonId">): Promise<Client> {
  return createEmbeddedClient(createApp({ ...options, daemonId: `embedded_${createId()}` }));
}
