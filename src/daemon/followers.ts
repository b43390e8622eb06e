// Readers of a session's events: each has a cursor and takes from the log what lies behind it, as fast as it can
// swallow, so that a slow one costs a bounded buffer and delays nobody (promises E4, E6). One that has caught up may
// go live: then events are broadcast to it, until it lags and reads from the log again.
import type { Clock } from "../base/clock.ts";
import type { EventStream, ToldEvent } from "../engine/event-log.ts";
import { toOptaError, type OptaError } from "../protocol/error.ts";
import { type Dialect, isStopEvent, toDialect } from "../protocol/dialect.ts";
import type { StoredText } from "../store/event-store.ts";

/** Where events go: a WebSocket, or an HTTP response. */
export interface Sink {
  /** @param texts envelopes in the reader's dialect, in order */
  send(texts: readonly string[]): void;
  /** Takes no more until `resume` is called. */
  isFull(): boolean;
  /** What comes after `cursor` cannot be read; the reader has stopped. */
  refuse(error: OptaError, cursor: number): void;
  /** It has been full for too long; the reader has stopped. */
  cut(): void;
  /** Has caught up and gets what comes by broadcast from here on; absent where there is none. */
  goLive?(): void;
  /** Ends that. */
  leaveLive?(): void;
}

export interface Follower {
  /** The sink has swallowed something. */
  resume(): void;
  stop(): void;
}

export interface FollowOptions {
  readonly sessionId: string;
  readonly afterSeq: number;
  readonly dialect: Dialect;
  readonly sink: Sink;
}

export interface Followers {
  follow(options: FollowOptions): Follower;
  /** A client was told that its turn is accepted: the existing client must not see its end at once. */
  noteAccepted(sessionId: string): void;
  count(): number;
  /** Resolves when nobody has to wait for an event any more, at the latest after 300 ms. */
  finish(): Promise<void>;
  /** Everybody stops. */
  close(): void;
}

export interface FollowersOptions {
  readonly stream: EventStream;
  readonly clock: Clock;
  /** Tells an event to every live sink of its session; called once per event, in order. */
  readonly broadcast: (event: ToldEvent) => void;
}

/** Read at once: enough to be fast, little enough for the others to get their turn; events, and their characters. */
const batchEvents = 512;
const batchCharacters = 1024 * 1024;
/** The first batch, before the size of the events is known. */
const firstBatchEvents = 64;
/** Sent between two looks at whether the sink is full. */
const sliceCharacters = 64 * 1024;
/** Readers read for so long before everybody else gets a turn: what is live must not wait for replays. */
const turnMs = 4;
/** A full sink that swallows nothing for so long is cut; its client comes back with its cursor. */
const patienceMs = 10_000;
/** The existing client shows "running" for ever when a turn ends sooner (contracts/daemon-v3.md section 6.3). */
const stopDelayMs = 300;
/** How often live readers are looked at: events, or their characters. */
const lagCheckEvents = 32;
const lagCheckCharacters = 64 * 1024;

interface Reader extends FollowOptions {
  cursor: number;
  state: "reading" | "waiting" | "live" | "full" | "stopped";
  /** Events of the next batch. */
  limit: number;
  /** What it must not see yet, and what comes behind that. */
  held: readonly StoredText[];
  takeBackWait: () => void;
}

interface Crowd {
  readonly readers: Set<Reader>;
  /** The last event that live readers were told. */
  liveSeq: number;
  uncheckedEvents: number;
  uncheckedCharacters: number;
}

