import { expect, test } from "bun:test";
import { createEventLog, type EventLog } from "../../src/engine/event-log.ts";
import { type EventKind, eventPayloadSchemas, type OptaEvent } from "../../src/protocol/event.ts";
import type { EventRecord } from "../../src/store/event-store.ts";
import { createMemoryEventStore } from "../../src/store/memory-event-store.ts";

const createLog = () =>
  createEventLog({ daemonId: "d", now: () => new Date(0), store: createMemoryEventStore() });
const token = (log: EventLog, text: string) => log.append("s", "turn.token", { turnId: "t", text });

async function take(events: AsyncIterable<OptaEvent>, count: number): Promise<OptaEvent[]> {
  const taken: OptaEvent[] = [];
  if (count === 0) return taken;
  for await (const event of events) if (taken.push(event) === count) break;
  return taken;
}

test("seq starts at 1 and grows by one, per session", async () => {
  const log = createLog();
  token(log, "a");
  token(log, "b");
  log.append("other", "turn.token", { turnId: "t", text: "x" });
  const events = await take(log.subscribe("s", 0, new AbortController().signal), 2);
  expect(events.map((event) => event.seq)).toEqual([1, 2]);
  expect(log.lastSeq("other")).toBe(1);
});

test("a resumed session goes on behind its stored seq", () => {
  const log = createLog();
  log.open("s", 41);
  token(log, "a");
  expect(log.lastSeq("s")).toBe(42);
});

test("a late subscriber gets what it missed, then what happens, each once and in order", async () => {
  const log = createLog();
  for (const text of ["a", "b", "c"]) token(log, text);
  const events = take(log.subscribe("s", 1, new AbortController().signal), 4);
  token(log, "d");
  token(log, "e");
  expect((await events).map((event) => event.seq)).toEqual([2, 3, 4, 5]);
});

test("a cursor ahead of the head or behind what is kept is refused, never silent", () => {
  const log = createLog();
  const { signal } = new AbortController();
  token(log, "a");
  expect(() => log.subscribe("s", 2, signal)).toThrow("nothing after 2");
  for (let count = 0; count < 20_000; count++) token(log, "x");
  expect(() => log.subscribe("s", 0, signal)).toThrow("not in the daemon's log");
});

test("an abort ends the subscription after what came before it", async () => {
  const log = createLog();
  const abort = new AbortController();
  const events = log.subscribe("s", 0, abort.signal);
  token(log, "a");
  abort.abort();
  token(log, "b");
  const seen: number[] = [];
  for await (const event of events) seen.push(event.seq);
  expect(seen).toEqual([1]);
});

test("what a power cut may take is what is worth nothing alone; all else is synced before anything comes of it", () => {
  // Promises E2 and G4: a permission is on the disk before its tool starts, a start before the command.
  const streamed = ["turn.token", "turn.thinking", "turn.progress", "background.output"];
  // The session's file, or the next event, is synced before anything is done because of these.
  const lazy = ["session.snapshot", "turn.start"];
  const records: EventRecord[] = [];
  const store = createMemoryEventStore();
  const log = createEventLog({
    daemonId: "d",
    now: () => new Date(0),
    store: { ...store, append: (record) => void records.push(record) },
  });
  const kinds = Object.keys(eventPayloadSchemas) as EventKind[];
  for (const kind of kinds) log.append("s", kind, { turnId: "t", process: {} } as never);
  const kept = records.map(({ text, isControl, isLazy }) => ({
    kind: (JSON.parse(text) as OptaEvent).event,
    kept: isControl ? (isLazy ? "soon" : "at once") : "when there is time",
  }));
  expect(kept).toEqual(
    kinds.map((kind) => ({
      kind,
      kept: streamed.includes(kind)
        ? "when there is time"
        : lazy.includes(kind)
          ? "soon"
          : "at once",
    })),
  );
});

test("what could not be stored is told to nobody, and its seq is the next one's", async () => {
  const store = createMemoryEventStore();
  let isFull = true;
  const log = createEventLog({
    daemonId: "d",
    now: () => new Date(0),
    store: {
      ...store,
      append(record) {
        if (isFull) throw new Error("the disk is full");
        store.append(record);
      },
    },
  });
  const heard: number[] = [];
  log.onAppend(({ seq }) => heard.push(seq));
  const events = take(log.subscribe("s", 0, new AbortController().signal), 1);
  expect(() => token(log, "lost")).toThrow("the disk is full");
  expect(heard).toEqual([]);
  expect(log.lastSeq("s")).toBe(0);
  isFull = false;
  token(log, "kept");
  expect(heard).toEqual([1]);
  expect(await events).toMatchObject([{ seq: 1, payload: { text: "kept" } }]);
});
