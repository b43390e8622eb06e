// Operations on saved sessions, under the names and with the shapes of the existing clients; the work is the
// engine's. Only an export writes a file here.
import { existsSync } from "node:fs";
import { isAbsolute } from "node:path";
import * as z from "zod";
import { writeFileAtomic } from "../../base/atomic-file.ts";
import { OptaError } from "../../protocol/error.ts";
import { savedSession, type SessionSummary, sessionIdSchema } from "../../protocol/session.ts";
import { createSessionStore } from "../../store/session-file.ts";
import { sessionsDirectory } from "../../store/session-place.ts";
import { sessionToMarkdown } from "../../store/session-markdown.ts";
import {
  type ClientOperation,
  count,
  defineClientOperation,
  withSpellings,
} from "./client-operation.ts";

const sessionInput = z.lazy(() =>
  withSpellings({ id: "sessionId" }, z.object({ sessionId: sessionIdSchema })),
);

const list = defineClientOperation({
  id: "sessions.list",
  title: "List sessions",
  description: "Saved sessions, newest first.",
  safety: "read",
  input: z.lazy(() =>
    z.object({
      limit: count.optional(),
      /** An id, or its part after the last "/". */
      model: z.string().optional(),
      /** Only sessions that changed then or later; "" stands for no such limit. */
      since: z.preprocess((given) => given || undefined, z.coerce.date().optional()),
      tag: z.string().optional(),
      workspace: z.string().optional(),
    }),
  ),
  async run({ limit, model, since, tag, workspace }, { call }) {
    const { sessions, corrupt } = await call("session.list", { workspace });
    const found = sessions
      .filter((session) => !model || isModel(session.model, model))
      .filter((session) => !since || Date.parse(session.updatedAt) >= since.getTime())
      .map(toEntry)
      .filter((entry) => !tag || entry.tags.includes(tag));
    return { sessions: found.slice(0, limit), total: found.length, corrupt };
  },
});

const get = defineClientOperation({
  id: "sessions.get",
  title: "Get a session",
  description: "One session with its messages.",
  safety: "read",
  input: sessionInput,
  async run({ sessionId }, { call }) {
    const session = await call("session.get", { sessionId });
    const { workspace, updatedAt } = session.metadata;
    return {
      ...session,
      sessionId,
      workspace,
      updatedAt,
      updated_at: updatedAt,
      messageCount: session.messages.length,
    };
  },
});

const search = defineClientOperation({
  id: "sessions.search",
  title: "Search sessions",
  description: "Sessions whose title or messages contain a text, in any case; newest first.",
  safety: "read",
  input: z.lazy(() => z.object({ query: z.string().min(1), limit: count.optional() })),
  async run({ query, limit }, { call }) {
    const { sessions } = await call("session.list", { query });
    return { sessions: sessions.slice(0, limit).map(toEntry), total: sessions.length };
  },
});

const exportSession = defineClientOperation({
  id: "sessions.export",
  title: "Export a session",
  description:
    "Writes a session as Markdown or JSON to a new file, or to its own directory when no path is given.",
  safety: "write",
  input: z.lazy(() =>
    withSpellings(
      { id: "sessionId" },
      z.object({
        sessionId: sessionIdSchema,
        format: z.enum(["md", "markdown", "json"]).default("md"),
        outputPath: z
          .string()
          .refine((path) => isAbsolute(path), "must be an absolute path")
          .optional(),
      }),
    ),
  ),
  async run({ sessionId, format, outputPath }, { call, loadConfig }) {
    const session = await call("session.get", { sessionId });
    const isJson = format === "json";
    const text = isJson
      ? `${JSON.stringify(savedSession(session), null, 2)}\n`
      : sessionToMarkdown(session);
    const sizeBytes = Buffer.byteLength(text);
    if (outputPath !== undefined) {
      await writeNewFile(outputPath, text);
      return { path: outputPath, sizeBytes };
    }
    const { directory } = await loadConfig();
    const store = createSessionStore({ directory: sessionsDirectory(directory) });
    return {
      path: await store.keep(sessionId, isJson ? "export.json" : "export.md", text),
      sizeBytes,
    };
  },
});

const deleteSession = defineClientOperation({
  id: "sessions.delete",
  title: "Delete a session",
  description: "Deletes a session, its events and the output kept with it.",
  safety: "write",
  input: sessionInput,
  async run({ sessionId }, { call }) {
    return { sessionId, ...(await call("session.delete", { sessionId })) };
  },
});

export const sessionOperations: readonly ClientOperation[] = [
  list,
  get,
  search,
  exportSession,
  deleteSession,
];

/** Clients read either spelling of the id and of the time. */
function toEntry(session: SessionSummary & { readonly tags?: readonly string[] }) {
  const { sessionId, updatedAt, tags = [] } = session;
  return { ...session, id: sessionId, updated_at: updatedAt, tags };
}

function isModel(modelId: string, wanted: string): boolean {
  return modelId === wanted || modelId.endsWith(`/${wanted}`);
}

/** Private and whole. @throws OptaError state-conflict when something is there; StorageError */
async function writeNewFile(path: string, text: string): Promise<void> {
  const refuseExisting = () => {
    if (!existsSync(path)) return;
    throw new OptaError("state-conflict", `${path} exists already`);
  };
  refuseExisting();
  await writeFileAtomic(path, text, { mode: 0o600, beforeRename: refuseExisting });
}
