// Operations on the MCP servers that the user has set up: the map `mcp.servers` of the settings, one entry at a
// time, so that the others stay as they are (lesson 45). Starts none of them.
import * as z from "zod";
import { setConfigEntry } from "../../config/edit.ts";
import { type Config, httpUrlSchema } from "../../config/schema.ts";
import { OptaError } from "../../protocol/error.ts";
import { type ClientOperation, defineClientOperation, noInput } from "./client-operation.ts";

type McpServer = Config["mcp"]["servers"][string];

const list = defineClientOperation({
  id: "mcp.list",
  title: "List MCP servers",
  description: "The MCP servers of the settings, by name.",
  safety: "read",
  input: noInput,
  async run(_input, { loadConfig }) {
    const { servers } = (await loadConfig()).config.mcp;
    return Object.fromEntries(
      Object.entries(servers).map(([name, server]) => [name, toShown(server)]),
    );
  },
});

const nameSchema = z.string().trim().min(1).max(100);

const add = defineClientOperation({
  id: "mcp.add",
  title: "Add an MCP server",
  description: "Adds a server that is started by a command or reached at a URL.",
  safety: "write",
  input: z.lazy(() =>
    z.object({
      name: nameSchema,
      command: z.string().trim().min(1).optional(),
      args: z.array(z.string()).default([]),
      url: httpUrlSchema.optional(),
    }),
  ),
  async run({ name, ...given }, { loadConfig }) {
    const server = toServer(given);
    const { path, config } = await loadConfig();
    const existing = serverNamed(config, name);
    if (existing !== undefined && !Bun.deepEquals(existing, server)) {
      throw new OptaError(
        "state-conflict",
        `there is an MCP server ${name} already; remove it first`,
      );
    }
    await setConfigEntry(path, "mcp.servers", { name, value: server });
    return { name, ...toShown(server) };
  },
});

const remove = defineClientOperation({
  id: "mcp.remove",
  title: "Remove an MCP server",
  description: "Removes one server from the settings; the others stay.",
  safety: "write",
  input: z.lazy(() => z.object({ name: nameSchema })),
  async run({ name }, { loadConfig }) {
    const { path, config } = await loadConfig();
    if (serverNamed(config, name) === undefined) {
      throw new OptaError("not-found", `there is no MCP server ${name}`);
    }
    await setConfigEntry(path, "mcp.servers", { name, value: undefined });
    return { name, removed: true };
  },
});

export const mcpOperations: readonly ClientOperation[] = [list, add, remove];

/** @throws OptaError usage */
function toServer(given: {
  readonly command?: string | undefined;
  readonly args: string[];
  readonly url?: string | undefined;
}): McpServer {
  const { command, args, url } = given;
  if (command !== undefined && url === undefined) return { command, args };
  if (command === undefined && url !== undefined) return { url };
  throw new OptaError("usage", "an MCP server has either a command or a url");
}

/** Every key in every case: clients read `args` without asking for the transport. */
function toShown(server: McpServer): object {
  return "url" in server
    ? { transport: "http", command: null, args: [], url: server.url }
    : { transport: "stdio", command: server.command, args: server.args, url: null };
}

function serverNamed({ mcp }: Config, name: string): McpServer | undefined {
  return Object.hasOwn(mcp.servers, name) ? mcp.servers[name] : undefined;
}
