// What a request of a session costs next to what the model can take: the answer of `session.context`, which
// `opta context` prints. All figures are tokens, estimated unless a server counted.
import * as z from "zod";
import { windowSources } from "./model.ts";

/** Made when it is used: one command does, and every start would pay for it. */
export const contextReportSchema = z.lazy(() =>
  z.object({
    /** Null for a session that is yet to begin. */
    sessionId: z.string().nullable(),
    /** Null when no server answered. */
    model: z.string().nullable(),
    server: z.string().nullable(),
    /** Why no server answered. */
    problem: z.string().nullable(),
    /** Prompt and answer together; null when nobody knows. */
    window: z.number().nullable(),
    windowSource: z.enum(windowSources),
    /** max_tokens of every request. */
    outputReserve: z.number(),
    systemPrompt: z.number(),
    /** The project's own instructions (AGENTS.md). */
    instructions: z.number(),
    tools: z.number(),
    history: z.number(),
    /** What a next message may take before history is compacted; null for an unknown window, below 0 when it is due. */
    left: z.number().nullable(),
    messages: z.number(),
    compactions: z.number(),
    /** The server's count over our estimate, by which all figures are corrected; 1: it told none. */
    ratio: z.number(),
  }),
);

export type ContextReport = z.infer<typeof contextReportSchema>;
