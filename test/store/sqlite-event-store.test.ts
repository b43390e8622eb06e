// The event log in SQLite: where a stream goes on, whoever wrote the session's file meanwhile; turns with their keys;
// what is synced; a full disk; a file that cannot be read.
import { afterAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cutPower, syncsPerAppend } from "../../scripts/support/crash-power.ts";
import { createDiskReserve } from "../../src/store/disk-reserve.ts";
import type { EventRecord, Submission } from "../../src/store/event-store.ts";
import {
  createSqliteEventStore,
  type SqliteEventStore,
} from "../../src/store/sqlite-event-store.ts";

const root = mkdtempSync(join(tmpdir(), "opta-event-store-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A log in a directory of its own; `reopen` closes it and opens the same file. */
function createPlace() {
  const directory = mkdtempSync(join(root, "log-"));
  const path = join(directory, "events.sqlite");
  const reservePath = join(directory, "kept/reserve");
  mkdirSync(dirname(reservePath));
  const open = () => createSqliteEventStore({ path, reservePath, now: () => new Date(0) });
  return {
    directory,
    path,
    reservePath,
    open,
    reopen(store: SqliteEventStore) {
      store.close();
      return open();
    },
  };
}

const record = (seq: number, more: Partial<EventRecord> = {}): EventRecord => ({
  sessionId: "s",
  seq,
  text: `event ${seq}`,
  isControl: false,
  isClosing: false,
  ...more,
});

const submission = (turnId: string, more: Partial<Submission> = {}): Submission => ({
  turnId,
  clientId: "c",
  writerId: "w",
  content: `words of ${turnId}`,
  idempotencyKey: undefined,
  ...more,
});

const queued = (seq: number, turnId: string, more: Partial<Submission> = {}) =>
  record(seq, { isControl: true, submission: submission(turnId, more) });

const ending = (turnId: string, takesBack = false) => ({
  isControl: true,
  endsTurn: { turnId, takesBack },
});

function appendUpTo(store: SqliteEventStore, last: number, first = 1): void {
  for (let seq = first; seq <= last; seq++) store.append(record(seq));
}

const seqs = (store: SqliteEventStore, afterSeq = 0) =>
  store.read("s", afterSeq, 1_000).map(({ seq }) => seq);

const codeOf = (work: () => unknown): unknown => {
  try {
    work();
  } catch (thrown) {
    return (thrown as { code?: unknown }).code;
  }
  return "nothing was thrown";
};

test("a stream begins behind the seq of the session's file and goes on where it was, also after a restart", () => {
  const place = createPlace();
  let store = place.open();
  expect(store.open("s", 0)).toEqual({ lastSeq: 0, begins: true });
  expect(store.open("resumed", 41)).toEqual({ lastSeq: 41, begins: true });
  appendUpTo(store, 3);
  expect(store.open("s", 0)).toEqual({ lastSeq: 3, begins: false });
  store = place.reopen(store);
  expect(store.open("s", 0)).toEqual({ lastSeq: 3, begins: false });
  expect(store.lastSeq("s")).toBe(3);
  expect(store.lastSeq("unknown", 7)).toBe(7);
  store.close();
});

test("the seq that a file was to get, and the one it had before, are ours: a crash leaves one of the two", () => {
  const place = createPlace();
  const store = place.open();
  store.open("s", 0);
  appendUpTo(store, 2);
  store.noteFileSeq("s", { saved: 0, next: 100_002 });
  for (const fileSeq of [100_002, 0]) {
    expect(store.open("s", fileSeq)).toEqual({ lastSeq: 2, begins: false });
  }
  store.close();
});

test("saves that never reached the file, one crash after another, do not make its seq a foreign one", () => {
  const place = createPlace();
  let store = place.open();
  store.open("s", 0);
  appendUpTo(store, 2);
  store.noteFileSeq("s", { saved: 0, next: 100_002 }); // reaches the file
  for (const next of [100_003, 100_004, 100_005]) {
    store.noteFileSeq("s", { saved: 100_002, next }); // does not
    store = place.reopen(store);
    expect(store.open("s", 100_002)).toEqual({ lastSeq: 2, begins: false });
  }
  store.close();
});

test("behind another process's events the stream begins anew, and what lies between is a gap that shows", () => {
  const place = createPlace();
  const store = place.open();
  store.open("s", 0);
  appendUpTo(store, 4);
  store.noteFileSeq("s", { saved: 0, next: 4 });
  expect(store.lastSeq("s", 57)).toBe(57);
  expect(store.open("s", 57)).toEqual({ lastSeq: 57, begins: true });
  store.append(record(58));
  expect(seqs(store)).toEqual([1, 2, 3, 4, 58]);
  expect(seqs(store, 4)).toEqual([58]);
  expect(store.open("s", 57)).toEqual({ lastSeq: 58, begins: false });
  // Another process that knew nothing of the newer events must not make one of them come again.
  expect(store.open("s", 50)).toEqual({ lastSeq: 58, begins: false });
  store.close();
});

test("a seq is taken once, and only in a session that was opened", () => {
  const store = createPlace().open();
  store.open("s", 0);
  store.append(record(1));
  expect(codeOf(() => store.append(record(1, { text: "another" })))).toBe("storage-failed");
  expect(store.read("s", 0, 10)).toEqual([{ seq: 1, text: "event 1" }]);
  expect(() => store.append(record(1, { sessionId: "unknown" }))).toThrow("is no longer there");
  store.close();
});

test("events are read behind a cursor, at most so many, in order; control events apart; sessions apart", () => {
  const store = createPlace().open();
  store.open("s", 0);
  store.open("other", 0);
  for (let seq = 1; seq <= 6; seq++) {
    store.append(record(seq, { isControl: seq % 3 === 0 }));
    store.append(record(seq, { sessionId: "other", text: `other ${seq}` }));
  }
  expect(seqs(store, 2)).toEqual([3, 4, 5, 6]);
  expect(store.read("s", 2, 2)).toEqual([
    { seq: 3, text: "event 3" },
    { seq: 4, text: "event 4" },
  ]);
  expect(store.readControl("s", 3)).toEqual(["event 6"]);
  expect(store.read("unknown", 0, 10)).toEqual([]);
  expect(store.readControl("unknown", 0)).toEqual([]);
  store.close();
});

test("a turn is unsettled until it has ended and its words are in the session's file", () => {
  const place = createPlace();
  let store = place.open();
  store.open("s", 0);
  store.append(queued(1, "one"));
  store.append(queued(2, "two"));
  const one = { turnId: "one", clientId: "c", writerId: "w", seq: 1, hasEnded: false };
  const two = { ...one, turnId: "two", seq: 2 };
  expect(store.unsettledTurns("s")).toEqual([
    { ...one, content: "words of one" },
    { ...two, content: "words of two" },
  ]);
  store.noteMessageSaved("one");
  store.append(record(3, ending("two")));
  store = place.reopen(store);
  expect(store.unsettledTurns("s")).toEqual([
    { ...one, content: undefined },
    { ...two, hasEnded: true, content: "words of two" },
  ]);
  expect(store.sessionsToSettle()).toEqual(["s"]);
  store.append(record(4, ending("one")));
  store.noteMessageSaved("two");
  expect(store.unsettledTurns("s")).toEqual([]);
  expect(store.sessionsToSettle()).toEqual([]);
  expect(store.unsettledTurns("unknown")).toEqual([]);
  store.close();
});

test("a turn that was taken back leaves nothing to settle", () => {
  const store = createPlace().open();
  store.open("s", 0);
  store.append(queued(1, "one"));
  store.append(record(2, ending("one", true)));
  expect(store.unsettledTurns("s")).toEqual([]);
  expect(store.sessionsToSettle()).toEqual([]);
  store.close();
});

test("a process that was last told to run is found again, until it is told to have ended", () => {
  const place = createPlace();
  let store = place.open();
  store.open("s", 0);
  const tell = (seq: number, processId: string, isRunning: boolean) =>
    store.append(record(seq, { isControl: true, process: { processId, isRunning } }));
  tell(1, "p", true);
  tell(2, "q", true);
  tell(3, "never ran", false);
  store = place.reopen(store);
  expect(store.runningProcesses("s")).toEqual(["event 1", "event 2"]);
  expect(store.runningProcesses("another")).toEqual([]);
  expect(store.sessionsToSettle()).toEqual(["s"]);
  tell(4, "p", false);
  expect(store.runningProcesses("s")).toEqual(["event 2"]);
  tell(5, "q", false);
  expect(store.runningProcesses("s")).toEqual([]);
  expect(store.sessionsToSettle()).toEqual([]);
  tell(6, "r", true);
  store.delete("s");
  expect(store.sessionsToSettle()).toEqual([]);
  store.close();
});

test("a key names one turn of its session, also after a restart", () => {
  const place = createPlace();
  let store = place.open();
  store.open("s", 0);
  store.open("other", 0);
  store.append(queued(1, "one", { idempotencyKey: "k" }));
  store.append({ ...queued(1, "two", { idempotencyKey: "k" }), sessionId: "other" });
  store = place.reopen(store);
  expect(store.turnWithKey("s", "k")).toBe("one");
  expect(store.turnWithKey("other", "k")).toBe("two");
  expect(store.turnWithKey("s", "another")).toBeUndefined();
  expect(store.turnWithKey("unknown", "k")).toBeUndefined();
  store.close();
});

test("an event and the turn that it accepts are stored together or not at all", () => {
  const store = createPlace().open();
  store.open("s", 0);
  store.append(queued(1, "one", { idempotencyKey: "k" }));
  expect(codeOf(() => store.append(queued(2, "two", { idempotencyKey: "k" })))).toBe(
    "storage-failed",
  );
  expect(seqs(store)).toEqual([1]);
  store.append(queued(2, "three"));
  expect(store.unsettledTurns("s").map(({ turnId }) => turnId)).toEqual(["one", "three"]);
  store.close();
});

test("a session that is deleted is forgotten with its turns and keys", () => {
  const store = createPlace().open();
  store.open("s", 0);
  store.open("other", 0);
  store.append(queued(1, "one", { idempotencyKey: "k" }));
  store.append(record(1, { sessionId: "other" }));
  store.delete("s");
  store.delete("unknown");
  expect(store.turnWithKey("s", "k")).toBeUndefined();
  expect(store.sessionsToSettle()).toEqual([]);
  expect(store.open("s", 0)).toEqual({ lastSeq: 0, begins: true });
  expect(seqs(store)).toEqual([]);
  expect(store.lastSeq("other")).toBe(1);
  store.close();
});

test("the log is private from its first moment, whatever umask says, and uses no shared memory", () => {
  const place = createPlace();
  const umask = process.umask(0);
  let store = place.open();
  process.umask(umask);
  const files = () => readdirSync(place.directory).toSorted();
  const expected = ["events.sqlite", "events.sqlite-wal", "kept"];
  store.open("s", 0);
  expect(files()).toEqual(expected);
  expect(statSync(place.path).mode & 0o777).toBe(0o600);
  expect(statSync(`${place.path}-wal`).mode & 0o777).toBe(0o600);
  store = place.reopen(store);
  store.open("other", 0);
  expect(files()).toEqual(expected);
  store.close();
});

test("a control event is synced before its append returns, a token is not", async () => {
  const token = { sessionId: "a", text: "token", isControl: false };
  const control = { ...token, text: "control", isControl: true };
  const queued = { ...control, begins: "turn" };
  const ending = { ...control, ends: "turn" };
  const appends = [control, token, token, control, token, queued, token, ending];
  expect(await syncsPerAppend(appends)).toEqual([1, 0, 0, 1, 0, 1, 0, 1]);
}, 30_000);

test("a power cut takes no control event, and no event before the last one (promise E2)", async () => {
  const { problems, controls, lostTokens, checkpoints } = await cutPower({ seed: 1, rounds: 40 });
  expect(problems).toEqual([]);
  expect(controls).toBeGreaterThan(100);
  expect(checkpoints).toBeGreaterThan(0);
  // Or nothing was cut.
  expect(lostTokens).toBeGreaterThan(0);
}, 60_000);

/** No larger from here on: what no longer fits is refused as on a full disk. */
function fill(store: SqliteEventStore): void {
  const { page_count: pages } = store.database.query("PRAGMA page_count").get() as {
    page_count: number;
  };
  store.database.run(`PRAGMA max_page_count = ${pages}`);
}

const large = "x".repeat(100_000);

test("when the disk is full the reserve is given up, and only what ends something is stored until it is back", () => {
  const { open, reservePath } = createPlace();
  const store = open();
  store.open("s", 0);
  store.append(record(1));
  expect(statSync(reservePath).size).toBe(1024 * 1024);
  fill(store);
  expect(codeOf(() => store.append(record(2, { text: large })))).toBe("storage-full");
  expect(existsSync(reservePath)).toBe(false);

  rmSync(dirname(reservePath), { recursive: true }); // no space to take it again
  expect(codeOf(() => store.append(record(2)))).toBe("storage-full");
  store.append(record(2, { isControl: true, isClosing: true }));
  expect(codeOf(() => store.append(record(3)))).toBe("storage-full");

  mkdirSync(dirname(reservePath));
  store.append(record(3));
  expect(statSync(reservePath).size).toBe(1024 * 1024);
  expect(seqs(store)).toEqual([1, 2, 3]);
  store.close();
});

test("an event that did not fit is not there, and the log works on", () => {
  const place = createPlace();
  let store = place.open();
  store.open("s", 0);
  fill(store);
  expect(codeOf(() => store.append({ ...queued(1, "one"), text: large }))).toBe("storage-full");
  expect(codeOf(() => store.append(record(1, { text: large, isClosing: true })))).toBe(
    "storage-full",
  );
  expect(store.unsettledTurns("s")).toEqual([]);
  store.database.run("PRAGMA max_page_count = 100000");
  store.append(record(1, { text: large }));
  store = place.reopen(store);
  expect(store.read("s", 0, 10)).toEqual([{ seq: 1, text: large }]);
  store.close();
});

test("the reserve is a private megabyte on the disk, not a hole; one that cannot be taken leaves nothing", () => {
  const directory = mkdtempSync(join(root, "reserve-"));
  const path = join(directory, "reserve");
  const reserve = createDiskReserve(path);
  expect(reserve.fill()).toBe(true);
  const stats = statSync(path);
  expect([stats.size, stats.mode & 0o777]).toEqual([1024 * 1024, 0o600]);
  expect(stats.blocks * 512).toBeGreaterThanOrEqual(1024 * 1024);
  expect([reserve.isSpent(), reserve.spend(), reserve.spend(), reserve.isSpent()]).toEqual([
    false,
    true,
    false,
    true,
  ]);
  expect(existsSync(path)).toBe(false);
  expect([reserve.fill(), reserve.isSpent()]).toEqual([true, false]);

  const impossible = createDiskReserve(join(directory, "missing/reserve"));
  expect([impossible.fill(), impossible.isSpent(), impossible.spend()]).toEqual([
    false,
    true,
    false,
  ]);
});

test("a file that is no database is set aside as it is, and a new log begun", () => {
  const place = createPlace();
  for (const [index, text] of ["rubbish ", "more rubbish "].entries()) {
    writeFileSync(place.path, text.repeat(2_000));
    const store = place.open();
    const keptAs = `${place.path}.corrupt-${index + 1}`;
    expect(store.setAside).toBe(keptAs);
    expect(readFileSync(keptAs, "utf8")).toBe(text.repeat(2_000));
    expect(store.open("s", 12)).toEqual({ lastSeq: 12, begins: true });
    store.append(record(13));
    expect(seqs(store, 12)).toEqual([13]);
    store.close();
  }
});

test("a database whose tables are broken is set aside, and its write-ahead log is not taken for the new one's", () => {
  const place = createPlace();
  const store = place.open();
  store.open("s", 0);
  appendUpTo(store, 10);
  const unfinished = readFileSync(`${place.path}-wal`);
  store.close();
  const bytes = readFileSync(place.path);
  // The list of tables stands in the first page behind the file's header.
  bytes.fill(0xff, 100, 4_096);
  writeFileSync(place.path, bytes);
  let next = place.open();
  expect(next.setAside).toBe(`${place.path}.corrupt-1`);
  expect(readFileSync(`${place.path}.corrupt-1`).equals(bytes)).toBe(true);
  next.close();
  // Without its file a write-ahead log is nobody's.
  rmSync(place.path);
  writeFileSync(`${place.path}-wal`, unfinished);
  next = place.open();
  expect(next.open("s", 0)).toEqual({ lastSeq: 0, begins: true });
  next.close();
});

test("a log that somebody else holds is left alone", () => {
  const place = createPlace();
  const store = place.open();
  store.open("s", 0);
  store.append(record(1));
  expect(codeOf(() => place.open())).toBe("storage-failed");
  expect(readdirSync(place.directory).filter((name) => name.includes("corrupt"))).toEqual([]);
  store.append(record(2));
  expect(seqs(store)).toEqual([1, 2]);
  store.close();
});
