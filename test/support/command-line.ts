// Runs command lines in this process: captured streams, a fake client, an environment of its own. For what
// needs a real process (signals, strace, the executable itself) see binary.ts.
import type { Client } from "../../src/client/client.ts";
import type { CommandTable } from "../../src/cli/command.ts";
import type { ContextParts } from "../../src/cli/context.ts";
import { runCommandLine } from "../../src/cli/dispatch.ts";
import type { Io } from "../../src/cli/output/io.ts";
import { createStyle } from "../../src/cli/output/style.ts";
import { commandTable } from "../../src/cli/table.ts";
import { configDirectory } from "../../src/config/directory.ts";
import { createEnvironment } from "../../src/config/environment.ts";
import { type ConfigFlags, loadConfig } from "../../src/config/load.ts";
import type { OperationName } from "../../src/protocol/operations.ts";

export interface CapturedIo extends Io {
  readonly written: { stdout: string; stderr: string };
}

export function createCapturedIo(
  options: { readonly terminal?: boolean; readonly columns?: number; readonly stdin?: string } = {},
): CapturedIo {
  const written = { stdout: "", stderr: "" };
  return {
    written,
    stdout: { write: (text) => void (written.stdout += text) },
    stderr: { write: (text) => void (written.stderr += text) },
    isTerminal: () => options.terminal ?? false,
    columns: () => options.columns ?? 80,
    style: () => createStyle(false),
    openTerminal: () => undefined,
    readStdin: async () => options.stdin ?? "",
  };
}

type Answers = Partial<Record<OperationName, (params: never) => unknown>>;

/** A client that answers from the given functions and refuses every other operation. */
export function createFakeClient(answers: Answers): Client & { readonly closed: () => boolean } {
  const state = { closed: false };
  return {
    closed: () => state.closed,
    async call(operation, params) {
      const answer = answers[operation];
      if (answer === undefined) throw new Error(`no answer prepared for ${operation}`);
      return answer(params as never) as never;
    },
    // eslint-disable-next-line require-yield -- these commands read no events
    async *events() {
      throw new Error("no events prepared");
    },
    async close() {
      state.closed = true;
    },
  };
}

export interface CommandLineOptions {
  readonly io?: CapturedIo;
  /** Default: none, so that a command that connects fails the test. */
  readonly client?: Client;
  readonly variables?: Readonly<Record<string, string>>;
  readonly commands?: CommandTable;
}

export interface CommandLineResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The flags of each connect. */
  readonly connections: readonly ConfigFlags[];
}

/** `words` as typed after `opta`. */
export async function runWords(
  words: readonly string[],
  options: CommandLineOptions = {},
): Promise<CommandLineResult> {
  const io = options.io ?? createCapturedIo();
  const environment = createEnvironment({ HOME: "/nonexistent", ...options.variables });
  const connections: ConfigFlags[] = [];
  const parts: ContextParts = {
    io,
    environment,
    loadConfig: (flags) => loadConfig({ environment, flags }),
    loadDirectory: () => configDirectory(environment),
    async connect(flags = {}) {
      connections.push(flags);
      if (options.client === undefined) throw new Error("this command must not connect");
      return options.client;
    },
    close: async () => options.client?.close(),
  };
  const exitCode = await runCommandLine(words, options.commands ?? commandTable, parts);
  return { exitCode, ...io.written, connections };
}
