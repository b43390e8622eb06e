// Sessions with many events, put into the log directly, as the daemon would have stored them: envelopes of tokens.
// Only while no daemon runs.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createEventLog } from "../../src/engine/event-log.ts";
import { newSessionFile } from "../../src/engine/session.ts";
import { createSqliteEventStore } from "../../src/store/sqlite-event-store.ts";
import type { DaemonHome } from "./swarm-daemon.ts";

const eventsPerTransaction = 10_000;

export interface FilledSession {
  readonly sessionId: string;
  readonly eventCount: number;
  /** Added to each event's text. */
  readonly paddingBytes?: number;
}

/** @param sessions each with so many events, and a file */
export function fillSessions(
  place: Pick<DaemonHome, "directory" | "workspace">,
  sessions: readonly FilledSession[],
): void {
  const store = createSqliteEventStore({
    path: join(place.directory, "events.sqlite"),
    reservePath: join(place.directory, "reserve"),
    now: () => new Date(),
  });
  try {
    const log = createEventLog({ daemonId: "daemon_filled00", now: () => new Date(), store });
    const directory = join(place.directory, "../sessions");
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const { sessionId, eventCount, paddingBytes = 0 } of sessions) {
      const padding = "x".repeat(paddingBytes);
      log.open(sessionId, 0);
      for (let said = 0; said < eventCount; said++) {
        // The first one outside: a transaction cannot change how it is synced.
        if (said % eventsPerTransaction === 1) store.database.run("BEGIN");
        const text = ` word${said} and some more of them, as a model says them one after another${padding}`;
        log.append(sessionId, "turn.token", { turnId: "turn_1234567890ab", text });
        if (said % eventsPerTransaction === 0 && said > 0) store.database.run("COMMIT");
      }
      if (store.database.inTransaction) store.database.run("COMMIT");
      store.noteFileSeq(sessionId, { saved: 0, next: eventCount });
      const file = fileOf(sessionId, { workspace: place.workspace, seq: eventCount });
      writeFileSync(join(directory, `${sessionId}.json`), file, { mode: 0o600 });
    }
  } finally {
    store.close();
  }
}

function fileOf(
  id: string,
  { workspace, seq }: { readonly workspace: string; readonly seq: number },
): string {
  const options = { id, workspace, path: undefined, model: "scripted", title: id, messages: [] };
  return JSON.stringify({ ...newSessionFile({ ...options, now: new Date() }), seq });
}

export const backlogSession = "backlog";

/** More than the kernel takes in for a client that does not read: it holds up to some 10 MB of a loopback connection. */
const backlogEvents = 80_000;

export function fillBacklog(place: DaemonHome): void {
  fillSessions(place, [{ sessionId: backlogSession, eventCount: backlogEvents }]);
}
