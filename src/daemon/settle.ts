// Ends what a crash left before anybody is served (promises E8, E9). Needs sessions and their events only: a restart
// that waited for the whole engine would take twice as long.
import type { EventLog } from "../engine/event-log.ts";
import { createOpenSessions } from "../engine/open-sessions.ts";
import type { EventStore } from "../store/event-store.ts";
import { createSessionStore } from "../store/session-file.ts";
import { sessionsDirectory } from "../store/session-place.ts";
import type { LogFile } from "./log-file.ts";

export async function settleSessions(options: {
  /** opta's own directory. */
  readonly root: string;
  readonly events: EventStore;
  readonly eventLog: EventLog;
  readonly log: LogFile;
}): Promise<void> {
  const sessions = createOpenSessions({
    store: createSessionStore({ directory: sessionsDirectory(options.root) }),
    events: options.events,
    log: options.eventLog,
    now: () => new Date(),
    platform: process.platform,
    // Nobody is asked anything.
    questionTimeoutMs: () => 0,
    report: (what, { code, message }) => options.log.warn(what, { code, message }),
  });
  await sessions.settleAll();
}
