// Events and accepted turns in SQLite, so that they survive kill -9 (every event: the kernel has it when append
// returns) and a power cut (control events: the commit that stores one is synced, and all before it with it).
// One process writes (the daemon holds the directory's lock), so the file is locked exclusively and needs no
// shared memory. Knows no event: the log gives it texts. Which sessions' events are dropped is event-retention.ts.
import { Database } from "bun:sqlite";
import { closeSync, existsSync, openSync, rmSync, writeFileSync } from "node:fs";
import { errnoOf } from "../base/storage-error.ts";
import { OptaError } from "../protocol/error.ts";
import type { EventRecord, EventStore, UnsettledTurn } from "./event-store.ts";
import { createDiskReserve, type DiskReserve } from "./disk-reserve.ts";
import { setAside } from "./set-aside.ts";
import {
  isDatabaseCorrupt,
  isDatabaseFull,
  storageFull,
  storing,
  toStoreError,
} from "./sqlite-error.ts";

export interface SqliteEventStoreOptions {
  /** Made (0600) when missing; its directory exists and is private. */
  readonly path: string;
  /** Where a megabyte is kept back for the day the disk is full. */
  readonly reservePath: string;
  readonly now: () => Date;
}

export interface SqliteEventStore extends EventStore {
  readonly database: Database;
  /** The file that could not be read and was set aside when this one was opened, if any. */
  readonly setAside: string | undefined;
}

/**
 * `sessions.head`: the last seq of events that are no longer kept. `file_seq`, `previous_file_seq`: what the session's
 * file was last to be given, and what it had then; any other number there is another process's, which went on from it.
 */
const schema = `
CREATE TABLE IF NOT EXISTS sessions (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, head INTEGER NOT NULL,
  file_seq INTEGER NOT NULL, previous_file_seq INTEGER NOT NULL, active_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
  session INTEGER NOT NULL, seq INTEGER NOT NULL, control INTEGER NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (session, seq)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS control_events ON events (session, seq) WHERE control = 1;
CREATE TABLE IF NOT EXISTS turns (
  turn_id TEXT PRIMARY KEY, session INTEGER NOT NULL, seq INTEGER NOT NULL, client_id TEXT NOT NULL,
  writer_id TEXT NOT NULL, idempotency_key TEXT, content TEXT, ended INTEGER NOT NULL,
  UNIQUE (session, idempotency_key)
);
CREATE TABLE IF NOT EXISTS processes (
  process_id TEXT PRIMARY KEY, session INTEGER NOT NULL, seq INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS unsettled_turns ON turns (session) WHERE ended = 0 OR content IS NOT NULL;
`;

/** Of 4 KB: what is read before anything else after a crash. A quarter of SQLite's own 1,000 saves 5 ms. */
const checkpointPages = 250;

const openingTheLog = "open the event log";
const storingAnEvent = "store an event";
const readingTheLog = "read the event log";

interface SessionRow {
  readonly number: number;
  readonly head: number;
  readonly file_seq: number;
  readonly previous_file_seq: number;
}

/** @throws OptaError storage-full | storage-failed. A file that is no database is set aside, never overwritten. */
export function createSqliteEventStore(options: SqliteEventStoreOptions): SqliteEventStore {
  const { database, setAside: keptAs } = openDatabase(options.path);
  const reserve = createDiskReserve(options.reservePath);
  reserve.fill();
  return storing(openingTheLog, () => ({
    ...createStore(database, { ...options, reserve }),
    database,
    setAside: keptAs,
  }));
}

