// `opta context`: what the next request costs, part by part, and what is left of the model's window.
import { stripTerminalText } from "../../base/terminal-text.ts";
import type { ContextReport } from "../../protocol/context.ts";
import { defineCommand } from "../command.ts";
import { deviceSettings } from "../device.ts";
import type { Io } from "../output/io.ts";
import { toJsonText } from "../output/json.ts";
import { formatCount } from "../output/quantity.ts";
import { renderTable } from "../output/table.ts";
import { workspacePath } from "../workspace.ts";

export const command = defineCommand({
  name: "context",
  summary: "show what fills the model's context window",
  args: {
    session: {
      type: "string",
      valueHint: "ID",
      description: "of that session (default: of a new one here)",
    },
    model: { type: "string", alias: "m", valueHint: "ID", description: "for that model" },
    device: { type: "string", valueHint: "HOST[:PORT]", description: "the model server to ask" },
    json: { type: "boolean", description: "print one JSON document" },
  },
  notes: "In tokens: estimated, and corrected by what the session's server counted.",
  examples: [
    "opta context",
    "opta context --session V1StGXR8_Z5j",
    "opta context --json | jq .left",
  ],
  async run({ args, io, connect }) {
    const client = await connect(args.device === undefined ? {} : deviceSettings(args.device));
    const report = await client.call("session.context", {
      workspace: workspacePath(undefined),
      ...(args.session === undefined ? {} : { sessionId: args.session }),
      ...(args.model === undefined ? {} : { model: args.model }),
    });
    io.stdout.write(args.json ? toJsonText(report) : describe(report, io));
    return 0;
  },
});

function describe(report: ContextReport, io: Io): string {
  const style = io.style(1);
  const { window, left } = report;
  const model =
    report.model === null
      ? `unknown: ${clean(report.problem ?? "no server answered")}`
      : `${clean(report.model)} on ${report.server}`;
  const facts: (readonly [string, string])[] = [
    ["model", model],
    ["window", windowText(report)],
  ];
  if (report.sessionId !== null) facts.push(["session", sessionText(report)]);
  const parts: (readonly [string, number])[] = [
    ["system prompt", report.systemPrompt],
    ["tools", report.tools],
    ["history", report.history],
    ["reserved for the answer", report.outputReserve],
  ];
  if (report.instructions > 0) parts.splice(1, 0, ["project instructions", report.instructions]);
  if (left !== null) parts.push(["left", left]);
  const rows = parts.map(([name, tokens]) => [name, formatCount(tokens), bar(tokens, window)]);
  const table = renderTable({ head: ["PART", "TOKENS", ""], rows, alignRight: [1] }, io);
  const lines = facts.map(([name, value]) => `${style.dim(name.padEnd(7))}  ${value}\n`);
  const full = left !== null && left < 0 ? "history is compacted before the next request\n" : "";
  return `${lines.join("")}\n${table}${full}`;
}

function windowText({ window, windowSource }: ContextReport): string {
  if (window === null) return "unknown: the server decides what fits, opta compacts nothing";
  const source = windowSource === "setting" ? "your setting" : "told by the server";
  return `${formatCount(window)} tokens (${source})`;
}

function sessionText({ sessionId, messages, compactions }: ContextReport): string {
  const compacted = compactions === 0 ? "" : `, compacted ${compactions}×`;
  return `${sessionId}, ${formatCount(messages)} messages${compacted}`;
}

/** A share of the window, 30 cells wide; anything at all shows. */
function bar(tokens: number, window: number | null): string {
  if (window === null || tokens <= 0) return "";
  const cells = Math.min(30, Math.max(1, Math.round((tokens / window) * 30)));
  return `${"█".repeat(cells)} ${Math.round((tokens / window) * 100)} %`;
}

function clean(text: string): string {
  return stripTerminalText(text);
}
