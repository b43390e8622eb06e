// What a crash left of a session's background processes: they went down with the daemon (promise C2), which their last
// events do not know. Each gets the one that says so.
import type { EventEnvelope } from "../protocol/event.ts";
import type { EventStore } from "../store/event-store.ts";
import type { Session } from "./session.ts";

/** @returns how many were ended @throws OptaError storage-full | storage-failed: what is left is found again next time */
export function settleProcesses(
  sessionId: string,
  options: {
    readonly events: EventStore;
    readonly emit: Session["emit"];
    readonly now: () => Date;
  },
): number {
  const { events, emit, now } = options;
  const texts = events.runningProcesses(sessionId);
  for (const text of texts) {
    const { payload } = JSON.parse(text) as EventEnvelope<"background.status">;
    const { process } = payload;
    const endedAt = now();
    emit("background.status", {
      process: {
        ...process,
        state: "killed",
        endedAt: endedAt.toISOString(),
        // The clock may have been set back meanwhile.
        runtimeMs: Math.max(0, endedAt.getTime() - Date.parse(process.startedAt)),
      },
      reason: "killed",
      previousState: "running",
      signal: "SIGKILL",
    });
  }
  return texts.length;
}
