// A conversation bound to a workspace, as it lies in sessions/<id>.json: the superset of what the CLI, the
// existing Node client and the ecosystem document write (contracts/daemon-v3.md section 7). Its
// schemas are made when they are used: a new session needs none but the id's.
import * as z from "zod";
import { messageSchema } from "./message.ts";
import { sessionIdPattern, sessionIdRule } from "./session-id.ts";

export const sessionIdSchema = z.string().regex(sessionIdPattern, sessionIdRule);

/** Everything optional that some writer leaves out; loose, so that unknown fields survive a rewrite. */
export const sessionFileSchema = z.lazy(() =>
  z.looseObject({
    id: sessionIdSchema,
    title: z.string(),
    messages: z.array(messageSchema),
    metadata: z.looseObject({
      workspace: z.string(),
      model: z.string(),
      /** PATH for the session's tools, as the client had it that made or last resumed the session. */
      path: z.string().optional(),
      /** Whose model that is: "lmx", "anthropic"; absent in files of other writers, who knew LMX only. */
      provider: z.string().optional(),
      /** ISO 8601, UTC; so are all times here. */
      createdAt: z.string(),
      updatedAt: z.string(),
    }),
    created: z.string(),
    updated: z.string(),
    model: z.string(),
    cwd: z.string(),
    tags: z.array(z.string()),
    toolCallCount: z.number(),
    compacted: z.boolean(),
    /** The seq of the session's last event; the next event continues from it. */
    seq: z.number(),
  }),
);

export const sessionSummarySchema = z.lazy(() =>
  z.object({
    sessionId: sessionIdSchema,
    title: z.string(),
    workspace: z.string(),
    model: z.string(),
    createdAt: z.string(),
    updatedAt: z.string(),
    tags: z.array(z.string()),
    messageCount: z.number(),
  }),
);

export const sessionSnapshotSchema = z.lazy(() =>
  z.object({
    sessionId: sessionIdSchema,
    model: z.string(),
    title: z.string(),
    createdAt: z.string(),
    updatedAt: z.string(),
    activeTurnId: z.string().optional(),
    queuedTurns: z.number(),
    toolCallCount: z.number(),
    writerCount: z.number(),
  }),
);

/** What session.get answers: the file, and what runs in the session just now. */
export const sessionDetailSchema = z.lazy(() =>
  z.looseObject({
    ...sessionFileSchema.unwrap().shape,
    ...sessionSnapshotSchema.unwrap().shape,
    /** The last event that is kept here: less than `seq` where another process went on with the session. */
    storedSeq: z.number(),
  }),
);

/** What is saved of a session, without what is only true just now. */
export function savedSession(detail: SessionDetail): SessionFile {
  const kept = sessionFileSchema.unwrap().shape;
  const running = { ...sessionSnapshotSchema.unwrap().shape, storedSeq: undefined };
  const saved = Object.entries(detail).filter(([key]) => key in kept || !(key in running));
  return Object.fromEntries(saved) as SessionFile;
}

export type SessionDetail = z.infer<typeof sessionDetailSchema>;
export type SessionFile = z.infer<typeof sessionFileSchema>;
export type SessionSummary = z.infer<typeof sessionSummarySchema>;
export type SessionSnapshot = z.infer<typeof sessionSnapshotSchema>;

/** A session's title from its first prompt: its first line, at most 60 characters; never a model call. */
export function titleFromPrompt(prompt: string): string {
  const line = prompt.trim().split(/\r?\n/, 1)[0]?.replace(/\s+/g, " ").trim() ?? "";
  const characters = [...line];
  if (characters.length <= 60) return line || "untitled";
  return `${characters.slice(0, 59).join("").trimEnd()}…`;
}
