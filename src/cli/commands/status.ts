// `opta status`: which model server opta would use now, and how every candidate answered.
import { exitCodeOf, OptaError } from "../../protocol/error.ts";
import type { ServerStatus } from "../../protocol/model.ts";
import { stripTerminalText } from "../../base/terminal-text.ts";
import { defineCommand } from "../command.ts";
import type { Io } from "../output/io.ts";
import { toJsonText } from "../output/json.ts";
import { formatBytes, formatCount } from "../output/quantity.ts";
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

function describe(status: ServerStatus, io: Io): string {
  const { memory } = status;
  const style = io.style(1);
  const kind = kindNames[status.kind];
  const rows: readonly (readonly [string, string])[] = [
    ["server", status.server],
    ["kind", status.version === null ? kind : `${kind} ${stripTerminalText(status.version)}`],
    ["transport", status.transport === "websocket" ? "WebSocket" : "SSE"],
    ["ready", status.ready ? style.green("yes") : style.yellow("no, no model is loaded")],
    ...modelRows(status),
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
  const load = status.kind === "lmx" ? ", then opta models load <model>" : "";
  const next = status.ready ? [] : ["", `next: opta models list${load}`];
  return `${[...facts, style.dim("candidates"), ...tried, ...next].join("\n")}\n`;
}

const kindNames: Readonly<Record<ServerStatus["kind"], string>> = {
  lmx: "Opta LMX",
  "llama-server": "llama-server (llama.cpp)",
  "mlx-lm": "mlx_lm.server",
  "lm-studio": "LM Studio",
  ollama: "Ollama",
  vllm: "vLLM",
  openai: "OpenAI-compatible",
  anthropic: "Anthropic, in the cloud: turns leave your network",
};

/** A row per model, with its window and where that is known from. */
function modelRows({ windows, ready }: ServerStatus): readonly (readonly [string, string])[] {
  if (windows.length === 0) {
    return [["models", ready ? "none loaded; loaded when first asked for" : "none loaded"]];
  }
  return windows.map(({ modelId, contextLength, windowSource }, index) => {
    const own = windowSource === "setting" ? " (your setting)" : "";
    const window =
      contextLength === null
        ? `window unknown: opta models settings ${modelId} window=N`
        : `window ${formatCount(contextLength)}${own}`;
    return [index === 0 ? "models" : "", clean(`${modelId}, ${window}`)] as const;
  });
}

function clean(text: string): string {
  return stripTerminalText(text);
}
