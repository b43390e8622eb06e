// A session in this process: its file, what the model has read, what the user allowed for the session, and its
// turns, one active and a bounded queue behind it. While it is busy it is held (locked against other processes);
// then it rests. What a turn does is turn.ts; how a file looks is store/; which sessions there are, open-sessions.ts.
import { createId } from "../base/ids.ts";
import { OptaError } from "../protocol/error.ts";
import type { EventKind, EventPayload } from "../protocol/event.ts";
import type { Message } from "../protocol/message.ts";
import type { PermissionRule } from "../protocol/permission.ts";
import type { SessionFile, SessionSnapshot } from "../protocol/session.ts";
import type { EventStore, Submission } from "../store/event-store.ts";
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
  /** The same key is the same turn. */
  readonly idempotencyKey: string | undefined;
  /** Aborted with the OptaError that the turn ends with. */
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
  /** @throws OptaError storage-full | storage-failed */
  emit<K extends EventKind>(kind: K, payload: EventPayload<K>, submission?: Submission): void;
  snapshot(): SessionSnapshot;
  /**
   * Writes the file with the time of now, and a seq behind every event until the next save, so that a process
   * that goes on with the session after a crash never uses a seq again.
   * @param eventsToCome how many events will follow, where this is the turn's last save
   * @throws OptaError storage-full | storage-failed
   */
  save(eventsToCome?: number): Promise<void>;
  /** Writes where the stream is, at rest; when the session was last used stays as it is. Errors as `save`. */
  savePosition(): Promise<void>;
  /** The file as it was last read or written here; see SessionStore.stamp. */
  stamp(): string | undefined;
  /** True while this process is the only one that may write the session. */
  isHeld(): boolean;
  /** True while a turn runs or waits, or something else keeps the session (background processes). */
  isBusy(): boolean;
  /** Queued turns and the running one. */
  turnCount(): { readonly queued: number; readonly active: boolean };
  /** @param lock becomes the session's, and is freed when it rests */
  hold(lock: SessionLock): void;
  /** Frees the lock, unless the session is busy; what is in memory stays good as long as the file does. */
  rest(): void;
  /** Keeps the session busy until the result is called. */
  keepBusy(): () => void;
  /**
   * Accepts the turn durably (turn.queued), then runs `work` when the turns before it are done.
   * @returns its position in the queue, from 1
   * @throws OptaError state-conflict when the queue is full | storage-full | storage-failed
   */
  enqueue(turn: Turn, work: () => Promise<void>): number;
  /** Cancels the turns that `which` chooses; queued ones never start. */
  cancel(
    which: (turn: Turn) => boolean,
    reason?: OptaError,
  ): { cancelledQueued: number; cancelledActive: boolean };
  /** Cancels everything, waits until nothing runs any more, frees the lock. */
  close(reason?: OptaError): Promise<void>;
}

/** More events than one step can have before the next save: its tokens, calls and results. */
const reservedEvents = 100_000;

/** Turns waiting behind the active one: more than a person queues, few enough to stay in memory. */
const queueLimit = 32;

export interface SessionOptions {
  readonly file: SessionFile;
  /** See Session.stamp. */
  readonly stamp: string | undefined;
  readonly lock: SessionLock;
  readonly store: SessionStore;
  readonly events: EventStore;
  readonly log: EventLog;
  readonly now: () => Date;
  readonly questionTimeoutMs: () => number;
  /** Nothing runs or waits in the session any more. `failed`: a turn's end could not be stored. */
  readonly onIdle: (outcome: { readonly failed: unknown }) => void;
}

