// A session's turns: one at a time, in order, bounded; every submitted one ends, also one that never ran.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEventLog } from "../../src/engine/event-log.ts";
import { createSession, newSessionFile, type Turn } from "../../src/engine/session.ts";
import { createMemoryEventStore } from "../../src/store/memory-event-store.ts";
import { createSessionStore } from "../../src/store/session-file.ts";

const directory = mkdtempSync(join(tmpdir(), "opta-session-"));
afterAll(() => rmSync(directory, { recursive: true }));
const now = () => new Date("2026-01-02T03:04:05Z");

async function openSession() {
  const store = createSessionStore({ directory });
  const file = newSessionFile({
    workspace: "/w",
    path: undefined,
    model: "m",
    title: "t",
    messages: [],
    now: now(),
  });
  const events = createMemoryEventStore();
  const log = createEventLog({ daemonId: "d", now, store: events });
  const session = createSession({
    file,
    stamp: undefined,
    store,
    events,
    log,
    now,
    lock: await store.lock(file.id),
    questionTimeoutMs: () => 60_000,
    onIdle: () => undefined,
  });
  const seen = () => {
    const events: string[] = [];
    const reading = new AbortController();
    const stream = log.subscribe(file.id, 0, reading.signal);
    reading.abort();
    return (async () => {
      for await (const event of stream) {
        const turnId = "turnId" in event.payload ? ` ${event.payload.turnId}` : "";
        events.push(`${event.event}${turnId}`);
      }
      return events;
    })();
  };
  return { session, store, seen };
}

const turn = (turnId: string): Turn => ({
  turnId,
  clientId: "c",
  writerId: "w",
  content: "x",
  mode: "do",
  idempotencyKey: undefined,
  abort: new AbortController(),
});

test("turns run one after another, in the order of their submission", async () => {
  const { session } = await openSession();
  const order: string[] = [];
  for (const name of ["a", "b", "c"]) {
    session.enqueue(turn(name), async () => {
      order.push(`${name} starts`);
      await Bun.sleep(1);
      order.push(`${name} ends`);
    });
  }
  await Bun.sleep(0);
  expect(session.snapshot().activeTurnId).toBe("a");
  expect(session.snapshot().queuedTurns).toBe(2);
  while (order.length < 6) await Bun.sleep(1);
  expect(order).toEqual(["a starts", "a ends", "b starts", "b ends", "c starts", "c ends"]);
  await session.close();
});

test("a queued turn that is cancelled never runs and ends with its own events", async () => {
  const { session, seen } = await openSession();
  const gate = Promise.withResolvers<void>();
  let ran = false;
  session.enqueue(turn("first"), () => gate.promise);
  session.enqueue(turn("second"), async () => {
    ran = true;
  });
  await Bun.sleep(0);
  expect(session.cancel(({ turnId }) => turnId === "second")).toEqual({
    cancelledQueued: 1,
    cancelledActive: false,
  });
  gate.resolve();
  await session.close();
  expect(ran).toBe(false);
  expect(await seen()).toEqual([
    "turn.queued first",
    "turn.queued second",
    "session.cancelled second",
    "turn.error second",
    "session.updated",
  ]);
});

test("the queue is bounded", async () => {
  const { session } = await openSession();
  const gate = Promise.withResolvers<void>();
  for (let count = 0; count < 32; count++) session.enqueue(turn(`t${count}`), () => gate.promise);
  expect(() => session.enqueue(turn("too many"), () => gate.promise)).toThrow("32 turns waiting");
  gate.resolve();
  await session.close();
});

test("the saved seq is behind every event until the next save, and exact at a turn's end", async () => {
  const { session, store } = await openSession();
  session.emit("turn.token", { turnId: "t", text: "x" });
  await session.save();
  expect((await store.load(session.id)).seq).toBeGreaterThan(10_000);
  await session.save(2);
  expect((await store.load(session.id)).seq).toBe(3);
  await session.close();
});

test("close frees the lock, so that the next process can have the session", async () => {
  const { session, store } = await openSession();
  await expect(store.lock(session.id)).rejects.toThrow("in use");
  await session.close();
  (await store.lock(session.id)).release();
});

test("a lock that cannot be given back in order is no longer counted on", async () => {
  const { session } = await openSession();
  session.rest();
  session.hold({
    release() {
      throw new Error("permission denied");
    },
  });
  expect(session.isHeld()).toBe(true);
  expect(() => session.rest()).toThrow("permission denied");
  expect(session.isHeld()).toBe(false);
});
