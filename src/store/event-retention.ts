// Dropping the events of old sessions from the event log. What a session's next seq is survives (sessions.head), so
// that no seq is ever used again. Done in small steps, so that whoever is served meanwhile does not notice.
import type { Database } from "bun:sqlite";

export interface PruneOptions {
  /** Sessions whose last turn lies longer back. */
  readonly maxAgeMs: number;
  /** While the log is larger, the session that rested longest goes. */
  readonly maxBytes: number;
  /** Wall clock. */
  readonly nowMs: number;
  /** What was said in it goes, too, and then the store forgets it. Asked again and again: that takes its time. */
  readonly isDeleted: (sessionId: string) => boolean;
  readonly forget: (sessionId: string) => void;
  readonly isBusy: (sessionId: string) => boolean;
  readonly isStopped: () => boolean;
}

export interface EventRetention {
  /** @returns how many sessions lost their events */
  prune(options: PruneOptions): Promise<number>;
}

interface Row {
  readonly number: number;
  readonly id: string;
  readonly active_ms: number;
}

/** Events deleted at once: a few milliseconds. */
const step = 2_000;
/** Pages of 4 KB given back at once. */
const pagesAtOnce = 500;

/** @param options.upMs milliseconds since the start; for tests */
export function createEventRetention(
  database: Database,
  options: { readonly upMs?: () => number } = {},
): EventRetention {
  /** Sessions with events, those that rested longest first. */
  const candidates = database.query<Row, []>(
    "SELECT number, id, active_ms FROM sessions WHERE EXISTS (SELECT 1 FROM events WHERE session = number) ORDER BY active_ms",
  );
  const everySession = database.query<Row, []>("SELECT number, id, active_ms FROM sessions");
  const rowNow = database.query<Row, [number]>(
    "SELECT number, id, active_ms FROM sessions WHERE number = ?",
  );
  const newest = database.query<{ at: number | null }, []>(
    "SELECT max(active_ms) AS at FROM sessions",
  );
  /** Up to the head that was kept: what is appended between two steps stays. */
  const deleteSome = database.query<unknown, [number, number, number]>(
    "DELETE FROM events WHERE session = ?1 AND seq IN (SELECT seq FROM events WHERE session = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)",
  );
  const keepHead = database.query<{ head: number }, [number]>(
    "UPDATE sessions SET head = max(head, coalesce((SELECT max(seq) FROM events WHERE session = ?1), 0)) WHERE number = ?1 RETURNING head",
  );
  const forgetTurns = database.query<unknown, [number]>(
    "DELETE FROM turns WHERE session = ? AND ended = 1 AND content IS NULL",
  );
  const forgetProcesses = database.query<unknown, [number]>(
    "DELETE FROM processes WHERE session = ?",
  );
  /**
   * A clock that jumps ahead must not age what was just used: age is counted from the newest use before this start,
   * and from there by a clock that cannot jump.
   */
  let newestAtStart = newest.get()?.at ?? undefined;
  const startedMs = performance.now();

  /** Not used since it was listed, and no other session under its number: that takes ticks, and numbers are used again. */
  function isAsListed({ number, id, active_ms: activeMs }: Row): boolean {
    const now = rowNow.get(number);
    return now?.id === id && now.active_ms === activeMs;
  }

  /** @returns whether all went; less does where `mayGo` became false meanwhile */
  async function drop(row: Row, mayGo: () => boolean): Promise<boolean> {
    const { number } = row;
    const goesOn = () => mayGo() && isAsListed(row);
    if (!goesOn()) return false;
    const head = keepHead.get(number)?.head ?? 0;
    forgetTurns.run(number);
    forgetProcesses.run(number);
    while (goesOn()) {
      if (deleteSome.run(number, head, step).changes === 0) return true;
      await nextTick();
    }
    return false;
  }

  /** Gives the space back to the disk, in steps like the rest. */
  async function giveBack(isStopped: () => boolean): Promise<void> {
    for (let free = readPragma(database, "freelist_count"); free > 0 && !isStopped();) {
      database.run(`PRAGMA incremental_vacuum(${pagesAtOnce})`);
      const left = readPragma(database, "freelist_count");
      if (left >= free) return;
      free = left;
      await nextTick();
    }
  }

  return {
    async prune({ maxAgeMs, maxBytes, nowMs, isDeleted, forget, isBusy, isStopped }) {
      const upMs = (options.upMs ?? (() => performance.now() - startedMs))();
      newestAtStart ??= nowMs;
      const cutoffMs = Math.min(nowMs, newestAtStart + upMs) - maxAgeMs;
      let dropped = 0;
      for (const row of everySession.all()) {
        if (isStopped()) break;
        // Asked again at every step: one that is made again meanwhile is another one.
        const mayGo = () => !isStopped() && isDeleted(row.id) && !isBusy(row.id);
        if (!(await drop(row, mayGo))) continue;
        forget(row.id);
        dropped += 1;
      }
      for (const row of candidates.all()) {
        const isOld = row.active_ms < cutoffMs;
        if (isStopped() || (!isOld && usedBytes(database) <= maxBytes)) break;
        if (await drop(row, () => !isStopped() && !isBusy(row.id))) dropped += 1;
      }
      if (dropped > 0) await giveBack(isStopped);
      return dropped;
    },
  };
}

function usedBytes(database: Database): number {
  const pages = readPragma(database, "page_count") - readPragma(database, "freelist_count");
  return pages * readPragma(database, "page_size");
}

function readPragma(database: Database, name: string): number {
  return Number(Object.values(database.query(`PRAGMA ${name}`).get() as object)[0]);
}

function nextTick(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