function createStore(
  database: Database,
  { now, path, reserve }: SqliteEventStoreOptions & { readonly reserve: DiskReserve },
): EventStore {
  const query = <Row, Params extends (string | number | null)[]>(sql: string) =>
    database.query<Row, Params>(sql);
  const findSession = query<SessionRow, [string]>(
    "SELECT number, head, file_seq, previous_file_seq FROM sessions WHERE id = ?",
  );
  const addSession = query<unknown, [string, number, number, number, number]>(
    "INSERT INTO sessions (id, head, file_seq, previous_file_seq, active_ms) VALUES (?, ?, ?, ?, ?)",
  );
  const lastEvent = query<{ seq: number | null }, [number]>(
    "SELECT max(seq) AS seq FROM events WHERE session = ?",
  );
  const addEvent = query<unknown, [number, number, number, string]>(
    "INSERT INTO events (session, seq, control, text) VALUES (?, ?, ?, ?)",
  );
  const readEvents = query<{ seq: number; text: string }, [number, number, number]>(
    "SELECT seq, text FROM events WHERE session = ? AND seq > ? ORDER BY seq LIMIT ?",
  );
  const readControlEvents = query<{ text: string }, [number, number]>(
    "SELECT text FROM events INDEXED BY control_events WHERE control = 1 AND session = ? AND seq > ? ORDER BY seq",
  );
  const addTurn = query<unknown, [string, number, number, string, string, string | null, string]>(
    "INSERT INTO turns (turn_id, session, seq, client_id, writer_id, idempotency_key, content, ended) VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
  );
  const endTurn = query<unknown, [number, string]>(
    "UPDATE turns SET ended = 1, content = iif(?, NULL, content) WHERE turn_id = ?",
  );
  const addProcess = query<unknown, [string, number, number]>(
    "INSERT OR REPLACE INTO processes (process_id, session, seq) VALUES (?, ?, ?)",
  );
  const endProcess = query<unknown, [string]>("DELETE FROM processes WHERE process_id = ?");
  const touch = query<unknown, [number, number]>(
    "UPDATE sessions SET active_ms = ? WHERE number = ?",
  );
  const unsettled = query<UnsettledRow, [number]>(
    "SELECT turn_id, client_id, writer_id, seq, ended, content FROM turns WHERE session = ? AND (ended = 0 OR content IS NOT NULL) ORDER BY seq",
  );
  const moveFileSeq = query<unknown, [number, number, number]>(
    "UPDATE sessions SET previous_file_seq = ?, file_seq = ? WHERE number = ?",
  );
  /** Numbers of sessions that were asked for; small, and dropped with the session. */
  const numbers = new Map<string, number>();
  let synced = false;

  /** `work`, its failures as OptaError. What SQLite finds damaged is set aside by the next start. */
  function guarded<T>(doing: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!isDatabaseCorrupt(error)) throw toStoreError(error, doing);
      markDamaged(path);
      throw new OptaError(
        "storage-failed",
        `cannot ${doing}: the event log is damaged`,
        "opta daemon restart   (keeps the damaged file, and begins a new one)",
      );
    }
  }

  function numberOf(sessionId: string): number | undefined {
    const known = numbers.get(sessionId);
    if (known !== undefined) return known;
    const row = findSession.get(sessionId);
    if (row) numbers.set(sessionId, row.number);
    return row?.number;
  }

  function position(sessionId: string, fileSeq: number) {
    const row = findSession.get(sessionId);
    if (!row) return { row, lastSeq: fileSeq, begins: true };
    const newest = lastEvent.get(row.number)?.seq ?? null;
    const stored = Math.max(row.head, newest ?? 0);
    const isOurs = fileSeq === row.file_seq || fileSeq === row.previous_file_seq;
    return isOurs || fileSeq <= stored
      ? { row, lastSeq: stored, begins: newest === null }
      : { row, lastSeq: fileSeq, begins: true };
  }

  /** Syncs the log at the end of the next commit, or leaves that to a later one. */
  function setSynced(wanted: boolean): void {
    if (wanted === synced) return;
    database.run(wanted ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    synced = wanted;
  }

  function inTransaction(work: () => void): void {
    database.run("BEGIN IMMEDIATE");
    try {
      work();
      database.run("COMMIT");
    } catch (error) {
      if (database.inTransaction) database.run("ROLLBACK");
      throw error;
    }
  }

  function insert(number: number, record: EventRecord): void {
    const { seq, isControl, isLazy = false, text, submission, endsTurn, process } = record;
    setSynced(isControl && !isLazy);
    if (submission === undefined && endsTurn === undefined && process === undefined) {
      addEvent.run(number, seq, isControl ? 1 : 0, text);
      return;
    }
    inTransaction(() => {
      addEvent.run(number, seq, isControl ? 1 : 0, text);
      if (endsTurn !== undefined) endTurn.run(endsTurn.takesBack ? 1 : 0, endsTurn.turnId);
      if (process?.isRunning) addProcess.run(process.processId, number, seq);
      else if (process !== undefined) endProcess.run(process.processId);
      if (submission === undefined) return;
      const { turnId, clientId, writerId, idempotencyKey, content } = submission;
      addTurn.run(turnId, number, seq, clientId, writerId, idempotencyKey ?? null, content);
      touch.run(now().getTime(), number);
    });
  }

  return {
    isDurable: true,
    open(sessionId, fileSeq) {
      return guarded("open the session's events", () => {
        const { row, lastSeq, begins } = position(sessionId, fileSeq);
        if (!row) {
          // Synced with its first event.
          addSession.run(sessionId, fileSeq, fileSeq, fileSeq, now().getTime());
        }
        return { lastSeq, begins };
      });
    },
    lastSeq: (sessionId, fileSeq = 0) =>
      guarded(readingTheLog, () => position(sessionId, fileSeq).lastSeq),
    append(record) {
      const number = numberOf(record.sessionId);
      if (number === undefined) {
        throw new OptaError("storage-failed", `session ${record.sessionId} is no longer there`);
      }
      if (reserve.isSpent() && !record.isClosing && !reserve.fill())
        throw storageFull(storingAnEvent);
      guarded(storingAnEvent, () => {
        try {
          insert(number, record);
        } catch (error) {
          // The kept-back megabyte is for the events that end what runs; the next one of those finds it free.
          if (!isDatabaseFull(error) || !reserve.spend() || !record.isClosing) throw error;
          insert(number, record);
        }
      });
    },
    read(sessionId, afterSeq, limit) {
      return guarded(readingTheLog, () => {
        const number = numberOf(sessionId);
        return number === undefined ? [] : readEvents.all(number, afterSeq, limit);
      });
    },
    readControl(sessionId, afterSeq) {
      return guarded(readingTheLog, () => {
        const number = numberOf(sessionId);
        if (number === undefined) return [];
        return readControlEvents.all(number, afterSeq).map(({ text }) => text);
      });
    },
    noteFileSeq(sessionId, { saved, next }) {
      const number = numberOf(sessionId);
      if (number === undefined) return;
      guarded("store the session's position", () => {
        setSynced(true);
        moveFileSeq.run(saved, next, number);
      });
    },
    turnWithKey(sessionId, idempotencyKey) {
      const number = numberOf(sessionId);
      if (number === undefined) return undefined;
      return query<{ turn_id: string }, [number, string]>(
        "SELECT turn_id FROM turns WHERE session = ? AND idempotency_key = ?",
      ).get(number, idempotencyKey)?.turn_id;
    },
    noteMessageSaved(turnId) {
      guarded("note a saved message", () =>
        query<unknown, [string]>("UPDATE turns SET content = NULL WHERE turn_id = ?").run(turnId),
      );
    },
    unsettledTurns(sessionId) {
      return guarded(readingTheLog, () => {
        const number = numberOf(sessionId);
        return number === undefined ? [] : unsettled.all(number).map(toUnsettledTurn);
      });
    },
    runningProcesses(sessionId) {
      return guarded(readingTheLog, () => {
        const number = numberOf(sessionId);
        if (number === undefined) return [];
        const rows = query<{ text: string }, [number]>(
          "SELECT text FROM processes JOIN events USING (session, seq) WHERE session = ? ORDER BY seq",
        );
        return rows.all(number).map(({ text }) => text);
      });
    },
    sessionsToSettle: () =>
      query<{ id: string }, []>(
        "SELECT id FROM sessions WHERE number IN (SELECT session FROM turns WHERE ended = 0 OR content IS NOT NULL UNION SELECT session FROM processes)",
      )
        .all()
        .map(({ id }) => id),
    delete(sessionId) {
      const number = numberOf(sessionId);
      if (number === undefined) return;
      guarded("delete the session's events", () =>
        inTransaction(() => {
          for (const table of ["events", "turns", "processes"]) {
            database.run(`DELETE FROM ${table} WHERE session = ?`, [number]);
          }
          database.run("DELETE FROM sessions WHERE number = ?", [number]);
        }),
      );
      numbers.delete(sessionId);
    },
    close: () => database.close(),
  };
}

