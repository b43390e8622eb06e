// `opta sessions`: what was said and done before. Everything goes through the client, so that it shows the
// same sessions wherever they are kept; only `export -o` writes a file here.
import { existsSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { writeFileAtomic } from "../../base/atomic-file.ts";
import { stripTerminalText } from "../../base/terminal-text.ts";
import { OptaError, toOptaError } from "../../protocol/error.ts";
import { savedSession, type SessionSummary } from "../../protocol/session.ts";
import { sessionToMarkdown } from "../../store/session-markdown.ts";
import { type CommandGroup, defineCommand, type Positional } from "../command.ts";
import type { Io } from "../output/io.ts";
import { toJsonText } from "../output/json.ts";
import { sessionToText } from "../output/session-text.ts";
import { renderTable } from "../output/table.ts";
import { findInSession } from "../session-search.ts";
import { workspacePath } from "../workspace.ts";

const json = { type: "boolean", description: "print one JSON document" } as const;
const workspace = {
  type: "string",
  valueHint: "DIR",
  description: "only sessions that worked in that directory",
} as const;

const sessionArgument: Positional = {
  name: "session",
  description: "an id, as `opta sessions list` shows it",
  required: true,
};

/** Rows of the table when nothing else is said; a screenful. */
const defaultRows = 20;

const list = defineCommand({
  name: "list",
  summary: "list saved sessions, newest first",
  args: {
    json,
    workspace,
    limit: {
      type: "integer",
      alias: "n",
      valueHint: "N",
      minimum: 1,
      maximum: 1_000_000,
      description: `at most that many (default: ${defaultRows}, with --json all)`,
    },
  },
  examples: ["opta sessions list", "opta sessions list --workspace . --limit 5"],
  async run({ args, io, connect }) {
    const client = await connect();
    const { sessions, corrupt } = await client.call("session.list", await inWorkspace(args));
    const limit = args.limit ?? (args.json ? sessions.length : defaultRows);
    const shown = sessions.slice(0, limit);
    if (args.json) io.stdout.write(toJsonText({ sessions: shown, corrupt }));
    else if (sessions.length === 0) io.stderr.write('no sessions yet: opta do "…" starts one\n');
    else io.stdout.write(sessionTable(shown, io));
    if (!args.json && shown.length < sessions.length) {
      const older = sessions.length - shown.length;
      io.stderr.write(`${older} older: opta sessions list --limit ${sessions.length}\n`);
    }
    warnOfCorrupt(corrupt, io);
    return 0;
  },
});

const show = defineCommand({
  name: "show",
  summary: "print a session for reading",
  args: { json },
  positionals: [sessionArgument],
  examples: ["opta sessions show V1StGXR8_Z5j", "opta sessions show V1StGXR8_Z5j | less -R"],
  async run({ args, rest: [sessionId = ""], io, connect }) {
    const client = await connect();
    const session = await client.call("session.get", { sessionId });
    io.stdout.write(
      args.json ? toJsonText(savedSession(session)) : sessionToText(session, io.style(1)),
    );
    return 0;
  },
});

const search = defineCommand({
  name: "search",
  summary: "find sessions by their title or what was said in them",
  args: { json, workspace },
  positionals: [
    { name: "text", description: "plain text, any case", required: true, variadic: true },
  ],
  examples: ["opta sessions search flaky login test", "opta sessions search --workspace . TODO"],
  async run({ args, rest, io, connect }) {
    const query = rest.join(" ");
    const client = await connect();
    const { sessions, corrupt } = await client.call("session.list", {
      ...(await inWorkspace(args)),
      query,
    });
    const found = [];
    for (const summary of sessions) {
      const session = await client.call("session.get", { sessionId: summary.sessionId });
      const match = findInSession(session, query);
      if (match !== undefined) found.push({ ...summary, match });
    }
    if (args.json) io.stdout.write(toJsonText({ sessions: found, corrupt }));
    else if (found.length === 0) io.stderr.write(`no session contains ${clean(query)}\n`);
    else {
      const style = io.style(1);
      for (const { sessionId, title, match } of found) {
        const context = style.dim(`${match.where}: ${clean(match.line)}`);
        io.stdout.write(`${sessionId}  ${style.bold(clean(title))}\n    ${context}\n`);
      }
    }
    warnOfCorrupt(corrupt, io);
    return 0;
  },
});

const exportSession = defineCommand({
  name: "export",
  summary: "write a session as Markdown or JSON",
  args: {
    format: {
      type: "enum",
      alias: "f",
      options: ["md", "json"],
      default: "md",
      description: "Markdown to read, or everything that is saved as JSON",
    },
    output: { type: "string", alias: "o", valueHint: "FILE", description: "instead of stdout" },
    force: { type: "boolean", description: "replace FILE when it exists" },
  },
  positionals: [sessionArgument],
  examples: [
    "opta sessions export V1StGXR8_Z5j -o login-fix.md",
    "opta sessions export V1StGXR8_Z5j -f json | jq '.messages | length'",
  ],
  async run({ args, rest: [sessionId = ""], io, connect }) {
    const client = await connect();
    const session = await client.call("session.get", { sessionId });
    const text =
      args.format === "json" ? toJsonText(savedSession(session)) : sessionToMarkdown(session);
    if (args.output === undefined) io.stdout.write(text);
    else await writeExport(args.output, text, { force: args.force });
    return 0;
  },
});

const deleteSession = defineCommand({
  name: "delete",
  summary: "delete sessions and the tool output kept with them",
  args: { json },
  positionals: [{ ...sessionArgument, variadic: true }],
  examples: ["opta sessions delete V1StGXR8_Z5j"],
  async run({ args, rest, io, connect }) {
    const client = await connect();
    for (const sessionId of rest) {
      await client.call("session.delete", { sessionId });
      if (!args.json) io.stdout.write(`deleted ${sessionId}\n`);
    }
    if (args.json) io.stdout.write(toJsonText({ deleted: rest }));
    return 0;
  },
});

export const command: CommandGroup = {
  name: "sessions",
  summary: "list, show, search, export and delete saved sessions",
  subcommands: [list, show, search, exportSession, deleteSession],
  defaultSubcommand: "list",
  examples: ["opta sessions", "opta sessions search flaky test", "opta sessions show V1StGXR8_Z5j"],
};

/** Sessions remember the real path of their directory; one that is gone is looked for as it was typed. */
async function inWorkspace(args: {
  readonly workspace: string | undefined;
}): Promise<{ workspace?: string }> {
  if (args.workspace === undefined) return {};
  const path = workspacePath(args.workspace);
  return { workspace: await realpath(path).catch(() => path) };
}

function sessionTable(sessions: readonly SessionSummary[], io: Io): string {
  const rows = sessions.map((session) => [
    session.sessionId,
    session.updatedAt.slice(0, 16).replace("T", " "),
    String(session.messageCount),
    session.title,
    session.workspace,
  ]);
  const head = ["SESSION", "UPDATED (UTC)", "MESSAGES", "TITLE", "WORKSPACE"];
  return renderTable({ head, rows, alignRight: [2], whole: [0] }, io);
}

function warnOfCorrupt(corrupt: readonly string[], io: Io): void {
  for (const path of corrupt) io.stderr.write(`cannot be read, left as it is: ${clean(path)}\n`);
}

/** @throws OptaError state-conflict when the file exists and `force` was not given; storage-full | storage-failed */
async function writeExport(
  output: string,
  text: string,
  { force }: { readonly force: boolean },
): Promise<void> {
  const path = workspacePath(output);
  const refuseExisting = () => {
    if (force || !existsSync(path)) return;
    throw new OptaError("state-conflict", `${output} exists already`, "to replace it add --force");
  };
  try {
    refuseExisting();
    await writeFileAtomic(path, text, { beforeRename: refuseExisting });
  } catch (error) {
    throw toOptaError(error);
  }
}

function clean(text: string): string {
  return stripTerminalText(text);
}
