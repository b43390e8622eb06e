// run_command: one bash command in the workspace, bounded in time and output, with nothing of it left running
// when the call ends. Whether it may run is decided elsewhere; the environment it may see comes in scrubbed.
import * as z from "zod";
import { settleWithin } from "../base/clock.ts";
import { createCommandEnvironment } from "./command-environment.ts";
import { type CommandExit, type CommandProcess, startCommand } from "./command-process.ts";
import { createOutputCollector, type OutputCollector } from "./output-cap.ts";
import { defineTool, type Tool, type ToolContext, type ToolResult } from "./tool.ts";

export interface RunCommandOptions {
  /** The variables of this process; keys and what changes bash are taken out here. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

const defaultTimeoutMs = 120_000;
/** Longer work belongs into a terminal of the user's, not into a turn. */
const maxTimeoutMs = 30 * 60_000;

/** How long output may still arrive after the shell has exited (`> >(tee log)`) before the rest is ended. */
const lateOutputMs = 200;

const parameters = z.object({
  command: z.string().min(1),
  timeout: z.number().optional().describe("ms, default 120000"),
});
type Arguments = z.infer<typeof parameters>;

export function createRunCommandTool(options: RunCommandOptions): Tool {
  return defineTool<Arguments>({
    name: "run_command",
    description: "Run bash in the workspace. No stdin; background processes end with it.",
    parameters,
    readOnly: false,
    effects: async ({ command }) => [{ kind: "exec", command }],
    run: (args, context) => runCommand(args, context, options),
  });
}

type Ending =
  | { readonly kind: "exited"; readonly exit: CommandExit }
  | { readonly kind: "timed out" }
  | { readonly kind: "cancelled" };

async function runCommand(
  { command, timeout = defaultTimeoutMs }: Arguments,
  context: ToolContext,
  { environment }: RunCommandOptions,
): Promise<ToolResult> {
  if (context.signal.aborted) return { ok: false, text: "cancelled" };
  const timeoutMs = Math.min(Math.max(timeout, 1), maxTimeoutMs);
  const output = createOutputCollector({ context, name: "command" });
  const started = start(command, context, environment, output);
  if (typeof started === "string") {
    await output.finish();
    return { ok: false, text: started };
  }
  const ending = await waitForEnding(started, { timeoutMs, signal: context.signal });
  if (ending.kind === "exited") await settleWithin(started.outputEnded, lateOutputMs);
  const { found, left } = await started.end();
  // What the ended processes had already written is still in the pipe.
  await settleWithin(started.outputEnded, lateOutputMs);
  await started.close();
  const notes = [
    ending.kind === "exited" && found > 0 ? "(what still ran in the background was ended)" : "",
    left > 0 ? `(${left} of its processes could not be ended)` : "",
  ];
  const { text } = await output.finish();
  const last = describe(ending, timeoutMs);
  return {
    ok: ending.kind === "exited" && ending.exit.exitCode === 0,
    text: [text.replace(/\n$/, ""), ...notes, last].filter((line) => line !== "").join("\n"),
  };
}

/** The running command, or why it could not be started. */
function start(
  command: string,
  context: ToolContext,
  environment: RunCommandOptions["environment"],
  output: OutputCollector,
): CommandProcess | string {
  try {
    return startCommand({
      command,
      directory: context.workspace,
      environment: createCommandEnvironment(
        { ...environment, ...(context.toolPath === undefined ? {} : { PATH: context.toolPath }) },
        context.workspace,
      ),
      onOutput: output.write,
    });
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const advice = reason.includes("E2BIG") ? " (too long: write a script file and run that)" : "";
    return `could not start /bin/bash in ${context.workspace}: ${reason}${advice}`;
  }
}

function waitForEnding(
  command: CommandProcess,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => finish({ kind: "timed out" }), timeoutMs);
    const cancel = () => finish({ kind: "cancelled" });
    const finish = (ending: Ending) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
      resolve(ending);
    };
    signal.addEventListener("abort", cancel, { once: true });
    command.exited.then((exit) => finish({ kind: "exited", exit }), reject);
  });
}

/** The last line of the result. */
function describe(ending: Ending, timeoutMs: number): string {
  if (ending.kind === "cancelled") return "cancelled";
  if (ending.kind === "timed out") return `timed out after ${duration(timeoutMs)}`;
  const { exitCode, signal } = ending.exit;
  if (exitCode === undefined) return `killed by ${signal ?? "a signal"}`;
  const name = signalOf(exitCode);
  return name === undefined ? `exit code ${exitCode}` : `killed by ${name} (exit code ${exitCode})`;
}

/** bash reports a command that a signal ended as 128 + its number; the numbers that Linux and macOS share. */
function signalOf(exitCode: number): string | undefined {
  const names: Readonly<Record<number, string>> = {
    129: "SIGHUP",
    130: "SIGINT",
    131: "SIGQUIT",
    132: "SIGILL",
    133: "SIGTRAP",
    134: "SIGABRT",
    136: "SIGFPE",
    137: "SIGKILL",
    139: "SIGSEGV",
    141: "SIGPIPE",
    142: "SIGALRM",
    143: "SIGTERM",
  };
  return names[exitCode];
}

const duration = (ms: number) => (ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`);
