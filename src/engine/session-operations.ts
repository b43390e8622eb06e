// The operations on sessions as a whole: make, resume, read, list, delete.
import { mkdir, realpath } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { createId } from "../base/ids.ts";
import { absoluteSearchPath } from "../base/search-path.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";
import type { SessionSummary } from "../protocol/session.ts";
import { spokenText } from "../protocol/turn-facts.ts";
import { reportContext } from "./context-report.ts";
import type { Background } from "./background.ts";
import type { EngineParts, Handlers } from "./engine-parts.ts";
import { completeHistory } from "./message-history.ts";
import { readSystemMessage } from "./opening-messages.ts";
import { configuredPolicy } from "./policy.ts";
import { newSessionFile, type Session, snapshotOf } from "./session.ts";
import { toToolSchemas } from "./tool-schemas.ts";
import { resolveWorkspace } from "./workspace-directory.ts";

type SessionOperation =
  | "session.create"
  | "session.resume"
  | "session.get"
  | "session.list"
  | "session.delete"
  | "session.context";

export function createSessionOperations(
  parts: EngineParts,
  background: Pick<Background, "endSession">,
): Handlers<SessionOperation> {
  const { options, sessions, models } = parts;
  const { store, events, log, now } = options;

  /** Where a session works that names no workspace: never the daemon's own directory (lesson 2). */
  async function emptyWorkspace(sessionId: string): Promise<string> {
    const directory = join(dirname(store.outputDirectory(sessionId)), "workspace");
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return directory;
  }

  /** As long as no other process wrote its file since. */
  function inMemory(sessionId: string): Session | undefined {
    const session = sessions.find(sessionId);
    const isCurrent = session?.isHeld() || session?.stamp() === store.stamp(sessionId);
    return isCurrent ? session : undefined;
  }

  function refreshPath(session: Session, path: string | undefined): void {
    if (path !== undefined) session.file.metadata.path = absoluteSearchPath(path);
  }

  return {
    async "session.create"({ sessionId: id = createId(), model, title, messages, metadata }) {
      models.warm(model ?? options.settings().model);
      return sessions.create(id, async () => {
        const workspace = await resolveWorkspace(metadata?.workspace || (await emptyWorkspace(id)));
        const path = metadata?.path;
        const file = newSessionFile({
          id,
          workspace,
          path: path === undefined ? undefined : absoluteSearchPath(path),
          model: model ?? "",
          title: title ?? "",
          messages: completeHistory(messages ?? []),
          now: now(),
        });
        file.metadata.provider = options.settings().provider.id;
        return file;
      });
    },
    async "session.resume"({ sessionId, model, metadata }) {
      return sessions.whileHeld(sessionId, async (session) => {
        await resolveWorkspace(session.file.metadata.workspace);
        refreshPath(session, metadata?.path);
        models.warm(model ?? models.ofSession(session.file));
        return session.snapshot();
      });
    },
    async "session.get"({ sessionId }) {
      const session = inMemory(sessionId);
      if (session !== undefined) {
        const seq = log.lastSeq(sessionId);
        return { ...session.file, seq, storedSeq: seq, ...session.snapshot() };
      }
      const file = await store.load(sessionId);
      const seq = events.lastSeq(sessionId, file.seq);
      return { ...file, seq, storedSeq: events.lastSeq(sessionId), ...snapshotOf(file) };
    },
    async "session.list"({ limit, cursor, workspace, query }) {
      const { sessions: all, corrupt } = await store.list();
      const wanted = workspace && (await realpath(workspace).catch(() => resolve(workspace)));
      const inWorkspace = all.filter((each) => !wanted || each.workspace === wanted);
      const found = query ? await withText(inWorkspace, query) : inWorkspace;
      const start = cursor === undefined ? 0 : startAfter(found, cursor);
      const page = found.slice(start, limit === undefined ? undefined : start + limit);
      const isLast = start + page.length >= found.length;
      const nextCursor = isLast ? null : (page.at(-1)?.sessionId ?? null);
      return { sessions: page, corrupt, nextCursor };
    },
    async "session.delete"({ sessionId }) {
      await sessions.delete(sessionId, () => background.endSession(sessionId));
      return { deleted: true };
    },
    async "session.context"(params, signal) {
      const { provider, model, tools, permissions } = options.settings();
      const file =
        params.sessionId === undefined
          ? undefined
          : (inMemory(params.sessionId)?.file ?? (await store.load(params.sessionId)));
      const workspace = file?.metadata.workspace ?? (await resolveWorkspace(params.workspace));
      const wanted = params.model ?? (file === undefined ? model : models.ofSession(file));
      const resolved = await models.connect(wanted, { provider, signal }).catch(toOptaError);
      const policy = configuredPolicy(options, { workspace, permissions });
      const { message } = await readSystemMessage({ workspace, judge: policy.judge });
      // A session without a system message gets one with its next turn.
      const said = file?.messages ?? [];
      const messages = said[0]?.role === "system" ? said : [message, ...said];
      return reportContext({ file, messages, tools: toToolSchemas(tools), resolved });
    },
  };

  /** The sessions whose title or messages contain `query`, case-insensitively. */
  async function withText(
    summaries: readonly SessionSummary[],
    query: string,
  ): Promise<SessionSummary[]> {
    const needle = query.toLowerCase();
    const found: SessionSummary[] = [];
    for (const summary of summaries) {
      // One that went away or broke since it was listed has nothing to find.
      const loaded = await store.load(summary.sessionId).catch(() => undefined);
      if (!loaded) continue;
      const said = loaded.messages.filter(({ role }) => role !== "system").map(spokenText);
      if ([summary.title, ...said].some((text) => text.toLowerCase().includes(needle))) {
        found.push(summary);
      }
    }
    return found;
  }
}

/** @throws OptaError usage for a cursor that no page gave, or whose session is gone */
function startAfter(sessions: readonly SessionSummary[], cursor: string): number {
  const index = sessions.findIndex(({ sessionId }) => sessionId === cursor);
  if (index >= 0) return index + 1;
  throw new OptaError("usage", `no session ${JSON.stringify(cursor)} to go on after; begin anew`);
}
