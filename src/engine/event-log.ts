// The ordered record of what happens in sessions, and the only place that stamps `seq`: append, then tell. What is
// stored is byte for byte what is told. Where events are kept is the store's business (store/event-store.ts).
import { createAsyncQueue, type AsyncQueue } from "../base/async-queue.ts";
import { OptaError } from "../protocol/error.ts";
import type { EventKind, EventPayload, OptaEvent } from "../protocol/event.ts";
import type { EventRecord, EventStore, StoredText, Submission } from "../store/event-store.ts";

/** An event as it was stored. */
export interface ToldEvent {
  readonly sessionId: string;
  readonly seq: number;
  readonly kind: EventKind;
  readonly text: string;
}

/** What readers outside the engine see of the log. */
export interface EventStream {
  /** The seq of a session's last event; 0 for a session that has none here. */
  lastSeq(sessionId: string): number;
  /**
   * Stored events behind `afterSeq`, at most `limit`, contiguous from afterSeq + 1; empty at the head.
   * @throws OptaError before-retention | ahead-of-head
   */
  read(sessionId: string, afterSeq: number, limit: number): readonly StoredText[];
  /** The seq from which events can be read, for a cursor that `read` refused. */
  firstSeqAfter(sessionId: string, afterSeq: number): number;
  /** Called for each event after it was stored. @returns takes the listener back */
  onAppend(listener: (event: ToldEvent) => void): () => void;
}

export interface EventLog extends EventStream {
  /** Begins or continues a session's stream; see EventStore.open. */
  open(sessionId: string, fileSeq: number): { readonly begins: boolean };
  /** @throws OptaError storage-full | storage-failed: then nothing was stored and nobody was told */
  append<K extends EventKind>(
    sessionId: string,
    kind: K,
    payload: EventPayload<K>,
    submission?: Submission,
  ): void;
  /** Every event with seq > afterSeq, then live ones until the signal aborts. Errors as `read`. */
  subscribe(sessionId: string, afterSeq: number, signal: AbortSignal): AsyncIterable<OptaEvent>;
  /** The session is closed: forgets its place; the store knows it. */
  forget(sessionId: string): void;
}

/** Told as they come and worth nothing alone: a power cut may take the last ones. */
const streamedKinds: ReadonlySet<EventKind> = new Set([
  "turn.token",
  "turn.thinking",
  "turn.progress",
  "background.output",
]);

/** The session's file, or its next event, is synced before anything is done because of them. */
const lazyKinds: ReadonlySet<EventKind> = new Set(["session.snapshot", "turn.start"]);

/** They end or settle something, so that they are stored even on a full disk. */
const closingKinds: ReadonlySet<EventKind> = new Set([
  "tool.result",
  "permission.resolved",
  "turn.done",
  "turn.error",
  "session.updated",
  "session.cancelled",
  "background.status",
]);

const replayBatch = 512;

export function createEventLog(options: {
  readonly daemonId: string;
  readonly now: () => Date;
  readonly store: EventStore;
}): EventLog {
  const { store, now, daemonId } = options;
  const positions = new Map<string, number>();
  const queues = new Map<string, Set<AsyncQueue<OptaEvent>>>();
  const listeners = new Set<(event: ToldEvent) => void>();

  const lastSeq = (sessionId: string) => positions.get(sessionId) ?? store.lastSeq(sessionId);

  function read(sessionId: string, afterSeq: number, limit: number): readonly StoredText[] {
    const head = lastSeq(sessionId);
    if (afterSeq === head) return [];
    if (afterSeq > head) {
      throw new OptaError(
        "ahead-of-head",
        `session ${sessionId} has events up to ${head}; there is nothing after ${afterSeq} to wait for`,
        `opta daemon events ${sessionId} --after ${head}`,
      );
    }
    const events = store.read(sessionId, afterSeq, limit);
    if (events[0]?.seq === afterSeq + 1) return contiguous(events);
    const first = events[0]?.seq ?? head + 1;
    throw new OptaError(
      "before-retention",
      `events ${afterSeq + 1} to ${first - 1} of session ${sessionId} are not in the daemon's log: dropped for their age, or another process's`,
      `opta daemon events ${sessionId} --after ${first - 1}`,
    );
  }

  return {
    lastSeq,
    read,
    firstSeqAfter: (sessionId, afterSeq) =>
      store.read(sessionId, afterSeq, 1)[0]?.seq ?? lastSeq(sessionId) + 1,
    onAppend(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    open(sessionId, fileSeq) {
      const place = store.open(sessionId, fileSeq);
      positions.set(sessionId, place.lastSeq);
      return place;
    },
    append(sessionId, kind, payload, submission) {
      const seq = lastSeq(sessionId) + 1;
      const ts = now().toISOString();
      // The union cannot be narrowed by a generic kind; `append`'s own signature ties payload to kind. The order
      // of the keys is relied on (protocol/dialect.ts).
      const event = {
        v: "3",
        event: kind,
        daemonId,
        sessionId,
        seq,
        ts,
        payload,
      } as unknown as OptaEvent;
      const text = JSON.stringify(event);
      store.append({
        sessionId,
        seq,
        text,
        isControl: !streamedKinds.has(kind),
        isLazy: lazyKinds.has(kind),
        isClosing: closingKinds.has(kind),
        submission,
        endsTurn: endOf(event),
        process: event.event === "background.status" ? processOf(event.payload) : undefined,
      });
      positions.set(sessionId, seq);
      for (const queue of queues.get(sessionId) ?? []) queue.push(event);
      for (const listener of listeners) listener({ sessionId, seq, kind, text });
    },
    subscribe(sessionId, afterSeq, signal) {
      const queue = createAsyncQueue<OptaEvent>();
      let cursor = afterSeq;
      for (;;) {
        const events = read(sessionId, cursor, replayBatch);
        for (const { text } of events) queue.push(JSON.parse(text) as OptaEvent);
        cursor = events.at(-1)?.seq ?? cursor;
        if (events.length === 0) break;
      }
      const subscribed = queues.get(sessionId) ?? new Set();
      queues.set(sessionId, subscribed.add(queue));
      const leave = () => {
        subscribed.delete(queue);
        if (subscribed.size === 0) queues.delete(sessionId);
        queue.end();
      };
      if (signal.aborted) leave();
      else signal.addEventListener("abort", leave, { once: true });
      return queue;
    },
    forget: (sessionId) => void positions.delete(sessionId),
  };
}

/** A turn that the user took back while it waited leaves nothing; one that ran has its words in the file by then. */
function endOf(event: OptaEvent): EventRecord["endsTurn"] {
  if (event.event === "turn.done") return { turnId: event.payload.turnId, takesBack: false };
  if (event.event !== "turn.error") return undefined;
  return { turnId: event.payload.turnId, takesBack: event.payload.code === "cancelled" };
}

function processOf({ process: { processId, state } }: EventPayload<"background.status">) {
  return { processId, isRunning: state === "running" };
}

/** Up to the first gap: what another process wrote meanwhile is not here. */
function contiguous(events: readonly StoredText[]): readonly StoredText[] {
  const gap = events.findIndex(({ seq }, index) => index > 0 && seq !== events[index - 1]!.seq + 1);
  return gap < 0 ? events : events.slice(0, gap);
}