export function createFollowers({ stream, clock, broadcast }: FollowersOptions): Followers {
  const crowds = new Map<string, Crowd>();
  const accepted = new Map<string, number>();
  /** Who has more to read, in the order of their turns. */
  const turns = new Set<Reader>();
  let takeBackTurns: (() => void) | undefined;
  let total = 0;

  function wait(reader: Reader, delayMs: number, action: () => void): void {
    reader.takeBackWait();
    reader.takeBackWait = clock.after(delayMs, action);
  }

  /** Milliseconds that a stop event still has to wait for this reader. */
  function holdMs({ sessionId, dialect }: Reader): number {
    if (dialect !== "opta-code") return 0;
    const at = accepted.get(sessionId);
    return at === undefined ? 0 : Math.max(0, at + stopDelayMs - clock.nowMs());
  }

  /** Takes what lies behind the cursor until it is at the head, or the sink is full. */
  function read(reader: Reader): void {
    let events;
    try {
      events = stream.read(reader.sessionId, reader.cursor, reader.limit);
    } catch (thrown) {
      stop(reader);
      reader.sink.refuse(toOptaError(thrown), reader.cursor);
      return;
    }
    reader.limit = limitAfter(events);
    give(reader, events);
  }

  /** @param events what follows the cursor */
  function give(reader: Reader, events: readonly StoredText[]): void {
    reader.takeBackWait();
    reader.state = "reading";
    reader.held = send(reader, events);
    // `send` may have found the client gone; the compiler does not know.
    if ((reader.state as Reader["state"]) === "stopped") return;
    // Kept, not read again: the session may be deleted meanwhile, and the client would not learn how its turn ended.
    if (reader.held.length > 0) wait(reader, holdMs(reader), () => give(reader, reader.held));
    else if (reader.sink.isFull()) pause(reader);
    else if (isAtHead(reader)) settle(reader);
    else takeTurn(reader);
  }

  /** What cannot be told is found, and told to the reader, by the next read. */
  function isAtHead({ cursor, sessionId }: Reader): boolean {
    try {
      return cursor === stream.lastSeq(sessionId);
    } catch {
      return false;
    }
  }

  /** Reads on behind all who wait for that. */
  function takeTurn(reader: Reader): void {
    turns.add(reader);
    takeBackTurns ??= clock.after(0, readInTurn);
  }

  function readInTurn(): void {
    const untilMs = clock.nowMs() + turnMs;
    // One that takes another turn comes again at the end.
    for (const reader of turns) {
      turns.delete(reader);
      read(reader);
      if (clock.nowMs() >= untilMs) break;
    }
    takeBackTurns = turns.size === 0 ? undefined : clock.after(0, readInTurn);
  }

  /**
   * Hands over events until the sink is full, or one has to wait.
   * @returns that one and those behind it
   */
  function send(reader: Reader, events: readonly StoredText[]): readonly StoredText[] {
    const { sink, dialect } = reader;
    let texts: string[] = [];
    let characters = 0;
    let held: readonly StoredText[] = [];
    for (const [index, { seq, text }] of events.entries()) {
      if (isStopEvent(text) && holdMs(reader) > 0) {
        held = events.slice(index);
        break;
      }
      const told = toDialect(text, dialect);
      if (told !== undefined) texts.push(told);
      reader.cursor = seq;
      characters += text.length;
      if (characters < sliceCharacters) continue;
      sink.send(texts);
      texts = [];
      characters = 0;
      if (reader.state === "stopped" || sink.isFull()) return [];
    }
    if (texts.length > 0) sink.send(texts);
    return held;
  }

  function pause(reader: Reader): void {
    reader.state = "full";
    wait(reader, patienceMs, () => {
      stop(reader);
      reader.sink.cut();
    });
  }

  /** At the head, in the same tick: nothing can come between the last event read and the first one broadcast. */
  function settle(reader: Reader): void {
    reader.state = "waiting";
    if (reader.sink.goLive === undefined) return;
    reader.state = "live";
    reader.sink.goLive();
    const crowd = crowds.get(reader.sessionId);
    if (crowd !== undefined) crowd.liveSeq = reader.cursor;
  }

  /** From here on it reads: all up to `cursor` was handed to its sink. */
  function leaveLive(reader: Reader, cursor: number): void {
    reader.sink.leaveLive?.();
    reader.cursor = cursor;
    reader.state = "reading";
  }

  function stop(reader: Reader): void {
    if (reader.state === "stopped") return;
    if (reader.state === "live") reader.sink.leaveLive?.();
    reader.state = "stopped";
    reader.takeBackWait();
    turns.delete(reader);
    const crowd = crowds.get(reader.sessionId);
    crowd?.readers.delete(reader);
    if (crowd?.readers.size === 0) crowds.delete(reader.sessionId);
    total -= 1;
  }

  function tell(event: ToldEvent): void {
    const { sessionId, seq, text } = event;
    const crowd = crowds.get(sessionId);
    if (crowd === undefined) return;
    // Another process went on with the session meanwhile, or it was deleted and made anew: who reads on is told so.
    const isNext = seq === crowd.liveSeq + 1;
    for (const reader of crowd.readers) {
      if (reader.state === "live" && !isNext) {
        leaveLive(reader, crowd.liveSeq);
        read(reader);
      } else if (reader.held.at(-1)?.seq === seq - 1) {
        reader.held = [...reader.held, event];
      } else if (reader.state === "waiting") {
        if (reader.cursor === seq - 1) give(reader, [event]);
        else read(reader);
      }
    }
    broadcast(event);
    crowd.liveSeq = seq;
    crowd.uncheckedEvents += 1;
    crowd.uncheckedCharacters += text.length;
    if (
      crowd.uncheckedEvents >= lagCheckEvents ||
      crowd.uncheckedCharacters >= lagCheckCharacters
    ) {
      checkLag(crowd);
    }
  }

  /** Who lags reads the rest from the log once it has swallowed what it was handed. */
  function checkLag(crowd: Crowd): void {
    crowd.uncheckedEvents = crowd.uncheckedCharacters = 0;
    for (const reader of crowd.readers) {
      if (reader.state !== "live" || !reader.sink.isFull()) continue;
      leaveLive(reader, crowd.liveSeq);
      pause(reader);
    }
  }

  const forgetStream = stream.onAppend(tell);

  return {
    follow(options) {
      const { sessionId } = options;
      const reader: Reader = {
        ...options,
        cursor: options.afterSeq,
        state: "reading",
        limit: firstBatchEvents,
        held: [],
        takeBackWait: () => undefined,
      };
      const crowd = crowds.get(sessionId) ?? {
        readers: new Set(),
        liveSeq: 0,
        uncheckedEvents: 0,
        uncheckedCharacters: 0,
      };
      crowds.set(sessionId, crowd);
      crowd.readers.add(reader);
      total += 1;
      read(reader);
      return {
        resume() {
          if (reader.state !== "full") return;
          // It swallows, however slowly: its patience begins anew.
          if (reader.sink.isFull()) return pause(reader);
          reader.takeBackWait();
          reader.state = "reading";
          takeTurn(reader);
        },
        stop: () => stop(reader),
      };
    },
    noteAccepted(sessionId) {
      const now = clock.nowMs();
      for (const [id, at] of accepted) if (now - at >= stopDelayMs) accepted.delete(id);
      accepted.set(sessionId, now);
    },
    count: () => total,
    async finish() {
      const readers = [...crowds.values()].flatMap((crowd) => [...crowd.readers]);
      const longestMs = Math.max(0, ...readers.map(holdMs));
      if (longestMs > 0) {
        await new Promise<void>((resolve) => void clock.after(longestMs + 1, resolve));
      }
      for (const reader of readers) if (reader.held.length > 0) give(reader, reader.held);
    },
    close() {
      forgetStream();
      for (const { readers } of crowds.values()) for (const reader of readers) stop(reader);
      takeBackTurns?.();
    },
  };
}

/** As many events of the size of these as make a batch. */
function limitAfter(events: readonly StoredText[]): number {
  const characters = events.reduce((sum, { text }) => sum + text.length, 0);
  const typical = characters / Math.max(1, events.length);
  return Math.max(1, Math.min(batchEvents, Math.floor(batchCharacters / Math.max(1, typical))));
}