interface UnsettledRow {
  readonly turn_id: string;
  readonly client_id: string;
  readonly writer_id: string;
  readonly seq: number;
  readonly ended: number;
  readonly content: string | null;
}

function toUnsettledTurn(row: UnsettledRow): UnsettledTurn {
  return {
    turnId: row.turn_id,
    clientId: row.client_id,
    writerId: row.writer_id,
    seq: row.seq,
    hasEnded: row.ended === 1,
    content: row.content ?? undefined,
  };
}

function openDatabase(path: string): { database: Database; setAside: string | undefined } {
  try {
    if (!existsSync(damageMark(path))) return { database: prepare(path), setAside: undefined };
  } catch (error) {
    if (!isDatabaseCorrupt(error)) throw toStoreError(error, openingTheLog);
  }
  const keptAs = setAside(path);
  storing(openingTheLog, () => rmSync(damageMark(path), { force: true }));
  // The write-ahead log belongs to the file that was set aside: a new database must not take it for its own.
  for (const suffix of ["-wal", "-journal"]) setAside(`${path}${suffix}`);
  return { database: storing(openingTheLog, () => prepare(path)), setAside: keptAs };
}

function prepare(path: string): Database {
  createPrivateFile(path);
  const database = new Database(path, { create: false, readwrite: true });
  try {
    // Before the file is looked at for the first time, or there is shared memory after all.
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    // Before the first table: space of dropped events goes back to the disk (event-retention.ts).
    database.run("PRAGMA auto_vacuum = INCREMENTAL");
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = NORMAL");
    // macOS: fsync alone leaves data in the drive's cache.
    database.run("PRAGMA fullfsync = ON");
    database.run("PRAGMA checkpoint_fullfsync = ON");
    database.run(`PRAGMA wal_autocheckpoint = ${checkpointPages}`);
    // What was deleted is overwritten, and can be found in no file any more.
    database.run("PRAGMA secure_delete = ON");
    // KiB: what is read is read once, in order.
    database.run("PRAGMA cache_size = -512");
    database.run(schema);
    // What every start needs can be read; damage further inside shows when somebody comes there.
    database.query("SELECT max(active_ms) FROM sessions").get();
    for (const table of ["events", "turns"]) database.query(`SELECT 1 FROM ${table} LIMIT 1`).get();
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function damageMark(path: string): string {
  return `${path}.damaged`;
}

function markDamaged(path: string): void {
  try {
    writeFileSync(damageMark(path), "", { mode: 0o600 });
  } catch (error) {
    // It is found again by who reads the same place.
    if (errnoOf(error) === undefined) throw error;
  }
}

/** 0600 from its first moment, whatever umask says. */
function createPrivateFile(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
}
