// What a command is given besides its arguments. Settings and the engine are loaded when a command first asks
// for them, so that help, version and completions read no file and open no connection.
import type { Client } from "../client/client.ts";
import { configDirectory } from "../config/directory.ts";
import type { Environment } from "../config/environment.ts";
import type { CommandContext } from "./command.ts";
import type { Io } from "./output/io.ts";

export interface ContextParts extends Pick<
  CommandContext,
  "io" | "environment" | "loadConfig" | "loadDirectory" | "connect"
> {
  /** Closes the clients that were made. */
  close(): Promise<void>;
}

export function createContextParts(given: {
  readonly io: Io;
  readonly environment: Environment;
}): ContextParts {
  const clients: Client[] = [];
  const { io, environment } = given;
  const loadConfig: CommandContext["loadConfig"] = async (flags = {}) => {
    const { loadConfig: load } = await import("../config/load.ts");
    return load({ environment, flags });
  };
  return {
    io,
    environment,
    loadConfig,
    loadDirectory: () => configDirectory(environment),
    async connect(flags = {}, { mode = "either", anySettings = false } = {}) {
      const { connect } = await import("../client/connect.ts");
      let loading: ReturnType<typeof loadConfig> | undefined;
      // Compared with the daemon's first, and then worked by: read once.
      const load = () => (loading ??= loadConfig(flags));
      const directory = configDirectory(environment);
      const client = await connect({
        directory,
        mode,
        environment,
        loadConfig: load,
        notice: (text) => io.stderr.write(`opta: ${text}\n`),
        async isSameWork(digests, token) {
          if (anySettings) return true;
          const { isSameWork } = await import("../config/settings-digest.ts");
          return isSameWork({ digests, token, directory, environment, flags, loadConfig: load });
        },
      });
      clients.push(client);
      return client;
    },
    async close() {
      await Promise.all(clients.map((client) => client.close()));
    },
  };
}
