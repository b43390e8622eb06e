// Every request a client can make: one table, from which the embedded client, the daemon's routes, the
// attached client and the API reference derive. How each travels is operation-routes.ts. Adding an operation is a row in
// both and one method in engine/; the compiler names what is missing.
import * as z from "zod";
import { backgroundProcessSchema, backgroundChunkSchema, killSignals } from "./background.ts";
import { contextReportSchema } from "./context.ts";
import { lmxOperations } from "./lmx-operations.ts";
import { messageSchema } from "./message.ts";
import type { OperationName } from "./operation-routes.ts";
import type { OperationRow } from "./operation-row.ts";
import { decisionSchema, permissionAnswerSchema, permissionModeSchema } from "./permission.ts";
import {
  sessionDetailSchema,
  sessionIdSchema,
  sessionSnapshotSchema,
  sessionSummarySchema,
} from "./session.ts";

/** A whole number that a query carries as text. */
const count = z.coerce.number().int();

export const turnModeSchema = z.enum(["chat", "do", "plan", "review", "research"]);

export const operations = {
  "session.create": {
    summary:
      "Makes a session bound to a workspace; an id that exists gives the stored session unchanged.",
    params: z.lazy(() =>
      z.object({
        sessionId: sessionIdSchema.optional(),
        model: z.string().optional(),
        title: z.string().optional(),
        /** A conversation to go on with. */
        messages: z.array(messageSchema).optional(),
        metadata: z
          .object({
            /** Without one, or with "", the session gets an empty directory of its own. */
            workspace: z.string().optional(),
            /** PATH for the session's tools; else the one of the process that runs them. */
            path: z.string().optional(),
          })
          .optional(),
      }),
    ),
    result: sessionSnapshotSchema,
  },
  "session.resume": {
    summary: "Makes a saved session ready for turns.",
    params: z.lazy(() =>
      z.object({
        sessionId: sessionIdSchema,
        /** The model that will be asked for, where it is not the session's own. */
        model: z.string().optional(),
        metadata: z.object({ path: z.string().optional() }).optional(),
      }),
    ),
    result: sessionSnapshotSchema,
  },
  "session.get": {
    summary: "A session with its messages and what runs in it.",
    params: z.lazy(() => z.object({ sessionId: sessionIdSchema })),
    result: sessionDetailSchema,
  },
  "session.list": {
    summary: "Saved sessions, newest first; `corrupt` names files that cannot be read.",
    params: z.lazy(() =>
      z.object({
        limit: count.min(1).optional(),
        /** `nextCursor` of the page before. */
        cursor: z.string().optional(),
        workspace: z.string().optional(),
        query: z.string().optional(),
      }),
    ),
    result: z.lazy(() =>
      z.object({
        sessions: z.array(sessionSummarySchema),
        corrupt: z.array(z.string()),
        /** Null on the last page. */
        nextCursor: z.string().nullable(),
      }),
    ),
  },
  "session.delete": {
    summary: "Deletes a session, its events and the output kept with it.",
    params: z.lazy(() => z.object({ sessionId: sessionIdSchema })),
    result: z.lazy(() => z.object({ deleted: z.literal(true) })),
  },
  "session.context": {
    summary:
      "What the next request of a session would cost; without an id, that of a new one in `workspace`.",
    params: z.lazy(() =>
      z.object({
        sessionId: sessionIdSchema.optional(),
        workspace: z.string(),
        model: z.string().optional(),
      }),
    ),
    result: contextReportSchema,
  },
  "turn.submit": {
    summary: "Accepts a turn durably and answers at once; its life is told by events.",
    params: z.lazy(() =>
      z.object({
        sessionId: sessionIdSchema,
        clientId: z.string(),
        writerId: z.string(),
        content: z.string().min(1),
        mode: turnModeSchema.default("chat"),
        /** The same key gives the same turn, also after a restart. */
        idempotencyKey: z.string().min(1).max(200).optional(),
        /** Refused (state-conflict) when the session has gone on since. */
        lastSeenSeq: z.number().int().min(0).optional(),
        /** For this turn only; what is absent comes from the session or the configuration. */
        overrides: z
          .object({
            model: z.string().optional(),
            permissionMode: permissionModeSchema.optional(),
            /** As existing clients say it: permissionMode "dangerous" and "auto". */
            dangerous: z.boolean().optional(),
            auto: z.boolean().optional(),
            maxSteps: z.number().int().min(1).optional(),
          })
          .optional(),
      }),
    ),
    result: z.lazy(() => z.object({ turnId: z.string(), queued: z.number() })),
  },
  "turn.cancel": {
    summary: "Cancels the named turn, or the turns of a writer; without either nothing.",
    params: z.lazy(() =>
      z.object({
        sessionId: sessionIdSchema,
        turnId: z.string().optional(),
        writerId: z.string().optional(),
      }),
    ),
    result: z.lazy(() =>
      z.object({
        ok: z.literal(true),
        cancelled: z.number(),
        cancelledQueued: z.number(),
        cancelledActive: z.boolean(),
      }),
    ),
  },
  "permission.resolve": {
    summary: "Answers a permission request; the first valid answer wins.",
    params: z.lazy(() =>
      z.object({
        sessionId: sessionIdSchema,
        requestId: z.string(),
        decision: permissionAnswerSchema,
        decidedBy: z.string(),
        /** For deny: told to the model. */
        reason: z.string().optional(),
        /** For deny: true when nobody could be asked, which makes the turn one in which something was denied. */
        unattended: z.boolean().optional(),
        /** For allow: also allow the like for the rest of the session. */
        always: z.boolean().optional(),
        /** For ask_user: what the user said. */
        answer: z.string().optional(),
      }),
    ),
    result: z.lazy(() => z.object({ ok: z.literal(true), conflict: z.literal(false) })),
  },
  "permission.explain": {
    summary: "What the policy would decide about a call, without making it.",
    params: z.lazy(() =>
      z.object({
        workspace: z.string(),
        tool: z.string(),
        /** The tool's arguments. */
        args: z.record(z.string(), z.unknown()),
        mode: permissionModeSchema.optional(),
      }),
    ),
    result: z.lazy(() =>
      z.object({
        decision: decisionSchema,
        rule: z.string(),
        reason: z.string(),
        remedy: z.string().optional(),
      }),
    ),
  },
  "background.list": {
    summary: "Background processes, of one session or of all.",
    params: z.lazy(() => z.object({ sessionId: sessionIdSchema.optional() })),
    result: z.lazy(() => z.object({ processes: z.array(backgroundProcessSchema) })),
  },
  "background.start": {
    summary: "Starts a command in the session's workspace; what it prints comes as events.",
    params: z.lazy(() =>
      z.object({
        sessionId: sessionIdSchema,
        command: z.string().trim().min(1),
        label: z.string().optional(),
        /** Relative to the workspace. */
        cwd: z.string().optional(),
        /** 0: no limit. */
        timeoutMs: z.number().int().min(0).max(86_400_000).default(300_000),
      }),
    ),
    result: z.lazy(() => z.object({ process: backgroundProcessSchema })),
  },
  "background.status": {
    summary: "One background process.",
    params: z.lazy(() =>
      z.object({ processId: z.string().min(1), sessionId: sessionIdSchema.optional() }),
    ),
    result: z.lazy(() => z.object({ process: backgroundProcessSchema })),
  },
  "background.output": {
    summary: "What a background process printed after `afterSeq`, as far as it is kept.",
    params: z.lazy(() =>
      z.object({
        processId: z.string().min(1),
        sessionId: sessionIdSchema.optional(),
        afterSeq: count.min(0).default(0),
        limit: count.min(1).max(500).default(200),
        stream: z.enum(["stdout", "stderr", "both"]).default("both"),
      }),
    ),
    result: z.lazy(() =>
      z.object({
        process: backgroundProcessSchema,
        chunks: z.array(backgroundChunkSchema),
        nextSeq: z.number(),
        hasMore: z.boolean(),
      }),
    ),
  },
  "background.kill": {
    summary: "Ends a background process and all it started.",
    params: z.lazy(() =>
      z.object({
        processId: z.string().min(1),
        sessionId: sessionIdSchema.optional(),
        signal: z.enum(killSignals).default("SIGTERM"),
      }),
    ),
    result: z.lazy(() => z.object({ killed: z.boolean(), process: backgroundProcessSchema })),
  },
  ...lmxOperations,
} as const satisfies Record<OperationName, OperationRow>;

export type { OperationName } from "./operation-routes.ts";
export type OperationParams<N extends OperationName> = z.input<(typeof operations)[N]["params"]>;
/** Params as the table's schema gives them, defaults filled in: what whoever does the operation gets. */
export type CheckedParams<N extends OperationName> = z.output<(typeof operations)[N]["params"]>;
export type OperationResult<N extends OperationName> = z.infer<(typeof operations)[N]["result"]>;
export type TurnMode = z.infer<typeof turnModeSchema>;
