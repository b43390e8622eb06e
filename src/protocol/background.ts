// Processes that a client starts beside a session's turns (contracts/daemon-v3.md section 2, "P"): their shape on
// the wire and in events.
import * as z from "zod";

export const backgroundStates = ["running", "completed", "failed", "killed", "timeout"] as const;
export const killSignals = ["SIGTERM", "SIGKILL", "SIGINT"] as const;

export const backgroundProcessSchema = z.lazy(() =>
  z.object({
    processId: z.string(),
    sessionId: z.string(),
    pid: z.number(),
    command: z.string(),
    label: z.string().optional(),
    /** Absolute. */
    cwd: z.string(),
    state: z.enum(backgroundStates),
    /** Null while it runs, and when a signal ended it. */
    exitCode: z.number().nullable(),
    /** ISO 8601, UTC; so is endedAt. */
    startedAt: z.string(),
    endedAt: z.string().nullable(),
    runtimeMs: z.number(),
    /** 0: no limit. */
    timeoutMs: z.number(),
  }),
);

export const backgroundChunkSchema = z.lazy(() =>
  z.object({
    /** Counts the chunks of one process from 1. */
    seq: z.number(),
    ts: z.string(),
    stream: z.enum(["stdout", "stderr"]),
    text: z.string(),
  }),
);

export type BackgroundProcess = z.infer<typeof backgroundProcessSchema>;
export type BackgroundChunk = z.infer<typeof backgroundChunkSchema>;
