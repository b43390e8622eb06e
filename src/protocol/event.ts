// One thing that happened in a session. Names and payloads are those of contracts/daemon-v3.md section 3
// (our dialect: tool.result), supersets where code and written contract differ, so that the same event
// serves the command line, the TUI, the daemon's wire and the existing clients.
import * as z from "zod";
import { backgroundChunkSchema, backgroundProcessSchema, backgroundStates } from "./background.ts";
import { messageSchema } from "./message.ts";
import { permissionAnswerSchema } from "./permission.ts";
import { sessionSnapshotSchema } from "./session.ts";

const turnId = z.string();
const writer = { turnId, writerId: z.string(), clientId: z.string() };

export const turnStatsSchema = z.object({
  /** Model requests of the turn, but for those of compactions. */
  steps: z.number(),
  /** Summaries the model was asked for: each is one more request. */
  compactions: z.number(),
  /** promptTokens + completionTokens as the server counted them; 0 where it did not. */
  tokens: z.number(),
  promptTokens: z.number(),
  completionTokens: z.number(),
  toolCalls: z.number(),
  /** Tool calls that did not run because policy, or the lack of anyone to ask, denied them. */
  deniedCalls: z.number(),
  /** Milliseconds. */
  elapsed: z.number(),
  /** Completion tokens per second of streaming. */
  speed: z.number(),
  firstTokenLatencyMs: z.number().nullable(),
  /** "length" marks an answer that was cut by max_tokens. */
  finishReason: z.enum(["stop", "length"]),
});

/** Event kind -> payload. The one list: adding an event is one row here. */
export const eventPayloadSchemas = {
  "session.snapshot": z.object({
    snapshot: sessionSnapshotSchema,
    messages: z.array(messageSchema),
  }),
  "turn.queued": z.object({ ...writer, queueSize: z.number(), position: z.number() }),
  "turn.start": z.object({ ...writer, mode: z.string() }),
  "turn.token": z.object({ turnId, text: z.string() }),
  "turn.thinking": z.object({ turnId, text: z.string() }),
  "turn.progress": z.object({
    turnId,
    phase: z.string(),
    message: z.string().nullable(),
    provider: z.string(),
  }),
  "permission.request": z.object({
    turnId,
    requestId: z.string(),
    toolName: z.string(),
    callId: z.string(),
    /** The parsed arguments: an object, unlike tool.start's. */
    args: z.record(z.string(), z.unknown()),
    /** Binds the decision to this tool and these arguments (promises G3). */
    argsDigest: z.string(),
    rule: z.string(),
    reason: z.string(),
    /** What would happen (a diff for edits). */
    preview: z.string().optional(),
    /** The flag or rule that would allow it without a question. */
    remedy: z.string().optional(),
    /** The question of ask_user, whose answer travels with the decision. */
    question: z.string().optional(),
  }),
  "permission.resolved": z.object({
    turnId,
    requestId: z.string(),
    decision: permissionAnswerSchema,
    decidedBy: z.string(),
    /** Why, where the one who decided said so. */
    reason: z.string().optional(),
  }),
  "tool.start": z.object({
    turnId,
    name: z.string(),
    toolName: z.string(),
    id: z.string(),
    callId: z.string(),
    /** The arguments as the model's JSON text. */
    args: z.string(),
    argsDigest: z.string(),
  }),
  "tool.result": z.object({
    turnId,
    name: z.string(),
    toolName: z.string(),
    id: z.string(),
    callId: z.string(),
    result: z.string(),
    ok: z.boolean(),
    /** Present when the call was never run. `denied`: by policy or for want of anyone to ask; `refused`: by the user. */
    outcome: z.enum(["denied", "refused", "invalid", "cancelled"]).optional(),
    /** For a call that policy denied: the flag or rule that would have allowed it. */
    remedy: z.string().optional(),
    /** Milliseconds. */
    elapsed: z.number(),
  }),
  "turn.done": z.object({ ...writer, stats: turnStatsSchema }),
  "turn.error": z.object({
    ...writer,
    message: z.string(),
    code: z.string().optional(),
    /** The next command to type. */
    hint: z.string().optional(),
  }),
  "session.updated": z.object({ snapshot: sessionSnapshotSchema }),
  "session.cancelled": z.object({
    cancelled: z.number(),
    turnId: z.string().optional(),
    writerId: z.string().optional(),
  }),
  "background.output": z.object({
    ...backgroundChunkSchema.unwrap().shape,
    processId: z.string(),
    sessionId: z.string(),
    pid: z.number(),
  }),
  "background.status": z.object({
    process: backgroundProcessSchema,
    reason: z.enum(["started", ...backgroundStates, "spawn-error"]),
    previousState: z.enum(backgroundStates).optional(),
    signal: z.string().optional(),
  }),
} as const;

export type TurnStats = z.infer<typeof turnStatsSchema>;
export type EventKind = keyof typeof eventPayloadSchemas;
export type EventPayload<K extends EventKind> = z.infer<(typeof eventPayloadSchemas)[K]>;

/** `seq` is per session, starts at 1, +1 per event, stamped only in engine/event-log.ts. */
export interface EventEnvelope<K extends EventKind = EventKind> {
  readonly v: "3";
  readonly event: K;
  readonly daemonId: string;
  readonly sessionId: string;
  readonly seq: number;
  /** ISO 8601, UTC. */
  readonly ts: string;
  readonly payload: EventPayload<K>;
}

/** Any event, discriminated by its kind. */
export type OptaEvent = { [K in EventKind]: EventEnvelope<K> }[EventKind];
