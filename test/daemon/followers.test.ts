// Readers of a session's events, without sockets: sinks that a test fills and empties, and a clock that it moves.
import { expect, test } from "bun:test";
import type { Clock } from "../../src/base/clock.ts";
import { createFollowers, type Follower, type Sink } from "../../src/daemon/followers.ts";
import { createEventLog } from "../../src/engine/event-log.ts";
import type { Dialect } from "../../src/protocol/dialect.ts";
import { OptaError } from "../../src/protocol/error.ts";
import type { EventKind, EventPayload, OptaEvent } from "../../src/protocol/event.ts";
import { createMemoryEventStore } from "../../src/store/memory-event-store.ts";
import { createTestClock, type TestClock } from "../support/test-clock.ts";

const sessionId = "s";
const writer = { turnId: "t", writerId: "w", clientId: "c" };

/** A client as the followers see it. */
interface Client {
  readonly follower: Follower;
  /** In the order of their arrival, whichever way they came. */
  readonly events: OptaEvent[];
  readonly refusals: { readonly code: string; readonly cursor: number }[];
  /** How often it was cut. */
  readonly cuts: () => number;
  readonly isLive: () => boolean;
  /** What waits in its buffer; it counts as full from 100 on. */
  buffered: number;
}

function createHall<C extends Clock = TestClock>(clock: C = createTestClock() as Clock as C) {
  const store = createMemoryEventStore();
  const log = createEventLog({ daemonId: "d", now: () => new Date(0), store });
  const live = new Set<(text: string) => void>();
  const followers = createFollowers({
    stream: log,
    clock,
    broadcast: ({ text }) => live.forEach((take) => take(text)),
  });

  function follow(
    options: {
      readonly afterSeq?: number;
      readonly dialect?: Dialect;
      /** What it holds after each text. */
      readonly fillsBy?: number;
      readonly onSend?: () => void;
    } = {},
  ): Client {
    const { afterSeq = 0, dialect = "opta", fillsBy = 0 } = options;
    const take = (text: string) => {
      client.events.push(JSON.parse(text) as OptaEvent);
      client.buffered += fillsBy;
    };
    let cuts = 0;
    const sink: Sink = {
      send(texts) {
        texts.forEach(take);
        options.onSend?.();
      },
      isFull: () => client.buffered >= 100,
      refuse: ({ code }, cursor) => void client.refusals.push({ code, cursor }),
      cut: () => (cuts += 1),
      ...(dialect === "opta"
        ? { goLive: () => void live.add(take), leaveLive: () => void live.delete(take) }
        : {}),
    };
    const client: Omit<Client, "follower"> = {
      events: [],
      refusals: [],
      cuts: () => cuts,
      isLive: () => live.has(take),
      buffered: 0,
    };
    return Object.assign(client, {
      follower: followers.follow({ sessionId, afterSeq, dialect, sink }),
    });
  }

  return {
    clock,
    store,
    log,
    followers,
    follow,
    emit: <K extends EventKind>(kind: K, payload: EventPayload<K>) =>
      log.append(sessionId, kind, payload),
    say(count: number, text = "x") {
      for (let said = 0; said < count; said++) {
        log.append(sessionId, "turn.token", { turnId: "t", text });
      }
    },
  };
}

const seqs = ({ events }: Client) => events.map(({ seq }) => seq);
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

test("a reader gets what lies behind its cursor, then what happens, each once and in order", () => {
  const { follow, say, clock } = createHall();
  say(1_500);
  const client = follow({ afterSeq: 3 });
  say(5);
  clock.advance(0);
  expect(client.isLive()).toBe(true);
  say(200);
  expect(seqs(client)).toEqual(range(4, 1_705));
});

test("events that come between two batches of a replay are neither lost nor told twice", () => {
  const { follow, say, clock } = createHall();
  say(3_000);
  let left = 20;
  const client = follow({ onSend: () => left-- > 0 && say(100) });
  clock.advance(0);
  say(1);
  expect(seqs(client)).toEqual(range(1, 5_001));
});

test("a live reader that fills up loses nothing: it goes on from the log where the broadcast left it", () => {
  for (const fullAt of [1, 31, 32, 33, 64, 77]) {
    const { follow, say, clock } = createHall();
    const client = follow();
    say(fullAt - 1);
    client.buffered = 100;
    say(150);
    expect(client.isLive()).toBe(false);
    client.buffered = 0;
    client.follower.resume();
    clock.advance(0);
    say(10);
    expect(client.isLive()).toBe(true);
    expect(seqs(client)).toEqual(range(1, fullAt + 159));
  }
});

