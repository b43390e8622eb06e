// Readers of a session's events: each has a cursor and takes from the log what lies behind it, as fast as it can
// swallow, so that a slow one costs a bounded buffer and delays nobody (promises E4, E6). One that has caught up may
// go live: then events are broadcast to it, until it lags and reads from the log again.
import type { EventStream, ToldEvent } from "../engine/event-log.ts";
import { toOptaError, type OptaError } from "../protocol/error.ts";
import { type Dialect, isStopEvent, toDialect } from "../protocol/dialect.ts";

/** Where events go: a WebSocket, or an HTTP response. */
export interface Sink {
  /** @param texts envelopes in the reader's dialect, in order */
  send(texts: readonly string[]): void;
  /** Takes no more until `resume` is called. */
  isFull(): boolean;
  /** The cursor cannot be followed. */
  refuse(error: OptaError): void;
  /** It has been full for too long. */
  cut(): void;
  /** Has caught up and gets what comes by broadcast from here on; absent where there is none. */
  goLive?(): void;
  /** Ends that. */
  leaveLive?(): void;
}

export interface Follower {
  /** The sink takes more. */
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
  /** Everybody stops. */
  close(): void;
}

/** Events read at once: large enough to be fast, small enough for the others to get their turn. */
const batch = 512;
/** A full sink that takes nothing for so long is cut; its client comes back with its cursor. */
const patienceMs = 10_000;
/** The existing client shows "running" for ever when a turn ends sooner (contracts/daemon-v3.md section 6.3). */
const stopDelayMs = 300;
/** How often live readers are looked at: events, or their bytes. */
const lagCheckEvents = 32;
const lagCheckBytes = 64 * 1024;

interface Reader extends FollowOptions {
  cursor: number;
  state: "reading" | "waiting" | "live" | "full" | "stopped";
  timer: ReturnType<typeof setTimeout> | undefined;
}

interface Crowd {
  readonly readers: Set<Reader>;
  uncheckedEvents: number;
  uncheckedBytes: number;
}

export function createFollowers(stream: EventStream, nowMs: () => number): Followers {
  const crowds = new Map<string, Crowd>();
  const accepted = new Map<string, number>();
  let total = 0;

  function wait(reader: Reader, delayMs: number, action: () => void): void {
    clearTimeout(reader.timer);
    reader.timer = setTimeout(action, delayMs);
  }

  /** Milliseconds that a stop event still has to wait for this reader. */
  function holdMs({ sessionId, dialect }: Reader): number {
    if (dialect !== "opta-code") return 0;
    const at = accepted.get(sessionId);
    if (at === undefined) return 0;
    const left = at + stopDelayMs - nowMs();
    if (left <= 0) accepted.delete(sessionId);
    return Math.max(0, left);
  }

  /** Sends what lies behind the cursor until it is at the head, or the sink is full. */
  function read(reader: Reader): void {
    clearTimeout(reader.timer);
    if (reader.state === "stopped") return;
    reader.state = "reading";
    let events;
    try {
      events = stream.read(reader.sessionId, reader.cursor, batch);
    } catch (thrown) {
      reader.sink.refuse(toOptaError(thrown));
      return;
    }
    const texts: string[] = [];
    let delayMs = 0;
    for (const { seq, text } of events) {
      delayMs = isStopEvent(text) ? holdMs(reader) : 0;
      if (delayMs > 0) break;
      const told = toDialect(text, reader.dialect);
      if (told !== undefined) texts.push(told);
      reader.cursor = seq;
    }
    if (texts.length > 0) reader.sink.send(texts);
    // `send` may have found the client gone; the compiler does not know.
    if ((reader.state as Reader["state"]) === "stopped") return;
    if (delayMs > 0) wait(reader, delayMs, () => read(reader));
    else if (reader.sink.isFull()) pause(reader);
    else if (events.length > 0) wait(reader, 0, () => read(reader));
    else settle(reader);
  }

  function pause(reader: Reader): void {
    reader.state = "full";
    wait(reader, patienceMs, () => reader.sink.cut());
  }

  /** At the head, in the same tick: nothing can come between the last event read and the first one broadcast. */
  function settle(reader: Reader): void {
    reader.state = reader.sink.goLive === undefined ? "waiting" : "live";
    reader.sink.goLive?.();
  }

  function stop(reader: Reader): void {
    if (reader.state === "stopped") return;
    if (reader.state === "live") reader.sink.leaveLive?.();
    reader.state = "stopped";
    clearTimeout(reader.timer);
    const crowd = crowds.get(reader.sessionId);
    crowd?.readers.delete(reader);
    if (crowd?.readers.size === 0) crowds.delete(reader.sessionId);
    total -= 1;
  }

  function tell({ sessionId, seq, text }: ToldEvent): void {
    const crowd = crowds.get(sessionId);
    if (crowd === undefined) return;
    for (const reader of crowd.readers) if (reader.state === "waiting") read(reader);
    crowd.uncheckedEvents += 1;
    crowd.uncheckedBytes += text.length;
    if (crowd.uncheckedEvents < lagCheckEvents && crowd.uncheckedBytes < lagCheckBytes) return;
    crowd.uncheckedEvents = crowd.uncheckedBytes = 0;
    for (const reader of crowd.readers) {
      if (reader.state !== "live" || !reader.sink.isFull()) continue;
      // All up to here was handed to its socket; the rest it reads once it has swallowed that.
      reader.sink.leaveLive?.();
      reader.cursor = seq;
      pause(reader);
    }
  }

  const forgetStream = stream.onAppend(tell);

  return {
    follow(options) {
      const reader: Reader = {
        ...options,
        cursor: options.afterSeq,
        state: "reading",
        timer: undefined,
      };
      const { sessionId } = options;
      const crowd = crowds.get(sessionId) ?? {
        readers: new Set(),
        uncheckedEvents: 0,
        uncheckedBytes: 0,
      };
      crowds.set(sessionId, crowd);
      crowd.readers.add(reader);
      total += 1;
      read(reader);
      return {
        resume() {
          if (reader.state === "full") read(reader);
        },
        stop: () => stop(reader),
      };
    },
    noteAccepted: (sessionId) => void accepted.set(sessionId, nowMs()),
    count: () => total,
    close() {
      forgetStream();
      for (const crowd of [...crowds.values()])
        for (const reader of [...crowd.readers]) stop(reader);
    },
  };
}
