// Every request a client can make: one table, from which the embedded client, the daemon's routes, the
// attached client and the API reference derive. Adding an operation is one row here and one method in
// engine/; the compiler names what is missing. Routes: contracts/daemon-v3.md section 2.
import { z } from "zod";
import { contextReportSchema } from "./context.ts";
import {
  downloadProgressSchema,
  loadResultSchema,
  modelListSchema,
  serverStatusSchema,
} from "./model.ts";
import { decisionSchema, permissionAnswerSchema, permissionModeSchema } from "./permission.ts";
import {
  sessionFileSchema,
  sessionIdSchema,
  sessionSnapshotSchema,
  sessionSummarySchema,
} from "./session.ts";

/** Schemas are lazy: making all of them costs more CPU than `opta --version`, and one command uses a few. */
interface OperationRow {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly params: z.ZodType;
  readonly result: z.ZodType;
}

export const turnModeSchema = z.enum(["chat", "do", "plan", "review", "research"]);

export const operations = {
  "session.create": {
    method: "POST",
    path: "/v3/sessions",
    params: z.lazy(() =>
      z.object({
        sessionId: sessionIdSchema.optional(),
        model: z.string().optional(),
        title: z.string().optional(),
        metadata: z.object({ workspace: z.string() }),
      }),
    ),
    result: z.lazy(() => sessionSnapshotSchema),
  },
  /** Takes the session for this process (its lock) and makes it ready for turns. */
  "session.resume": {
    method: "POST",
    path: "/v3/sessions/:sessionId/resume",
    params: z.lazy(() => z.object({ sessionId: sessionIdSchema })),
    result: z.lazy(() => sessionSnapshotSchema),
  },
  "session.get": {
    method: "GET",
    path: "/v3/sessions/:sessionId",
    params: z.lazy(() => z.object({ sessionId: sessionIdSchema })),
    result: z.lazy(() => sessionFileSchema),
  },
  /** Newest first. `corrupt` names files that were set aside or cannot be read. */
  "session.list": {
    method: "GET",
    path: "/v3/sessions",
    params: z.lazy(() =>
      z.object({
        limit: z.number().int().min(1).optional(),
        workspace: z.string().optional(),
        query: z.string().optional(),
      }),
    ),
    result: z.lazy(() =>
      z.object({ sessions: z.array(sessionSummarySchema), corrupt: z.array(z.string()) }),
    ),
  },
  "session.delete": {
    method: "DELETE",
    path: "/v3/sessions/:sessionId",
    params: z.lazy(() => z.object({ sessionId: sessionIdSchema })),
    result: z.lazy(() => z.object({ deleted: z.literal(true) })),
  },
  /** What the next request of a session would cost; without an id, that of a new one in `workspace`. */
  "session.context": {
    method: "GET",
    path: "/v3/context",
    params: z.lazy(() =>
      z.object({
        sessionId: sessionIdSchema.optional(),
        workspace: z.string(),
        model: z.string().optional(),
      }),
    ),
    result: z.lazy(() => contextReportSchema),
  },
  /** Answers at once; the turn's life is told by events. */
  "turn.submit": {
    method: "POST",
    path: "/v3/sessions/:sessionId/turns",
    params: z.lazy(() =>
      z.object({
        sessionId: sessionIdSchema,
        clientId: z.string(),
        writerId: z.string(),
        content: z.string().min(1),
        mode: turnModeSchema,
        /** For this turn only; what is absent comes from the session or the configuration. */
        overrides: z
          .object({
            model: z.string().optional(),
            permissionMode: permissionModeSchema.optional(),
            maxSteps: z.number().int().min(1).optional(),
          })
          .optional(),
      }),
    ),
    result: z.lazy(() => z.object({ turnId: z.string(), queued: z.number() })),
  },
  "turn.cancel": {
    method: "POST",
    path: "/v3/sessions/:sessionId/cancel",
    params: z.lazy(() => z.object({ sessionId: sessionIdSchema, turnId: z.string().optional() })),
    result: z.lazy(() =>
      z.object({
        ok: z.literal(true),
        cancelled: z.number(),
        cancelledQueued: z.number(),
        cancelledActive: z.boolean(),
      }),
    ),
  },
  /** First valid answer wins; a later one is a state-conflict. */
  "permission.resolve": {
    method: "POST",
    path: "/v3/sessions/:sessionId/permissions/:requestId",
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
  /** What the policy would decide about a call, without making it. */
  "permission.explain": {
    method: "POST",
    path: "/v3/permissions/explain",
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
  "lmx.status": {
    method: "GET",
    path: "/v3/lmx/status",
    params: z.lazy(() => z.object({})),
    result: z.lazy(() => serverStatusSchema),
  },
  "lmx.models": {
    method: "GET",
    path: "/v3/lmx/models",
    params: z.lazy(() => z.object({})),
    result: z.lazy(() => modelListSchema),
  },
  "lmx.load": {
    method: "POST",
    path: "/v3/lmx/models/load",
    params: z.lazy(() => z.object({ modelId: z.string().min(1) })),
    result: z.lazy(() => loadResultSchema),
  },
  /** Confirms the download that `lmx.load` found to be necessary; the token works once. */
  "lmx.download": {
    method: "POST",
    path: "/v3/lmx/models/download",
    params: z.lazy(() =>
      z.object({ modelId: z.string().min(1), confirmationToken: z.string().min(1) }),
    ),
    result: z.lazy(() => loadResultSchema),
  },
  "lmx.downloadProgress": {
    method: "GET",
    path: "/v3/lmx/models/download/:downloadId",
    params: z.lazy(() => z.object({ downloadId: z.string().min(1) })),
    result: z.lazy(() => downloadProgressSchema),
  },
  "lmx.unload": {
    method: "POST",
    path: "/v3/lmx/models/unload",
    params: z.lazy(() => z.object({ modelId: z.string().min(1) })),
    result: z.lazy(() => z.object({ modelId: z.string(), freedBytes: z.number().nullable() })),
  },
} as const satisfies Record<string, OperationRow>;

export type OperationName = keyof typeof operations;
export type OperationParams<N extends OperationName> = z.input<(typeof operations)[N]["params"]>;
export type OperationResult<N extends OperationName> = z.infer<(typeof operations)[N]["result"]>;
export type TurnMode = z.infer<typeof turnModeSchema>;