test("a few large events count as much as many small ones", () => {
  const { follow, say } = createHall();
  const client = follow();
  client.buffered = 100;
  say(1, "x".repeat(70_000));
  expect(client.isLive()).toBe(false);
});

test("a full reader is handed no more than a slice of what it asked for", () => {
  const { follow, say, clock } = createHall();
  say(1_000, "x".repeat(10_000));
  const client = follow({ fillsBy: 25 });
  clock.advance(5_000);
  // 64 KB are seven of them.
  expect(seqs(client)).toEqual(range(1, 7));
  client.follower.resume();
  clock.advance(0);
  expect(seqs(client)).toEqual(range(1, 7));
  client.buffered = 0;
  client.follower.resume();
  clock.advance(0);
  expect(seqs(client)).toEqual(range(1, 14));
});

test("large events are read a few at a time", () => {
  const { follow, say, clock, log } = createHall();
  const limits: number[] = [];
  const { read } = log;
  Object.assign(log, {
    read(id: string, afterSeq: number, limit: number) {
      limits.push(limit);
      return read(id, afterSeq, limit);
    },
  });
  say(500, "x".repeat(100_000));
  const client = follow();
  clock.advance(0);
  expect(seqs(client)).toEqual(range(1, 500));
  expect(Math.max(...limits.slice(1))).toBeLessThanOrEqual(10);
});

test("a reader that swallows nothing for ten seconds is cut, one that swallows a little is not", () => {
  const { follow, say, clock, followers } = createHall();
  say(1_000);
  const dead = follow({ fillsBy: 1 });
  const slow = follow({ fillsBy: 1 });
  const quick = follow();
  for (let seconds = 0; seconds < 9; seconds++) {
    clock.advance(1_000);
    slow.follower.resume();
  }
  expect([dead.cuts(), slow.cuts(), quick.cuts()]).toEqual([0, 0, 0]);
  clock.advance(1_000);
  slow.follower.resume();
  clock.advance(9_000);
  expect([dead.cuts(), slow.cuts(), quick.cuts()]).toEqual([1, 0, 0]);
  expect(followers.count()).toBe(2);
  dead.buffered = 0;
  dead.follower.resume();
  const told = dead.events.length;
  say(100);
  expect(dead.events).toHaveLength(told);
  expect(seqs(quick)).toEqual(range(1, 1_100));
});

test("readers of a long past take turns, and what happens meanwhile does not wait for them", () => {
  let nowMs = 0;
  const due: (() => void)[] = [];
  const clock: Clock = {
    nowMs: () => nowMs,
    after(_delayMs, action) {
      due.push(action);
      return () => undefined;
    },
  };
  const { follow, say } = createHall(clock);
  say(9_000);
  const live = follow({ afterSeq: 9_000 });
  const readers = Array.from({ length: 10 }, () => follow({ onSend: () => (nowMs += 3) }));
  const order: number[] = [];
  for (let turn = 1; turn <= 10; turn++) {
    due.shift()?.();
    say(1);
    expect(live.events).toHaveLength(turn);
    order.push(readers.filter(({ events }) => events.length > 64).length);
  }
  // A batch is two slices of three milliseconds, more than a turn; nobody comes twice before everybody came once.
  expect(order).toEqual(range(1, 10));
  while (due.length > 0) due.shift()?.();
  for (const reader of readers) expect(seqs(reader)).toEqual(range(1, 9_010));
});

test("who is full delays nobody", () => {
  const { follow, say } = createHall();
  const full = Array.from({ length: 50 }, () => follow());
  const quick = follow();
  for (const client of full) client.buffered = 100;
  say(500);
  expect(seqs(quick)).toEqual(range(1, 500));
  expect(Math.max(...full.map(({ events }) => events.length))).toBeLessThanOrEqual(32);
});

test("a cursor ahead of the head or before what is kept is refused, and nobody is left behind", () => {
  const { follow, say, followers } = createHall();
  say(20_000);
  const ahead = follow({ afterSeq: 20_001 });
  const early = follow({ afterSeq: 17 });
  const empty = follow({ afterSeq: 20_000 });
  expect(ahead.refusals).toEqual([{ code: "ahead-of-head", cursor: 20_001 }]);
  expect(early.refusals).toEqual([{ code: "before-retention", cursor: 17 }]);
  expect(empty.refusals).toEqual([]);
  expect(followers.count()).toBe(1);
  say(1);
  expect([seqs(ahead), seqs(early), seqs(empty)]).toEqual([[], [], [20_001]]);
});

