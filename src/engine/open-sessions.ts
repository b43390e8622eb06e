// The sessions of this process: made, loaded, kept while they are busy, left to other processes while they rest.
// A resting session stays in memory, so that what the model has read and what the user allowed holds for its next
// turn, as long as nobody else wrote its file; the oldest of them are forgotten.
import { OptaError, toOptaError } from "../protocol/error.ts";
import type { SessionFile, SessionSnapshot } from "../protocol/session.ts";
import type { EventStore } from "../store/event-store.ts";
import type { SessionStore } from "../store/session-store.ts";
import type { EventLog } from "./event-log.ts";
import { completeHistory } from "./message-history.ts";
import { createSession, type Session } from "./session.ts";
import { settleProcesses } from "./settle-processes.ts";
import { endTurns, settleTurns } from "./settle-turns.ts";
import { resolveWorkspace } from "./workspace-directory.ts";

export interface OpenSessionsOptions {
  readonly store: SessionStore;
  readonly events: EventStore;
  readonly log: EventLog;
  readonly now: () => Date;
  readonly platform: string;
  readonly questionTimeoutMs: () => number;
  /** What went wrong where no caller waits for it. */
  readonly report: (what: string, error: OptaError) => void;
}

export interface OpenSessions {
  /** A session that is in memory, busy or at rest. */
  find(sessionId: string): Session | undefined;
  all(): readonly Session[];
  /**
   * A session of that id: the stored one, else the one that `make` gives.
   * @throws OptaError session-locked | session-corrupt | storage-full | storage-failed | what `make` throws
   */
  create(sessionId: string, make: () => Promise<SessionFile>): Promise<SessionSnapshot>;
  /**
   * Runs `work` with the stored session held; it rests again where `work` began nothing.
   * @throws OptaError not-found and as `create`
   */
  whileHeld<T>(sessionId: string, work: (session: Session) => T | Promise<T>): Promise<T>;
  /**
   * Ends what runs in it, then deletes file and events.
   * @param endOthers ends what is not the session's own; nothing else of it begins meanwhile
   * @throws OptaError not-found | session-locked
   */
  delete(sessionId: string, endOthers: () => Promise<void>): Promise<void>;
  /** Ends every turn that a crash left unfinished (promises E9), of all sessions. */
  settleAll(): Promise<void>;
  close(reason?: OptaError): Promise<void>;
}

/** Sessions at rest that are kept in memory: as many as somebody works in at once. */
const restingLimit = 32;

