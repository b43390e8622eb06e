// Which events are dropped: those of sessions that rested longest, when they are too old or the log is too large
// (daemon.retentionDays, daemon.retentionMegabytes), and those of sessions that another process deleted. The other
// sessions themselves stay; a cursor into dropped events is
// told so (before-retention). Looked at when the daemon starts, and then when a turn ends, at most once an hour: no
// timer runs while nothing happens.
import { existsSync } from "node:fs";
import { toOptaError } from "../protocol/error.ts";
import { createEventRetention } from "../store/event-retention.ts";
import { sessionPath, sessionsDirectory } from "../store/session-place.ts";
import { notedDeletions, removeDeletionNote } from "../store/deleted-sessions.ts";
import type { SqliteEventStore } from "../store/sqlite-event-store.ts";
import type { LazyEngine } from "./lazy-engine.ts";
import type { LiveSettings } from "./live-settings.ts";
import type { LogFile } from "./log-file.ts";

export interface Retention {
  start(): void;
  stop(): void;
}

const intervalMs = 3_600_000;
const dayMs = 86_400_000;

export function createRetention(options: {
  readonly events: SqliteEventStore;
  readonly engine: LazyEngine;
  readonly settings: LiveSettings;
  readonly log: LogFile;
  /** opta's own directory. */
  readonly root: string;
}): Retention {
  const { events, engine, settings, log, root } = options;
  const store = createEventRetention(events.database);
  let lastMs = Number.NEGATIVE_INFINITY;
  let stopped = false;

  async function prune(): Promise<void> {
    const nowMs = performance.now();
    if (stopped || nowMs - lastMs < intervalMs) return;
    lastMs = nowMs;
    const { retentionDays, retentionMegabytes } = settings.config().daemon;
    const sessions = sessionsDirectory(root);
    const noted = new Set(notedDeletions(root));
    // One that was made again since then is another one.
    const isDeleted = (id: string) => noted.has(id) && !existsSync(sessionPath(sessions, id));
    try {
      const dropped = await store.prune({
        maxAgeMs: retentionDays * dayMs,
        maxBytes: retentionMegabytes * 1024 * 1024,
        nowMs: Date.now(),
        isDeleted,
        forget: (sessionId) => events.delete(sessionId),
        isBusy: (sessionId) => engine.isBusy(sessionId),
        isStopped: () => stopped,
      });
      for (const sessionId of noted) {
        const isDone = !isDeleted(sessionId) || events.lastSeq(sessionId) === 0;
        if (isDone) removeDeletionNote(root, sessionId);
      }
      if (dropped > 0) log.info("dropped the events of old sessions", { sessions: dropped });
    } catch (thrown) {
      log.warn("could not drop old events", { message: toOptaError(thrown).message });
    }
  }

  const forget = engine.stream.onAppend(({ kind }) => {
    if (kind === "session.updated") void prune();
  });
  return {
    start: () => void prune(),
    stop() {
      stopped = true;
      forget();
    },
  };
}
