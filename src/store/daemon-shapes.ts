// What the daemon writes about itself for others to find: daemon/state.json, and the facts beside its lock
// (contracts/daemon-v3.md section 1).
import * as z from "zod";

export const daemonStateSchema = z.object({
  pid: z.number(),
  daemonId: z.string(),
  host: z.string(),
  port: z.number(),
  /** New at every start; only here, never in arguments, logs or URLs. */
  token: z.string().min(1),
  /** ISO 8601, UTC. */
  startedAt: z.string(),
  logsPath: z.string(),
});

export const daemonOwnerSchema = z.object({ pid: z.number(), since: z.string() });

export type DaemonState = z.infer<typeof daemonStateSchema>;
/** Who holds the daemon's place. */
export type DaemonOwner = z.infer<typeof daemonOwnerSchema>;
