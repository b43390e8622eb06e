// The contract of event storage: what the engine's event log keeps, in memory (store/memory-event-store.ts) or so
// that it outlives the process (store/sqlite-event-store.ts). Stores texts it does not read; `seq` comes from the log.

/** One event on its way to storage. */
export interface EventRecord {
  readonly sessionId: string;
  readonly seq: number;
  /** The envelope's JSON: what is stored is what every client gets. */
  readonly text: string;
  /** Kept even when the power fails right after, and found again without reading tokens. */
  readonly isControl: boolean;
  /** A control event that may wait for the sync of the next one: nothing is done because of it before that. */
  readonly isLazy?: boolean | undefined;
  /** Accepted when the disk is full: it ends or settles something. */
  readonly isClosing: boolean;
  /** The turn that this event accepts, stored with it in one commit. */
  readonly submission?: Submission | undefined;
  /** The turn that this event ends; `takesBack`: what the user said in it is not to reach the session's file any more. */
  readonly endsTurn?: { readonly turnId: string; readonly takesBack: boolean } | undefined;
  /** The background process that this event tells of. */
  readonly process?: { readonly processId: string; readonly isRunning: boolean } | undefined;
}

export interface Submission {
  readonly turnId: string;
  readonly clientId: string;
  readonly writerId: string;
  /** What the user said: kept until it is in the session's file, or taken back. */
  readonly content: string;
  readonly idempotencyKey: string | undefined;
}

/** A turn that a crash left: without its end, or without its message in the session's file. */
export interface UnsettledTurn {
  readonly turnId: string;
  readonly clientId: string;
  readonly writerId: string;
  /** The seq of its turn.queued. */
  readonly seq: number;
  readonly hasEnded: boolean;
  /** Undefined when the session's file has it, or need not have it. */
  readonly content: string | undefined;
}

export interface StoredText {
  readonly seq: number;
  readonly text: string;
}

export interface EventStore {
  /** True when events outlive the process. */
  readonly isDurable: boolean;
  /**
   * Where a session's stream goes on, and makes it ready to be written.
   * @param fileSeq what the session's file says: another process may have gone on from there
   * @returns `begins`: earlier events are not here, so that whoever reads needs a snapshot first
   */
  open(sessionId: string, fileSeq: number): { readonly lastSeq: number; readonly begins: boolean };
  /** The seq of the last event as `open` would find it, changing nothing. */
  lastSeq(sessionId: string, fileSeq?: number): number;
  /** @throws OptaError storage-full | storage-failed: then the event is not stored */
  append(record: EventRecord): void;
  /**
   * At most `limit` events behind `afterSeq`, in order. Where the first one is not afterSeq + 1, what lies
   * between is no longer kept.
   */
  read(sessionId: string, afterSeq: number, limit: number): readonly StoredText[];
  /** The texts of control events behind `afterSeq`. */
  readControl(sessionId: string, afterSeq: number): readonly string[];
  /**
   * To be called before the session's file is written.
   * @param saved the seq that the file has now
   * @param next the one it is about to get; a crash leaves one of the two
   */
  noteFileSeq(sessionId: string, seqs: { readonly saved: number; readonly next: number }): void;
  /** The turn that was accepted with this key. */
  turnWithKey(sessionId: string, idempotencyKey: string): string | undefined;
  /** The turn's message is in the session's file now. */
  noteMessageSaved(turnId: string): void;
  /** In the order of their submission. */
  unsettledTurns(sessionId: string): readonly UnsettledTurn[];
  /** The texts of the last events of background processes that were last told to run, in their order. */
  runningProcesses(sessionId: string): readonly string[];
  /** Those with a turn that is not settled, or a process that was last told to run. */
  sessionsToSettle(): readonly string[];
  /** Forgets the session. */
  delete(sessionId: string): void;
  close(): void;
}