export function createOpenSessions(options: OpenSessionsOptions): OpenSessions {
  const { store, events, log, now } = options;
  /** In the order of their last use, the oldest first. */
  const sessions = new Map<string, Session>();
  /** What is under way for a session: one thing at a time. */
  const turnstile = new Map<string, Promise<unknown>>();

  function oneAtATime<T>(sessionId: string, work: () => Promise<T>): Promise<T> {
    const before = turnstile.get(sessionId) ?? Promise.resolve();
    const mine = before.then(work, work);
    turnstile.set(sessionId, mine);
    const leave = () => {
      if (turnstile.get(sessionId) === mine) turnstile.delete(sessionId);
    };
    mine.then(leave, leave);
    return mine;
  }

  function forget(sessionId: string): void {
    sessions.delete(sessionId);
    log.forget(sessionId);
  }

  function remember(session: Session): Session {
    sessions.delete(session.id);
    sessions.set(session.id, session);
    // One for which something is under way is not idle, whatever it looks like.
    const idle = [...sessions.values()].filter(
      (each) => each !== session && !each.isBusy() && !turnstile.has(each.id),
    );
    for (const each of idle.slice(0, Math.max(0, idle.length - restingLimit))) {
      each.rest();
      forget(each.id);
    }
    return session;
  }

  /** Gives the session back to other processes once nothing of it runs. */
  function onIdle(sessionId: string, failed: unknown): void {
    void oneAtATime(sessionId, async () => {
      const session = sessions.get(sessionId);
      if (session === undefined || session.isBusy()) return;
      await Promise.allSettled(session.leaving);
      if (failed === undefined) return rest(session);
      options.report(`a turn of session ${sessionId} could not be ended`, toOptaError(failed));
      if (session.isBusy()) return;
      forget(sessionId);
      session.rest();
      // Loaded anew it is settled; where that fails, too, the next one who asks for the session tries again.
      await load(sessionId).then(rest, (thrown: unknown) => {
        options.report(`session ${sessionId} could not be settled`, toOptaError(thrown));
      });
    });
  }

  /** Writes where the stream is, when that has moved since the file was saved, and frees the lock. */
  async function rest(session: Session): Promise<void> {
    if (session.isBusy()) return;
    if (log.lastSeq(session.id) !== session.file.seq && session.stamp() !== undefined) {
      await session.savePosition().catch((error: unknown) => {
        options.report(`session ${session.id} could not be saved`, toOptaError(error));
      });
    }
    session.rest();
    if (sessions.get(session.id) === session) remember(session);
  }

  /** After work that began no turn. What a single command holds it keeps until its turn, or its end. */
  async function restUnlessOwn(session: Session): Promise<void> {
    if (events.isDurable) await rest(session);
  }

  function open(file: SessionFile, lock: Awaited<ReturnType<SessionStore["lock"]>>): Session {
    const session = createSession({
      file,
      stamp: store.stamp(file.id),
      lock,
      store,
      events,
      log,
      now,
      questionTimeoutMs: options.questionTimeoutMs,
      onIdle: ({ failed }) => onIdle(file.id, failed),
    });
    return session;
  }

  /** Whoever follows the stream from here on needs what came before. */
  function tellSnapshot(session: Session): void {
    const { messages } = session.file;
    session.emit("session.snapshot", { snapshot: session.snapshot(), messages });
  }

  async function load(sessionId: string): Promise<Session> {
    const lock = await store.lock(sessionId);
    try {
      const known = sessions.get(sessionId);
      if (known !== undefined && known.stamp() === store.stamp(sessionId)) {
        known.hold(lock);
        return remember(known);
      }
      const loaded = await store.load(sessionId);
      // One that is gone is told to whoever wants to work there; the session can be read and settled without it.
      const given = loaded.metadata.workspace;
      const workspace = await resolveWorkspace(given).catch(() => given);
      const file = {
        ...loaded,
        metadata: { ...loaded.metadata, workspace },
        messages: completeHistory(loaded.messages),
      };
      const session = open(file, lock);
      if (log.open(file.id, file.seq).begins) tellSnapshot(session);
      if (settleProcesses(sessionId, { events, emit: session.emit, now }) > 0) {
        await session.savePosition();
      }
      await settleTurns(session, { events, platform: options.platform, now });
      return remember(session);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** A session of an id that nobody has; undefined where there is one. */
  async function makeNow(
    sessionId: string,
    make: () => Promise<SessionFile>,
  ): Promise<Session | undefined> {
    if (isThere(sessionId)) return undefined;
    const file = await make();
    const lock = await store.lock(sessionId);
    try {
      if (isThere(sessionId)) {
        // Another process was faster.
        lock.release();
        return undefined;
      }
      // What is left of one whose file was removed is none of this one's past.
      forget(sessionId);
      events.delete(sessionId);
      const session = open(file, lock);
      log.open(file.id, file.seq);
      // Whoever is told of a session finds it again after a crash: its file comes before its first event.
      if (events.isDurable) await session.save(1);
      tellSnapshot(session);
      return remember(session);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  function isThere(sessionId: string): boolean {
    return sessions.get(sessionId)?.isHeld() === true || store.stamp(sessionId) !== undefined;
  }

  async function useNow(sessionId: string): Promise<Session> {
    const known = sessions.get(sessionId);
    return known?.isHeld() ? known : load(sessionId);
  }

  /** Whoever follows the turns learns that they are over, also where the session's file is out of reach. */
  function endWithoutFile(sessionId: string, why: OptaError): void {
    try {
      log.open(sessionId, log.lastSeq(sessionId));
      const emit: Session["emit"] = (kind, payload) => log.append(sessionId, kind, payload);
      settleProcesses(sessionId, { events, emit, now });
      const turns = events.unsettledTurns(sessionId);
      endTurns(turns, events.readControl.bind(events, sessionId), { sessionId, emit });
      // A file that is gone or broken takes no message any more; one that is locked does later.
      if (why.code === "session-locked") return;
      for (const { turnId } of turns) events.noteMessageSaved(turnId);
    } catch (thrown) {
      options.report(`session ${sessionId} could not be settled`, toOptaError(thrown));
    }
  }

  return {
    find: (sessionId) => sessions.get(sessionId),
    all: () => [...sessions.values()],
    create: (sessionId, make) =>
      oneAtATime(sessionId, async () => {
        const session = (await makeNow(sessionId, make)) ?? (await useNow(sessionId));
        const snapshot = session.snapshot();
        await restUnlessOwn(session);
        return snapshot;
      }),
    whileHeld: (sessionId, work) =>
      oneAtATime(sessionId, async () => {
        const session = await useNow(sessionId);
        try {
          return await work(session);
        } finally {
          await restUnlessOwn(session);
        }
      }),
    delete: (sessionId, endOthers) =>
      oneAtATime(sessionId, async () => {
        await endOthers();
        const session = sessions.get(sessionId);
        const gone = new OptaError("not-found", "the session was deleted", "opta sessions list");
        await session?.close(gone);
        const isKnown = session !== undefined || log.lastSeq(sessionId) > 0;
        await store.delete(sessionId).catch((thrown: unknown) => {
          // Its file went before; what is left of it goes now.
          if (toOptaError(thrown).code !== "not-found" || !isKnown) throw thrown;
        });
        events.delete(sessionId);
        forget(sessionId);
      }),
    async settleAll() {
      for (const sessionId of events.sessionsToSettle()) {
        try {
          const session = await oneAtATime(sessionId, () => useNow(sessionId));
          session.rest();
        } catch (thrown) {
          const error = toOptaError(thrown);
          options.report(`the file of session ${sessionId} could not be settled`, error);
          endWithoutFile(sessionId, error);
        }
      }
    },
    async close(reason) {
      // One whose end cannot be stored must not keep the others from theirs.
      const closing = sessions.values().map((session) => session.close(reason));
      for (const closed of await Promise.allSettled(closing)) {
        if (closed.status === "fulfilled") continue;
        options.report("a session could not be closed", toOptaError(closed.reason));
      }
    },
  };
}