test("a log that cannot be read any more is told to whoever reads on, and to nobody else", () => {
  const { follow, say, log, clock, followers } = createHall();
  say(1_000);
  const live = follow({ afterSeq: 1_000 });
  const reading = follow();
  const fail = () => {
    throw new OptaError("storage-failed", "cannot read the event log");
  };
  Object.assign(log, { read: fail, lastSeq: fail });
  clock.advance(0);
  expect(reading.refusals).toEqual([{ code: "storage-failed", cursor: 64 }]);
  expect(live.refusals).toEqual([]);
  expect(followers.count()).toBe(1);
});

test("a reader of a session that does not exist yet waits for its first event", () => {
  const { follow, say } = createHall();
  const client = follow();
  say(2);
  expect(seqs(client)).toEqual([1, 2]);
});

test("a live reader is told of a gap, in both dialects", () => {
  for (const dialect of ["opta", "opta-code"] as const) {
    const { follow, say, log } = createHall();
    say(10);
    const live = follow({ dialect });
    // Another process went on with the session, and this one after it.
    log.open(sessionId, 50);
    say(1);
    expect(seqs(live)).toEqual(range(1, 10));
    expect(live.refusals).toEqual([{ code: "before-retention", cursor: 10 }]);
    expect(live.isLive()).toBe(false);
    say(3);
    expect(seqs(follow({ dialect, afterSeq: 50 }))).toEqual([51, 52, 53, 54]);
  }
});

test("a session that was deleted and made anew tells its old readers so", () => {
  const { follow, say, log, store } = createHall();
  say(10);
  const client = follow();
  store.delete(sessionId);
  log.forget(sessionId);
  say(2);
  expect(seqs(client)).toEqual(range(1, 10));
  expect(client.refusals).toEqual([{ code: "ahead-of-head", cursor: 10 }]);
});

test("opta-code: the end of a turn waits until 300 ms after it was accepted, and what follows waits behind it", () => {
  const { follow, say, emit, clock, followers } = createHall();
  const ours = follow();
  const theirs = follow({ dialect: "opta-code" });
  followers.noteAccepted(sessionId);
  say(2);
  clock.advance(100);
  emit("turn.error", { ...writer, message: "no" });
  say(1);
  expect(seqs(ours)).toEqual([1, 2, 3, 4]);
  expect(seqs(theirs)).toEqual([1, 2]);
  clock.advance(199);
  expect(seqs(theirs)).toEqual([1, 2]);
  clock.advance(1);
  expect(seqs(theirs)).toEqual([1, 2, 3, 4]);
});

test("opta-code: an end that comes late enough is told at once", () => {
  const { follow, emit, clock, followers } = createHall();
  const theirs = follow({ dialect: "opta-code" });
  followers.noteAccepted(sessionId);
  clock.advance(300);
  emit("session.cancelled", { cancelled: 0 });
  expect(seqs(theirs)).toEqual([1]);
});

test("opta-code: results of tools have their old name, progress is left out, all else is the same", () => {
  const { follow, say, emit, clock } = createHall();
  const result = { turnId: "t", name: "n", toolName: "n", id: "i", callId: "i", result: "r" };
  const tell = () => {
    emit("turn.progress", { turnId: "t", phase: "loading", message: null, provider: "lmx" });
    emit("tool.result", { ...result, ok: true, elapsed: 1 });
    say(1);
  };
  tell();
  const theirs = follow({ dialect: "opta-code" });
  const ours = follow();
  tell();
  clock.advance(0);
  expect(theirs.events.map(({ seq, event }) => [seq, String(event)])).toEqual([
    [2, "tool.end"],
    [3, "turn.token"],
    [5, "tool.end"],
    [6, "turn.token"],
  ]);
  expect(seqs(ours)).toEqual(range(1, 6));
});

test("a reader that goes in the middle of a replay is told nothing more", () => {
  const { follow, say, followers, clock } = createHall();
  say(2_000);
  const client = follow();
  client.follower.stop();
  client.follower.stop();
  const told = client.events.length;
  clock.advance(60_000);
  say(1);
  expect(client.events).toHaveLength(told);
  expect(told).toBeLessThan(2_000);
  expect(followers.count()).toBe(0);
  expect(clock.waiting()).toBe(0);
});

test("closing stops everybody and leaves no timer", () => {
  const { follow, say, followers, clock } = createHall();
  say(2_000);
  const clients = [follow(), follow({ dialect: "opta-code" }), follow({ fillsBy: 1 })];
  followers.close();
  const told = clients.map(({ events }) => events.length);
  clock.advance(60_000);
  say(1);
  expect(clients.map(({ events }) => events.length)).toEqual(told);
  expect(followers.count()).toBe(0);
  expect(clock.waiting()).toBe(0);
});
