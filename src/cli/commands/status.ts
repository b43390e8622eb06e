// `opta status`: which model server opta would use now, and how every candidate answered.
import { exitCodeOf, OptaError } from "../../protocol/error.ts";
import type { ServerStatus } from "../../protocol/model.ts";
import { stripTerminalText } from "../../base/terminal-text.ts";
import { defineCommand } from "../command.ts";
import type { Io } from "../output/io.ts";
import { toJsonText } from "../output/json.ts";
import { formatBytes } from "../output/quantity.ts";
import { providerFlag, serverSettings } from "../device.ts";

export const command = defineCommand({
  name: "status",
  summary: "show the model server that opta would use",
  args: {
    json: { type: "boolean", description: "print one JSON document" },
    device: { type: "string", valueHint: "HOST[:PORT]", description: "the model server to ask" },
    provider: providerFlag,
  },
  notes: "Exits 3 when no server is reachable, else 0; `ready` says whether a model is loaded.",
  examples: ["opta status", "opta status --json", "opta status --device studio.local:1234"],
  async run({ args, io, connect }) {
    const client = await connect(serverSettings(args));
    try {
      const status = await client.call("lmx.status", {});
      io.stdout.write(
        args.json ? toJsonText({ reachable: true, ...status }) : describe(status, io),
      );
      return 0;
    } catch (thrown) {
      const unreachable = thrown instanceof OptaError && exitCodeOf(thrown.code) === 3;
      if (!args.json || !unreachable) throw thrown;
      const { code, message, hint } = thrown;
      io.stdout.write(toJsonText({ reachable: false, code, message, hint }));
      return exitCodeOf(code);
    }
  },
});

const kindWords: Readonly<Record<ServerStatus["kind"], string>> = {
  lmx: "Opta LMX",
  openai: "OpenAI-compatible",
  anthropic: "Anthropic, in the cloud: turns leave your network",
};

function describe(status: ServerStatus, io: Io): string {
  const { memory, loadedModels } = status;
  const style = io.style(1);
  const kind = kindWords[status.kind];
  const rows: readonly (readonly [string, string])[] = [
    ["server", status.server],
    ["kind", status.version === null ? kind : `${kind} ${stripTerminalText(status.version)}`],
    ["transport", status.transport === "websocket" ? "WebSocket" : "SSE"],
    ["ready", status.ready ? style.green("yes") : style.yellow("no, no model is loaded")],
    ["models", loadedModels.length === 0 ? "none loaded" : clean(loadedModels.join(", "))],
    [
      "memory",
      memory === null
        ? "not told"
        : `${formatBytes(memory.usedBytes)} of ${formatBytes(memory.totalBytes)} in use`,
    ],
    ["latency", `${Math.round(status.latencyMs)} ms`],
  ];
  const facts = rows.map(([name, value]) => `${style.dim(name.padEnd(9))}  ${value}`);
  const tried = status.candidates.map(
    ({ server, outcome }) => `  ${clean(`${server}: ${outcome}`)}`,
  );
  const next = status.ready ? [] : ["", "next: opta models list, then opta models load <model>"];
  return `${[...facts, style.dim("candidates"), ...tried, ...next].join("\n")}\n`;
}

function clean(text: string): string {
  return stripTerminalText(text);
}
