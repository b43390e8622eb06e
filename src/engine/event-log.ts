// The ordered record of what happens in sessions, and the only place that stamps `seq`: append, then tell.
// This one keeps a bounded tail in memory for the embedded engine; what it promises (each event once, in
// order, no gap) is what a durable log must keep as well.
import { createAsyncQueue, type AsyncQueue } from "../base/async-queue.ts";
import type { EventKind, EventPayload, OptaEvent } from "../protocol/event.ts";
import { OptaError } from "../protocol/error.ts";

export interface EventLog {
  /** Begins a session's stream behind `lastSeq`; without it a session starts at 1. */
  open(sessionId: string, lastSeq: number): void;
  append<K extends EventKind>(sessionId: string, kind: K, payload: EventPayload<K>): void;
  /** The seq of the last event; 0 before the first. */
  lastSeq(sessionId: string): number;
  /**
   * Every event with seq > afterSeq, then live ones until the signal aborts.
   * @throws OptaError state-conflict when afterSeq is before what is kept or ahead of the head
   */
  subscribe(sessionId: string, afterSeq: number, signal: AbortSignal): AsyncIterable<OptaEvent>;
}

/** Events kept for late subscribers, per session: a client subscribes before it submits, so this is ample. */
const retainedEvents = 10_000;

interface Stream {
  /** The newest events, oldest first; contiguous. */
  tail: OptaEvent[];
  lastSeq: number;
  readonly subscribers: Set<AsyncQueue<OptaEvent>>;
}

export function createEventLog(options: {
  readonly daemonId: string;
  readonly now: () => Date;
}): EventLog {
  const streams = new Map<string, Stream>();

  function streamOf(sessionId: string): Stream {
    const existing = streams.get(sessionId);
    if (existing) return existing;
    const created: Stream = { tail: [], lastSeq: 0, subscribers: new Set() };
    streams.set(sessionId, created);
    return created;
  }

  return {
    open(sessionId, lastSeq) {
      streamOf(sessionId).lastSeq = lastSeq;
    },
    append(sessionId, kind, payload) {
      const stream = streamOf(sessionId);
      stream.lastSeq += 1;
      // The union cannot be narrowed by a generic kind; `append`'s own signature ties payload to kind.
      const event = {
        v: "3",
        event: kind,
        daemonId: options.daemonId,
        sessionId,
        seq: stream.lastSeq,
        ts: options.now().toISOString(),
        payload,
      } as unknown as OptaEvent;
      stream.tail.push(event);
      // Trimmed in halves: one copy per retainedEvents appends instead of one per append.
      if (stream.tail.length >= 2 * retainedEvents) stream.tail = stream.tail.slice(retainedEvents);
      for (const subscriber of stream.subscribers) subscriber.push(event);
    },
    lastSeq: (sessionId) => streamOf(sessionId).lastSeq,
    subscribe(sessionId, afterSeq, signal) {
      const stream = streamOf(sessionId);
      const oldestSeq = stream.lastSeq - stream.tail.length + 1;
      if (afterSeq > stream.lastSeq || afterSeq < oldestSeq - 1) {
        throw new OptaError(
          "state-conflict",
          `session ${sessionId} has events ${oldestSeq} to ${stream.lastSeq}; cannot continue after ${afterSeq}`,
        );
      }
      const queue = createAsyncQueue<OptaEvent>();
      for (const event of stream.tail.slice(afterSeq - oldestSeq + 1)) queue.push(event);
      stream.subscribers.add(queue);
      const leave = () => {
        stream.subscribers.delete(queue);
        queue.end();
      };
      if (signal.aborted) leave();
      else signal.addEventListener("abort", leave, { once: true });
      return queue;
    },
  };
}
