// Events of a process that nobody outlives (`opta do`): a bounded tail per session, for a reader that subscribes late.
import type { EventStore, StoredText } from "./event-store.ts";

/** A client subscribes before it submits, so this is ample. */
const retainedEvents = 10_000;

interface Stream {
  /** The newest events, oldest first; contiguous. */
  tail: StoredText[];
  lastSeq: number;
  readonly turnsByKey: Map<string, string>;
}

export function createMemoryEventStore(): EventStore {
  const streams = new Map<string, Stream>();

  function streamOf(sessionId: string): Stream {
    const existing = streams.get(sessionId);
    if (existing) return existing;
    const created: Stream = { tail: [], lastSeq: 0, turnsByKey: new Map() };
    streams.set(sessionId, created);
    return created;
  }

  return {
    isDurable: false,
    open(sessionId, fileSeq) {
      const stream = streamOf(sessionId);
      const begins = fileSeq === 0 && stream.lastSeq === 0;
      if (fileSeq > stream.lastSeq) {
        stream.lastSeq = fileSeq;
        stream.tail = [];
      }
      return { lastSeq: stream.lastSeq, begins };
    },
    lastSeq: (sessionId, fileSeq = 0) => Math.max(streams.get(sessionId)?.lastSeq ?? 0, fileSeq),
    append({ sessionId, seq, text, submission }) {
      const stream = streamOf(sessionId);
      stream.lastSeq = seq;
      stream.tail.push({ seq, text });
      // Trimmed in halves: one copy per retainedEvents appends instead of one per append.
      if (stream.tail.length >= 2 * retainedEvents) stream.tail = stream.tail.slice(retainedEvents);
      if (submission?.idempotencyKey === undefined) return;
      stream.turnsByKey.set(submission.idempotencyKey, submission.turnId);
    },
    read(sessionId, afterSeq, limit) {
      const { tail, lastSeq } = streamOf(sessionId);
      const start = Math.max(0, afterSeq - (lastSeq - tail.length));
      return tail.slice(start, start + limit);
    },
    readControl: () => [],
    noteFileSeq: () => undefined,
    turnWithKey: (sessionId, key) => streams.get(sessionId)?.turnsByKey.get(key),
    noteMessageSaved: () => undefined,
    unsettledTurns: () => [],
    runningProcesses: () => [],
    sessionsToSettle: () => [],
    delete: (sessionId) => void streams.delete(sessionId),
    close: () => undefined,
  };
}
