// `opta permissions explain`: what the policy would decide about a call, by which rule, and how to change it.
// The deciding is the engine's; this only turns one word into the arguments of the tool.
import { stripTerminalText } from "../../base/terminal-text.ts";
import { OptaError } from "../../protocol/error.ts";
import type { OperationResult } from "../../protocol/operations.ts";
import { permissionModes } from "../../protocol/permission-modes.ts";
import { type CommandGroup, defineCommand } from "../command.ts";
import type { Io } from "../output/io.ts";
import { toJsonText } from "../output/json.ts";
import { workspacePath } from "../workspace.ts";

const explain = defineCommand({
  name: "explain",
  summary: "say what would be decided about a tool call, and why",
  args: {
    tool: {
      type: "string",
      valueHint: "NAME",
      description: "the tool, for example run_command",
      default: "run_command",
    },
    mode: {
      type: "enum",
      options: permissionModes,
      description: "judge as in this mode instead of the configured one",
    },
    json: { type: "boolean", description: "print {decision, rule, reason} as JSON" },
  },
  positionals: [
    {
      name: "subject",
      description: "the command (quoted), the path, the URL or the query of the call",
      required: true,
    },
  ],
  examples: [
    "opta permissions explain --tool run_command 'git status'",
    "opta permissions explain --tool edit_file src/main.ts --mode auto",
    "opta permissions explain --tool web_fetch https://example.com --json",
  ],
  async run({ args, rest: [subject = ""], io, connect }) {
    const toolArguments = await argumentsFor(args.tool, subject);
    const client = await connect();
    const verdict = await client.call("permission.explain", {
      workspace: workspacePath(),
      tool: args.tool,
      args: toolArguments,
      ...(args.mode === undefined ? {} : { mode: args.mode }),
    });
    const { decision, rule, reason } = verdict;
    const document = { decision, rule, reason };
    io.stdout.write(args.json ? toJsonText(document) : describe(verdict, io));
    return 0;
  },
});

export const command: CommandGroup = {
  name: "permissions",
  summary: "explain what opta may do without asking",
  subcommands: [explain],
  examples: explain.examples,
};

/** Tool -> its arguments when `subject` is what the call is about; the rest are fillers that judge alike. */
const argumentsByTool: Readonly<Record<string, (subject: string) => Record<string, unknown>>> = {
  ask_user: (question) => ({ question }),
  delete_file: (path) => ({ path }),
  edit_file: (path) => ({ path, old_text: "old", new_text: "new" }),
  find_files: (path) => ({ pattern: "*", path }),
  list_dir: (path) => ({ path }),
  multi_edit: (path) => ({ edits: [{ path, old_text: "old", new_text: "new" }] }),
  read_file: (path) => ({ path }),
  run_command: (line) => ({ command: line }),
  search_files: (path) => ({ pattern: ".", path }),
  web_fetch: (url) => ({ url }),
  web_search: (query) => ({ query }),
  write_file: (path) => ({ path, content: "" }),
};

async function argumentsFor(tool: string, subject: string): Promise<Record<string, unknown>> {
  const build = Object.hasOwn(argumentsByTool, tool) ? argumentsByTool[tool] : undefined;
  if (build !== undefined) return build(subject);
  const names = Object.keys(argumentsByTool);
  const { nearestName } = await import("../nearest.ts");
  const near = nearestName(tool, names);
  const guess = near === undefined ? "" : `; did you mean ${near}?`;
  throw new OptaError("usage", `no tool "${tool}"${guess}`, `tools: ${names.join(", ")}`);
}

function describe(verdict: OperationResult<"permission.explain">, io: Io): string {
  const style = io.style(1);
  const colour = { allow: style.green, ask: style.yellow, deny: style.red }[verdict.decision];
  const rows: readonly (readonly [string, string])[] = [
    ["decision", colour(verdict.decision)],
    ["rule", stripTerminalText(verdict.rule)],
    ["reason", stripTerminalText(verdict.reason)],
    ...(verdict.remedy === undefined
      ? []
      : [["remedy", stripTerminalText(verdict.remedy)] as const]),
  ];
  return rows.map(([name, value]) => `${style.dim(name.padEnd(8))}  ${value}\n`).join("");
}
