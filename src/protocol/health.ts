// What the daemon says of itself: `GET /v3/health`, its stream, and `GET /v3/metrics`.
import * as z from "zod";

const runtimeSchema = z.object({
  /** Sessions in memory. */
  sessionCount: z.number(),
  activeTurnCount: z.number(),
  queuedTurnCount: z.number(),
  /** Readers of events: sockets and streams. */
  subscriberCount: z.number(),
  /** HTTP requests since the start. */
  ingressSeq: z.number(),
  toolWorkers: z.object({ workers: z.number(), busy: z.number(), queued: z.number() }),
  latency: z.object({ p50Ms: z.number(), p99Ms: z.number(), samples: z.number() }),
});

export const healthSchema = z.object({
  status: z.literal("ok"),
  version: z.string(),
  /** New at every start. */
  daemonId: z.string(),
  pid: z.number(),
  contract: z.object({ name: z.literal("opta-daemon-v3"), version: z.literal(1) }),
  /** Digest of the settings it works by. */
  settings: z.string(),
  /** Digest of what they were made of: opta's version, the settings file, variables. */
  settingsSource: z.string(),
  runtime: runtimeSchema,
});

export const metricsSchema = z.object({
  daemonId: z.string(),
  runtime: runtimeSchema,
  /** ISO 8601, UTC. */
  ts: z.string(),
});

export type Health = z.infer<typeof healthSchema>;
export type Metrics = z.infer<typeof metricsSchema>;
