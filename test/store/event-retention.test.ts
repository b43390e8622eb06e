// Dropping old sessions' events: by age and by size, never those of a session that is used, never a seq twice.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEventRetention, type PruneOptions } from "../../src/store/event-retention.ts";
import { createSqliteEventStore } from "../../src/store/sqlite-event-store.ts";

const root = mkdtempSync(join(tmpdir(), "opta-retention-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const dayMs = 86_400_000;

/** A log and a clock that stands at day 100 when it is done. */
function createLog() {
  let nowMs = 0;
  const directory = mkdtempSync(join(root, "log-"));
  const store = createSqliteEventStore({
    path: join(directory, "events.sqlite"),
    reservePath: join(directory, "reserve"),
    now: () => new Date(nowMs),
  });
  return {
    store,
    /** A session that was used last on that day, with a turn that ended. */
    add(sessionId: string, { day = 100, events = 3, bytes = 10, isSettled = true } = {}) {
      nowMs = day * dayMs;
      const submission = {
        turnId: `turn of ${sessionId}`,
        clientId: "c",
        writerId: "w",
        content: "words",
        idempotencyKey: "k",
      };
      store.open(sessionId, 0);
      const text = "x".repeat(bytes);
      const event = { sessionId, text, isControl: true, isClosing: false };
      store.append({ ...event, seq: 1, submission });
      // Many at once: a commit each would take its time.
      store.database.run("BEGIN");
      for (let seq = 2; seq < events; seq++) {
        store.append({ ...event, seq, isControl: true });
      }
      store.database.run("COMMIT");
      const endsTurn = { turnId: submission.turnId, takesBack: false };
      store.append({ ...event, seq: events, endsTurn });
      if (isSettled) store.noteMessageSaved(submission.turnId);
      nowMs = 100 * dayMs;
    },
    /** As the daemon does it after its start. */
    prune(options: Partial<PruneOptions> = {}) {
      return createEventRetention(store.database).prune({
        maxAgeMs: 30 * dayMs,
        maxBytes: 1_000_000_000,
        nowMs: 100 * dayMs,
        isDeleted: () => false,
        forget: () => undefined,
        isBusy: () => false,
        isStopped: () => false,
        ...options,
      });
    },
    count: (sessionId: string) => store.read(sessionId, 0, 100_000).length,
    [Symbol.dispose]: () => store.close(),
  };
}

test("sessions that were not used for so long lose their events, others keep them", async () => {
  using log = createLog();
  log.add("old", { day: 69 });
  log.add("older", { day: 10 });
  log.add("recent", { day: 71 });
  log.add("today");
  expect(await log.prune()).toBe(2);
  expect(["old", "older", "recent", "today"].map(log.count)).toEqual([0, 0, 3, 3]);
  expect(await log.prune()).toBe(0);
});

test("no seq comes twice: the stream goes on behind what was dropped, and begins anew for its readers", async () => {
  using log = createLog();
  log.add("old", { day: 1, events: 7 });
  log.add("today");
  await log.prune();
  expect(log.store.lastSeq("old")).toBe(7);
  expect(log.store.open("old", 0)).toEqual({ lastSeq: 7, begins: true });
  log.store.append({ sessionId: "old", seq: 8, text: "new", isControl: true, isClosing: false });
  expect(log.store.read("old", 0, 10)).toEqual([{ seq: 8, text: "new" }]);
  expect(log.store.open("old", 7)).toEqual({ lastSeq: 8, begins: false });
});

test("turns that are over are forgotten with their keys, those that have to be settled are not", async () => {
  using log = createLog();
  log.add("old", { day: 1 });
  log.add("unsettled", { day: 1, isSettled: false });
  log.add("today");
  await log.prune();
  expect(log.store.turnWithKey("old", "k")).toBeUndefined();
  expect(log.store.turnWithKey("unsettled", "k")).toBe("turn of unsettled");
  expect(log.store.unsettledTurns("unsettled").length).toBe(1);
});

test("a session that is busy keeps its events, however old they are", async () => {
  using log = createLog();
  log.add("busy", { day: 1 });
  log.add("old", { day: 2 });
  log.add("today");
  expect(await log.prune({ isBusy: (id) => id === "busy" })).toBe(1);
  expect(["busy", "old"].map(log.count)).toEqual([3, 0]);
});

test("a session that was used while others were dropped keeps its events", async () => {
  using log = createLog();
  log.add("oldest", { day: 1 });
  log.add("old", { day: 2 });
  log.add("also old", { day: 3 });
  log.add("today");
  const isBusy = (id: string) => {
    const submission = { turnId: "t", clientId: "c", writerId: "w", content: "x" };
    const event = { sessionId: "old", text: "new", isControl: true, isClosing: false };
    if (id === "oldest" && log.count("old") === 3) {
      log.store.append({ ...event, seq: 4, submission: { ...submission, idempotencyKey: "new" } });
    }
    return false;
  };
  expect(await log.prune({ isBusy })).toBe(2);
  expect(["oldest", "old", "also old", "today"].map(log.count)).toEqual([0, 4, 0, 3]);
});

test("while the log is too large, the session that rested longest goes, and no more than needed", async () => {
  using log = createLog();
  for (const day of [97, 98, 99, 100]) log.add(`day ${day}`, { day, events: 20, bytes: 50_000 });
  expect(await log.prune({ maxBytes: 2_500_000 })).toBe(2);
  expect([97, 98, 99, 100].map((day) => log.count(`day ${day}`))).toEqual([0, 0, 20, 20]);
});

test("the space of what was dropped goes back to the disk", async () => {
  using log = createLog();
  const pages = () =>
    (log.store.database.query("PRAGMA page_count").get() as { page_count: number }).page_count;
  log.add("today");
  const before = pages();
  log.add("old", { day: 1, events: 50, bytes: 50_000 });
  expect(pages()).toBeGreaterThan(before + 500);
  await log.prune();
  expect(pages()).toBeLessThan(before + 50);
});

test("a clock that jumped ahead ages nothing: what was used last counts as today", async () => {
  using log = createLog();
  log.add("old", { day: 60 });
  log.add("today", { day: 100 });
  expect(await log.prune({ nowMs: 100_000 * dayMs })).toBe(1);
  expect(["old", "today"].map(log.count)).toEqual([0, 3]);
});

test("what is appended while a long session is being dropped stays, and its seq is not used again", async () => {
  using log = createLog();
  log.add("old", { day: 1, events: 9_000 });
  log.add("today");
  const pruning = log.prune();
  await new Promise((resolve) => setImmediate(resolve));
  const { lastSeq } = log.store.open("old", 0);
  const event = { sessionId: "old", text: "new", isControl: true, isClosing: false };
  log.store.append({ ...event, seq: lastSeq + 1 });
  await pruning;
  expect(lastSeq).toBe(9_000);
  expect(log.store.read("old", 0, 10)).toEqual([{ seq: 9_001, text: "new" }]);
  expect(log.store.lastSeq("old")).toBe(9_001);
});

test("it stops when it is told to, between two steps", async () => {
  using log = createLog();
  log.add("old", { day: 1, events: 9_000 });
  log.add("older", { day: 0 });
  log.add("today");
  await log.prune({ isStopped: () => log.count("old") < 9_000 });
  expect(log.count("older")).toBe(0);
  expect(log.count("old")).toBeGreaterThan(0);
  expect(log.count("old")).toBeLessThan(9_000);
  expect(log.store.lastSeq("old")).toBe(9_000);
  await log.prune();
  expect(log.count("old")).toBe(0);
  expect(log.store.lastSeq("old")).toBe(9_000);
});

test("a session that was deleted while no daemon ran loses what was said in it", async () => {
  using log = createLog();
  log.add("gone", { day: 99 });
  log.add("kept", { day: 99 });
  const forgotten: string[] = [];
  const isDeleted = (sessionId: string) => sessionId === "gone";
  const forget = (sessionId: string) => void forgotten.push(sessionId);
  expect(await log.prune({ isDeleted, forget })).toBe(1);
  expect(["gone", "kept"].map(log.count)).toEqual([0, 3]);
  expect(forgotten).toEqual(["gone"]);
});

test("a session that is made again while its old events are dropped keeps what is new", async () => {
  using log = createLog();
  log.add("big", { day: 99, events: 9_000 });
  log.add("again", { day: 99 });
  const made = new Set<string>();
  const dropping = log.prune({
    isDeleted: (sessionId) => !made.has(sessionId),
    forget: (sessionId) => log.store.delete(sessionId),
  });
  // As open-sessions.ts does it, while the first one's events still go.
  log.store.delete("again");
  made.add("again");
  log.add("again", { day: 100 });
  await dropping;
  expect(["big", "again"].map(log.count)).toEqual([0, 3]);
});

test("a deleted session that has no events any more is forgotten, and the others are looked at as ever", async () => {
  using log = createLog();
  log.add("gone", { day: 10 });
  log.add("old", { day: 60 });
  expect(await log.prune()).toBe(1);
  const forget = (sessionId: string) => log.store.delete(sessionId);
  expect(await log.prune({ isDeleted: (id) => id === "gone", forget })).toBe(1);
  expect(["gone", "old"].map(log.count)).toEqual([0, 3]);
  expect(log.store.lastSeq("gone")).toBe(0);
});

test("a session that gets the number of one that was deleted meanwhile keeps its events", async () => {
  using log = createLog();
  log.add("big", { day: 98, events: 9_000 });
  log.add("gone", { day: 99 });
  const dropping = log.prune({
    isDeleted: (sessionId) => sessionId === "big" || sessionId === "gone",
    forget: (sessionId) => log.store.delete(sessionId),
  });
  log.store.delete("gone");
  log.add("fresh", { day: 100 });
  await dropping;
  expect(["big", "gone", "fresh"].map(log.count)).toEqual([0, 0, 3]);
});

test("what is used while a daemon runs for months ages, too", async () => {
  using log = createLog();
  log.add("before the start", { day: 100 });
  const retention = createEventRetention(log.store.database, { upMs: () => 60 * dayMs });
  log.add("later", { day: 120 });
  log.add("now", { day: 159 });
  const dropped = await retention.prune({
    maxAgeMs: 30 * dayMs,
    maxBytes: 1_000_000_000,
    nowMs: 160 * dayMs,
    isDeleted: () => false,
    forget: () => undefined,
    isBusy: () => false,
    isStopped: () => false,
  });
  expect(dropped).toBe(2);
  expect(["before the start", "later", "now"].map(log.count)).toEqual([0, 0, 3]);
});
