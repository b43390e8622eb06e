// A session while it is open in this process: its file, its lock, what the model has read, what the user
// allowed for the session, and its turns, one active and a bounded queue behind it. What a turn does is
// turn.ts; how a file looks is store/.
import { createId } from "../base/ids.ts";
import { OptaError } from "../protocol/error.ts";
import type { EventKind, EventPayload } from "../protocol/event.ts";
import type { PermissionRule } from "../protocol/permission.ts";
import type { SessionFile, SessionSnapshot } from "../protocol/session.ts";
import type { SessionLock, SessionStore } from "../store/session-store.ts";
import type { FileLedger } from "../tools/tool.ts";
import type { EventLog } from "./event-log.ts";
import { createPermissionDesk, type PermissionDesk } from "./permission.ts";

/** One submission and its way to cancel. */
export interface Turn {
  readonly turnId: string;
  readonly clientId: string;
  readonly writerId: string;
  readonly content: string;
  readonly mode: string;
  readonly abort: AbortController;
}

export interface Session {
  readonly id: string;
  readonly file: SessionFile;
  /** What the model has read so far. */
  readonly files: FileLedger;
  /** "Always for this session" answers. */
  readonly rules: PermissionRule[];
  readonly permissions: PermissionDesk;
  /** Tool calls that were abandoned by a cancel and are still being killed. */
  readonly leaving: Set<Promise<unknown>>;
  emit<K extends EventKind>(kind: K, payload: EventPayload<K>): void;
  snapshot(): SessionSnapshot;
  /**
   * Writes the file with the time of now, and a seq behind every event until the next save, so that a session
   * that is resumed after a crash never uses a seq again.
   * @param eventsToCome how many events will follow, where this is the turn's last save
   * @throws OptaError storage-full | storage-failed
   */
  save(eventsToCome?: number): Promise<void>;
  /** Runs `work` when the turns before it are done. @throws OptaError state-conflict when the queue is full */
  enqueue(turn: Turn, work: () => Promise<void>): number;
  /** Cancels one turn, or all; queued ones never start. */
  cancel(turnId?: string): { cancelledQueued: number; cancelledActive: boolean };
  /** Cancels, waits until nothing runs any more, frees the lock. */
  close(): Promise<void>;
}

/** More events than one step can have before the next save: its tokens, calls and results. */
const reservedEvents = 100_000;

/** Turns waiting behind the active one: more than a person queues, few enough to stay in memory. */
const queueLimit = 32;

export interface SessionOptions {
  readonly file: SessionFile;
  readonly lock: SessionLock;
  readonly store: SessionStore;
  readonly log: EventLog;
  readonly now: () => Date;
}

export function createSession(options: SessionOptions): Session {
  const { file, log } = options;
  const queued: Turn[] = [];
  let active: Turn | undefined;
  let idle: Promise<void> = Promise.resolve();
  const leaving = new Set<Promise<unknown>>();
  log.open(file.id, file.seq);

  const emit: Session["emit"] = (kind, payload) => log.append(file.id, kind, payload);
  const permissions = createPermissionDesk({
    requested: (payload) => emit("permission.request", payload),
    resolved: (payload) => emit("permission.resolved", payload),
  });

  /** A turn that never ran ends too: whoever submitted it waits for that. */
  function endUnstarted({ turnId, writerId, clientId }: Turn): void {
    emit("session.cancelled", { cancelled: 1, turnId });
    emit("turn.error", {
      turnId,
      writerId,
      clientId,
      message: "Turn cancelled",
      code: "cancelled",
    });
  }

  const session: Session = {
    id: file.id,
    file,
    files: new Map(),
    rules: [],
    permissions,
    leaving,
    emit,
    snapshot: () => ({
      sessionId: file.id,
      model: file.model,
      title: file.title,
      createdAt: file.metadata.createdAt,
      updatedAt: file.metadata.updatedAt,
      ...(active ? { activeTurnId: active.turnId } : {}),
      queuedTurns: queued.length,
      toolCallCount: file.toolCallCount,
      writerCount: active ? 1 : 0,
    }),
    async save(eventsToCome = reservedEvents) {
      file.updated = options.now().toISOString();
      file.metadata.updatedAt = file.updated;
      file.seq = log.lastSeq(file.id) + eventsToCome;
      await options.store.save(file);
    },
    enqueue(turn, work) {
      if (queued.length >= queueLimit) {
        throw new OptaError(
          "state-conflict",
          `session ${file.id} has ${queueLimit} turns waiting; wait for one to end`,
        );
      }
      queued.push(turn);
      const position = queued.length;
      idle = idle.then(async () => {
        const index = queued.indexOf(turn);
        if (index < 0) return; // cancelled while it waited
        queued.splice(index, 1);
        active = turn;
        try {
          await work();
        } finally {
          active = undefined;
          emit("session.updated", { snapshot: session.snapshot() });
        }
      });
      return position;
    },
    cancel(turnId) {
      const matches = (turn: Turn) => turnId === undefined || turn.turnId === turnId;
      const dropped = queued.filter(matches);
      for (const turn of dropped) {
        queued.splice(queued.indexOf(turn), 1);
        endUnstarted(turn);
      }
      const cancelledActive = active !== undefined && matches(active);
      if (cancelledActive) active?.abort.abort();
      return { cancelledQueued: dropped.length, cancelledActive };
    },
    async close() {
      session.cancel();
      await idle;
      await Promise.allSettled(leaving);
      options.lock.release();
    },
  };
  return session;
}

/** The file of a session that has no history yet. */
export function newSessionFile(options: {
  readonly id?: string | undefined;
  readonly workspace: string;
  readonly model: string;
  readonly title: string;
  readonly now: Date;
}): SessionFile {
  const time = options.now.toISOString();
  const { workspace, model } = options;
  return {
    id: options.id ?? createId(),
    title: options.title,
    messages: [],
    metadata: { workspace, model, createdAt: time, updatedAt: time },
    created: time,
    updated: time,
    model,
    cwd: workspace,
    tags: [],
    toolCallCount: 0,
    compacted: false,
    seq: 0,
  };
}