export function createSession(options: SessionOptions): Session {
  const { file, log, events } = options;
  const queued: Turn[] = [];
  let active: Turn | undefined;
  let idle: Promise<void> = Promise.resolve();
  let lock: SessionLock | undefined = options.lock;
  let stamp = options.stamp;
  let savedSeq = file.seq;
  let keepers = 0;
  let failed: unknown;
  const leaving = new Set<Promise<unknown>>();

  const emit: Session["emit"] = (kind, payload, submission) =>
    log.append(file.id, kind, payload, submission);
  const permissions = createPermissionDesk({
    requested: (payload) => emit("permission.request", payload),
    resolved: (payload) => emit("permission.resolved", payload),
    timeoutMs: options.questionTimeoutMs,
  });

  const isBusy = () => active !== undefined || queued.length > 0 || keepers > 0;

  /** A turn that never ran ends too: whoever submitted it waits for that. */
  function endUnstarted({ turnId, writerId, clientId }: Turn, reason: OptaError): void {
    emit("session.cancelled", { cancelled: 1, turnId });
    emit("turn.error", {
      turnId,
      writerId,
      clientId,
      message: reason.message,
      code: reason.code,
      ...(reason.hint === undefined ? {} : { hint: reason.hint }),
    });
  }

  /** Whatever becomes of the release, it is no longer ours to count on. */
  function free(): void {
    const held = lock;
    lock = undefined;
    held?.release();
  }

  function noteIdle(): void {
    if (isBusy()) return;
    const outcome = { failed };
    failed = undefined;
    options.onIdle(outcome);
  }

  async function write(eventsToCome: number): Promise<void> {
    file.seq = log.lastSeq(file.id) + eventsToCome;
    const { seq } = file;
    events.noteFileSeq(file.id, { saved: savedSeq, next: seq });
    stamp = await options.store.save(file);
    savedSeq = seq;
  }

  async function runNext(turn: Turn, work: () => Promise<void>): Promise<void> {
    const index = queued.indexOf(turn);
    if (index < 0) return; // cancelled while it waited
    queued.splice(index, 1);
    active = turn;
    try {
      await work();
    } catch (error) {
      failed = error;
    }
    active = undefined;
    try {
      emit("session.updated", { snapshot: session.snapshot() });
    } catch (error) {
      failed ??= error;
    }
    noteIdle();
  }

  const session: Session = {
    id: file.id,
    file,
    files: new Map(),
    rules: [],
    permissions,
    leaving,
    emit,
    snapshot: () => snapshotOf(file, { active, queuedTurns: queued.length }),
    save(eventsToCome = reservedEvents) {
      file.updated = options.now().toISOString();
      file.metadata.updatedAt = file.updated;
      return write(eventsToCome);
    },
    savePosition: () => write(0),
    stamp: () => stamp,
    isHeld: () => lock !== undefined,
    isBusy,
    turnCount: () => ({ queued: queued.length, active: active !== undefined }),
    hold(taken) {
      lock = taken;
    },
    rest() {
      if (isBusy()) return;
      free();
    },
    keepBusy() {
      keepers += 1;
      let kept = true;
      return () => {
        if (!kept) return;
        kept = false;
        keepers -= 1;
        noteIdle();
      };
    },
    enqueue(turn, work) {
      if (queued.length >= queueLimit) {
        throw new OptaError(
          "state-conflict",
          `session ${file.id} has ${queueLimit} turns waiting; wait for one to end`,
        );
      }
      const { turnId, clientId, writerId, content, idempotencyKey } = turn;
      const position = queued.length + 1;
      emit(
        "turn.queued",
        { turnId, clientId, writerId, queueSize: position, position },
        { turnId, clientId, writerId, content, idempotencyKey },
      );
      queued.push(turn);
      idle = idle.then(() => runNext(turn, work));
      return position;
    },
    cancel(which, reason = new OptaError("cancelled", "Turn cancelled")) {
      const dropped = queued.filter(which);
      for (const turn of dropped) {
        // Stored first: one whose end cannot be stored stays where it is.
        endUnstarted(turn, reason);
        queued.splice(queued.indexOf(turn), 1);
      }
      const cancelledActive = active !== undefined && which(active);
      if (cancelledActive) active?.abort.abort(reason);
      if (dropped.length > 0) noteIdle();
      return { cancelledQueued: dropped.length, cancelledActive };
    },
    async close(reason) {
      session.cancel(() => true, reason);
      await idle;
      await Promise.allSettled(leaving);
      free();
    },
  };
  return session;
}

/** What clients see of a session at a glance. */
export function snapshotOf(
  file: SessionFile,
  { active, queuedTurns }: { readonly active?: Turn | undefined; readonly queuedTurns: number } = {
    queuedTurns: 0,
  },
): SessionSnapshot {
  return {
    sessionId: file.id,
    model: file.model,
    title: file.title,
    createdAt: file.metadata.createdAt,
    updatedAt: file.metadata.updatedAt,
    ...(active ? { activeTurnId: active.turnId } : {}),
    queuedTurns,
    toolCallCount: file.toolCallCount,
    writerCount: active ? 1 : 0,
  };
}

/** The file of a session that has no history yet. */
export function newSessionFile(options: {
  readonly id?: string | undefined;
  readonly workspace: string;
  /** PATH for tools. */
  readonly path: string | undefined;
  readonly model: string;
  readonly title: string;
  readonly messages: readonly Message[];
  readonly now: Date;
}): SessionFile {
  const time = options.now.toISOString();
  const { workspace, model, path } = options;
  return {
    id: options.id ?? createId(),
    title: options.title,
    messages: [...options.messages],
    metadata: {
      workspace,
      model,
      createdAt: time,
      updatedAt: time,
      ...(path === undefined ? {} : { path }),
    },
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
