// `opta do`: one task, one turn, then exit. Puts the pieces together: the task, the session, the surface.
import { statSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { writeFileAtomic } from "../../base/atomic-file.ts";
import { createId } from "../../base/ids.ts";
import type { Client } from "../../client/client.ts";
import { OptaError } from "../../protocol/error.ts";
import type { Message } from "../../protocol/message.ts";
import { isUnfinished, messageText } from "../../protocol/message-text.ts";
import type { TurnStats } from "../../protocol/event.ts";
import type { PermissionMode } from "../../protocol/permission.ts";
import { permissionModes } from "../../protocol/permission-modes.ts";
import { defineCommand, type CommandContext } from "../command.ts";
import { providerFlag, serverSettings } from "../device.ts";
import type { Io } from "../output/io.ts";
import { runTurnToEnd } from "../run-turn.ts";
import { readTask } from "../task-input.ts";
import { workspacePath } from "../workspace.ts";
import { createJsonSurface, createTextSurface } from "../turn-surface.ts";

const flags = {
  model: { type: "string", alias: "m", valueHint: "ID", description: "the model to use" },
  device: { type: "string", valueHint: "HOST[:PORT]", description: "the model server to use" },
  provider: providerFlag,
  mode: { type: "enum", options: permissionModes, description: "what may happen without asking" },
  auto: { type: "boolean", description: "allow writes in the workspace; short for --mode auto" },
  dangerous: { type: "boolean", description: "allow everything your rules do not deny" },
  yolo: { type: "boolean", description: "the same as --dangerous" },
  format: {
    type: "enum",
    alias: "f",
    options: ["text", "json"],
    default: "text",
    description: "the answer as text, or every event as a JSON line",
  },
  quiet: { type: "boolean", alias: "q", description: "no progress on stderr" },
  output: {
    type: "string",
    alias: "o",
    valueHint: "FILE",
    description: "write the answer there too",
  },
  resume: { type: "string", valueHint: "ID", description: "go on with that session" },
  continue: { type: "boolean", description: "go on with this directory's last session" },
  cwd: { type: "string", valueHint: "DIR", description: "work there (default: here)" },
  embedded: { type: "boolean", description: "work in this process, also when a daemon runs" },
  attach: { type: "boolean", description: "work in the daemon, or not at all" },
  "max-steps": {
    type: "integer",
    valueHint: "N",
    minimum: 1,
    maximum: 1000,
    description: "model requests before giving up (default: 60)",
  },
} as const;

type Context = CommandContext<typeof flags>;

export const command = defineCommand({
  name: "do",
  summary: "work on a task in this directory, then exit",
  args: flags,
  notes:
    "Without a task, --continue and --resume go on with an answer that was cut or interrupted.\n" +
    "A running daemon with the same settings does the work; what is printed is the same.",
  positionals: [{ name: "task", description: "what to do; - reads it from stdin", variadic: true }],
  examples: [
    'opta do "why does the login test fail?"',
    'opta do --auto "rename getUser to loadUser everywhere"',
    'git diff | opta do "review this change"',
    'opta do --continue "now add a test for it"',
    "opta do --continue",
    'opta do -f json "list the exported functions" | jq -r .event',
  ],
  async run(context) {
    const { args, io } = context;
    // Read at once, so that a missing task is reported before anything is started.
    const goesOn = args.continue || args.resume !== undefined;
    const task = await readTask(context.rest, io, { optional: goesOn });
    if (task.ignoredPipe) {
      io.stderr.write(
        'opta: stdin is open but silent, so it is not read; to wait for it: opta do - "…"\n',
      );
    }
    if (args.output !== undefined) checkOutput(args.output);
    const permissionMode = chosenMode(context);
    const client = await context.connect(serverSettings(args), { mode: connectMode(context) });
    const { sessionId, afterSeq } = await openSession(client, context);
    const content = task.task ?? (await goOn(client, sessionId));
    const surface =
      args.format === "json" ? createJsonSurface(io) : createTextSurface(io, { quiet: args.quiet });
    const { exitCode, stats } = await runTurnToEnd({
      client,
      io,
      surface,
      afterSeq,
      submit: {
        sessionId,
        clientId: "opta-do",
        writerId: `opta-do-${createId()}`,
        content,
        mode: "do",
        // Asked twice, because a daemon went down in between, it is one turn.
        idempotencyKey: createId(),
        overrides: {
          ...(args.model === undefined ? {} : { model: args.model }),
          ...(permissionMode === undefined ? {} : { permissionMode }),
          ...(args["max-steps"] === undefined ? {} : { maxSteps: args["max-steps"] }),
        },
      },
    });
    if (stats && args.output !== undefined) {
      const { messages } = await client.call("session.get", { sessionId });
      await saveAnswer(args.output, lastAnswer(messages));
    }
    if (stats && args.format === "text" && !args.quiet) writeSummary(io, stats, sessionId);
    return exitCode;
  },
});

/** @throws OptaError usage when two flags contradict each other */
function chosenMode({ args }: Context): PermissionMode | undefined {
  const dangerous = args.dangerous || args.yolo;
  const chosen = [
    ...(args.mode === undefined ? [] : [args.mode]),
    ...(args.auto ? (["auto"] as const) : []),
    ...(dangerous ? (["dangerous"] as const) : []),
  ];
  if (new Set(chosen).size > 1) {
    throw new OptaError("usage", `choose one mode, not ${chosen.join(" and ")}`, "opta help do");
  }
  return chosen[0];
}

/** @throws OptaError usage when both are given */
function connectMode({ args }: Context): "either" | "embedded" | "attach" {
  if (args.embedded && args.attach) {
    throw new OptaError("usage", "choose one of --embedded and --attach", "opta help do");
  }
  return args.embedded ? "embedded" : args.attach ? "attach" : "either";
}

async function openSession(
  client: Client,
  { args, environment }: Context,
): Promise<{ sessionId: string; afterSeq: number }> {
  if (args.resume !== undefined && args.continue) {
    throw new OptaError("usage", "choose one of --resume and --continue", "opta help do");
  }
  const workspace = workspacePath(args.cwd);
  const resumed = args.resume ?? (args.continue ? await lastSession(client, workspace) : undefined);
  if (resumed === undefined) {
    const created = await client.call("session.create", {
      metadata: { workspace, path: environment.toolPath },
      ...(args.model === undefined ? {} : { model: args.model }),
    });
    return { sessionId: created.sessionId, afterSeq: 0 };
  }
  await client.call("session.resume", {
    sessionId: resumed,
    metadata: { path: environment.toolPath },
    ...(args.model === undefined ? {} : { model: args.model }),
  });
  const { seq } = await client.call("session.get", { sessionId: resumed });
  return { sessionId: resumed, afterSeq: seq };
}

/** What an unfinished answer is continued with: always the same words. */
const continuation =
  "Your last answer was not finished. Go on exactly where it stopped; do not repeat what you already said or did.";

/** @throws OptaError usage when the last answer is whole */
async function goOn(client: Client, sessionId: string): Promise<string> {
  const { messages } = await client.call("session.get", { sessionId });
  const last = messages.at(-1);
  if (last !== undefined && isUnfinished(last)) return continuation;
  throw new OptaError(
    "usage",
    `the last answer of session ${sessionId} is finished: say what to do next`,
    'opta do --continue "…"',
  );
}

/** @throws OptaError not-found when the directory has no session yet */
async function lastSession(client: Client, workspace: string): Promise<string> {
  const real = await realpath(workspace).catch(() => workspace);
  const { sessions } = await client.call("session.list", { workspace: real, limit: 1 });
  const last = sessions[0];
  if (last) return last.sessionId;
  throw new OptaError("not-found", `no session in ${real} to continue`, 'opta do "…" starts one');
}

/** Said before the model is asked, not after it answered. @throws OptaError usage */
function checkOutput(path: string): void {
  const target = resolve(path);
  if (path !== "" && !isDirectory(target) && isDirectory(dirname(target))) return;
  const problem = path === "" || isDirectory(target) ? "is a directory" : "lies in no directory";
  throw new OptaError("usage", `-o ${path || '""'} ${problem}`, 'opta do -o answer.md "…"');
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** As the session keeps it: what turned out to be reasoning while it streamed is not part of it. */
function lastAnswer(messages: readonly Message[]): string {
  const answer = messages.findLast((message) => message.role === "assistant");
  return answer === undefined ? "" : messageText(answer);
}

/** Whole or not at all: a script that reads the file never sees half an answer. */
async function saveAnswer(path: string, answer: string): Promise<void> {
  const text = answer.endsWith("\n") || answer === "" ? answer : `${answer}\n`;
  await writeFileAtomic(resolve(path), text);
}

function writeSummary(io: Io, stats: TurnStats, sessionId: string): void {
  if (!io.isTerminal(2)) return;
  const parts = [
    `${stats.steps} ${stats.steps === 1 ? "step" : "steps"}`,
    `${stats.toolCalls} ${stats.toolCalls === 1 ? "tool call" : "tool calls"}`,
    `${(stats.elapsed / 1000).toFixed(1)} s`,
    `session ${sessionId}`,
  ];
  io.stderr.write(`${io.style(2).dim(parts.join(" · "))}\n`);
}
