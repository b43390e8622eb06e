// Processes that clients start beside a session's turns: which there are, what they printed last, and the events
// that tell of both (contracts/daemon-v3.md section 2). How a process is started and ended comes in as an argument;
// who may start one, and in which directory, is the caller's.
import { settleWithin } from "../base/clock.ts";
import { createId } from "../base/ids.ts";
import type { BackgroundProcess, killSignals } from "../protocol/background.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";
import type { EventPayload } from "../protocol/event.ts";
import type { CheckedParams, OperationResult } from "../protocol/operations.ts";
import {
  type BackgroundOutput,
  createBackgroundOutput,
  type OutputStream,
} from "./background-output.ts";

type Signal = (typeof killSignals)[number];

/** Implemented in tools/background-process.ts. @throws when the process cannot be started */
export type StartBackgroundProcess = (options: {
  readonly command: string;
  /** Absolute. */
  readonly directory: string;
  /** PATH for the process; its starter's own where undefined. */
  readonly path: string | undefined;
  /** The buffer is reused after the call; none comes after `close`. */
  onOutput(stream: OutputStream, bytes: Uint8Array): void;
}) => RunningProcess;

export interface RunningProcess {
  readonly pid: number;
  /** Never rejects. */
  readonly exited: Promise<{
    readonly exitCode: number | undefined;
    readonly signal: string | undefined;
  }>;
  /** Resolves when no process holds the outputs any more. */
  readonly outputEnded: Promise<void>;
  /** Ends the whole tree: `signal`, SIGKILL after `graceMs`. Called at least once, again to be quicker. Never rejects. */
  end(options: { readonly signal: Signal; readonly graceMs: number }): Promise<unknown>;
  /** Called once, after `end`. */
  close(): Promise<void>;
}

export interface BackgroundOptions {
  readonly start: StartBackgroundProcess;
  readonly now: () => Date;
  /** May throw OptaError or StorageError (the disk is full): then the process goes on, and is not told of. */
  emit<K extends "background.output" | "background.status">(
    sessionId: string,
    kind: K,
    payload: EventPayload<K>,
  ): void;
  /** Called when the last running process of a session has ended, after its last event. */
  readonly onIdle?: (sessionId: string) => void;
}

export interface BackgroundStart {
  readonly sessionId: string;
  readonly command: string;
  readonly label?: string | undefined;
  /** Absolute. */
  readonly directory: string;
  readonly path?: string | undefined;
  /** 0: no limit. */
  readonly timeoutMs: number;
}

/** With a sessionId a process of another session is unknown. */
type Named = CheckedParams<"background.status">;

export interface Background {
  /**
   * A process that cannot be started is an answer as well: state failed, with the reason as its output.
   * @throws OptaError state-conflict (too many run in the session) | daemon-stopping (after `closeAll`)
   */
  start(options: BackgroundStart): BackgroundProcess;
  /** In the order in which they were started. */
  list(sessionId?: string): readonly BackgroundProcess[];
  /** @throws OptaError not-found; so do output and kill */
  status(name: Named): BackgroundProcess;
  /** What is kept of the chunks with seq > afterSeq. `nextSeq` is the next call's afterSeq. */
  output(query: CheckedParams<"background.output">): OperationResult<"background.output">;
  /** Resolves when nothing of the process runs any more. `killed`: it ran, and a kill is what ended it. */
  kill(options: CheckedParams<"background.kill">): Promise<OperationResult<"background.kill">>;
  /** Kills what runs in the session, waits for it, and forgets the session's processes. */
  endSession(sessionId: string): Promise<void>;
  /** As endSession, of all; nothing can be started any more. */
  closeAll(): Promise<void>;
  runningIn(sessionId: string): number;
}

/** The contract's limit: a server, a watcher, and room; not a way to run a machine. */
const maxRunning = 5;
/** Between the signal of a kill or timeout and SIGKILL: time for a server to end what it serves. */
const graceMs = 5_000;
/** The same when a session or the daemon ends: the whole daemon has 5 s (promises D4). */
const closingGraceMs = 1_000;
/** What output may still take to arrive after the process has exited, or after its tree was ended. */
const lateOutputMs = 200;
/** A finished process can be asked about for so long... */
const keptMs = 5 * 60_000;
/** ...but no more of them than this, per session: each may hold a megabyte of output. */
const keptFinished = 20;
interface Entry {
  /** Changes as a whole: what was given out stays as it was. `runtimeMs` is filled in when it is asked for. */
  process: BackgroundProcess;
  readonly output: BackgroundOutput;
  /** Undefined when it could not be started. */
  running?: RunningProcess;
  /** Set by what ended it first; resolves when it is over and told. */
  ending?: Promise<void>;
  timer?: ReturnType<typeof setTimeout>;
}

/** What ended a process: itself, or we, by what we `send`. */
interface Ending {
  readonly state: Exclude<BackgroundProcess["state"], "running">;
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly send?: { readonly signal: Signal; readonly graceMs: number };
}

export function createBackground(options: BackgroundOptions): Background {
  const { now } = options;
  /** By processId, in the order of their starts. */
  const entries = new Map<string, Entry>();
  let isClosed = false;

  const isRunning = ({ process }: Entry) => process.state === "running";
  const entriesOf = (sessionId?: string) =>
    [...entries.values()].filter(
      ({ process }) => sessionId === undefined || process.sessionId === sessionId,
    );
  const runningIn = (sessionId: string) => entriesOf(sessionId).filter(isRunning).length;

  /** Forgets finished processes, on every access: no timer waits for it. */
  function prune(): void {
    const oldestMs = now().getTime() - keptMs;
    const finished = [...entries.values()]
      .filter((entry) => !isRunning(entry))
      .toReversed()
      .toSorted((a, b) => endedMs(b) - endedMs(a));
    const kept = new Map<string, number>();
    for (const entry of finished) {
      const { processId, sessionId } = entry.process;
      const newer = kept.get(sessionId) ?? 0;
      if (endedMs(entry) < oldestMs || newer >= keptFinished) entries.delete(processId);
      else kept.set(sessionId, newer + 1);
    }
  }

  function lookUp({ processId, sessionId }: Named): Entry {
    prune();
    const entry = entries.get(processId);
    if (entry && (sessionId === undefined || entry.process.sessionId === sessionId)) return entry;
    const place = sessionId === undefined ? "" : ` in session ${sessionId}`;
    throw new OptaError(
      "not-found",
      `there is no background process ${processId}${place}`,
      "finished processes are kept for 5 minutes",
    );
  }

  function snapshot({ process }: Entry): BackgroundProcess {
    const endMs = process.endedAt === null ? now().getTime() : Date.parse(process.endedAt);
    // The clock may have been set back meanwhile.
    return { ...process, runtimeMs: Math.max(0, endMs - Date.parse(process.startedAt)) };
  }

  /** @returns whether the event was stored */
  function tell<K extends "background.output" | "background.status">(
    sessionId: string,
    kind: K,
    payload: EventPayload<K>,
  ): boolean {
    try {
      options.emit(sessionId, kind, payload);
      return true;
    } catch (thrown) {
      // What cannot be stored is not told; what is no such failure is a defect of ours.
      if (toOptaError(thrown).code === "internal") throw thrown;
      return false;
    }
  }

  function tellStatus(
    entry: Entry,
    event: Omit<EventPayload<"background.status">, "process">,
  ): void {
    tell(entry.process.sessionId, "background.status", { process: snapshot(entry), ...event });
  }

  function start(asked: BackgroundStart): BackgroundProcess {
    prune();
    const { sessionId, command, label, directory, timeoutMs } = asked;
    if (isClosed) throw new OptaError("daemon-stopping", "opta is stopping");
    if (runningIn(sessionId) >= maxRunning) {
      throw new OptaError(
        "state-conflict",
        `${maxRunning} background processes run in session ${sessionId}: no more at a time`,
        "end one of them first",
      );
    }
    const process: BackgroundProcess = {
      processId: `proc_${createId()}`,
      sessionId,
      pid: 0,
      command,
      ...(label === undefined ? {} : { label }),
      cwd: directory,
      state: "running",
      exitCode: null,
      startedAt: now().toISOString(),
      endedAt: null,
      runtimeMs: 0,
      timeoutMs,
    };
    const output = createBackgroundOutput({
      now,
      tell: (chunk) => {
        const { processId, pid } = entry.process;
        return tell(sessionId, "background.output", { ...chunk, processId, sessionId, pid });
      },
    });
    const entry: Entry = { process, output };
    entries.set(process.processId, entry);
    try {
      entry.running = options.start({
        command,
        directory,
        path: asked.path,
        onOutput: output.write,
      });
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      entry.process = { ...process, state: "failed", endedAt: now().toISOString() };
      output.write(
        "stderr",
        new TextEncoder().encode(`could not start in ${directory}: ${reason}\n`),
      );
      tellStatus(entry, { reason: "spawn-error" });
      return snapshot(entry);
    }
    entry.process = { ...process, pid: entry.running.pid };
    tellStatus(entry, { reason: "started" });
    void entry.running.exited.then(({ exitCode, signal }) =>
      finish(entry, { state: exitCode === 0 ? "completed" : "failed", exitCode, signal }),
    );
    if (timeoutMs > 0) {
      const send = { signal: "SIGTERM", graceMs } as const;
      entry.timer = setTimeout(() => void finish(entry, { state: "timeout", send }), timeoutMs);
    }
    return snapshot(entry);
  }

  /** The first cause counts; a later one only makes haste. Resolves when the process is over and told. */
  function finish(entry: Entry, ending: Ending): Promise<void> {
    const { running } = entry;
    if (running === undefined || !isRunning(entry)) return Promise.resolve();
    if (entry.ending !== undefined && ending.send) void running.end(ending.send);
    entry.ending ??= complete(entry, { ...ending, running });
    return entry.ending;
  }

  async function complete(
    entry: Entry,
    { running, state, send, ...exit }: Ending & { readonly running: RunningProcess },
  ): Promise<void> {
    clearTimeout(entry.timer);
    if (send === undefined) await settleWithin(running.outputEnded, lateOutputMs);
    await running.end(send ?? { signal: "SIGTERM", graceMs: closingGraceMs });
    // What the ended processes had already written is still on its way.
    await settleWithin(running.outputEnded, lateOutputMs);
    await running.close();
    entry.output.end();
    const { sessionId } = entry.process;
    const exitCode = exit.exitCode ?? null;
    entry.process = { ...entry.process, state, exitCode, endedAt: now().toISOString() };
    const signal = send?.signal ?? exit.signal;
    tellStatus(entry, {
      reason: state,
      previousState: "running",
      ...(signal === undefined ? {} : { signal }),
    });
    if (runningIn(sessionId) === 0) options.onIdle?.(sessionId);
  }

  async function endEntries(sessionId?: string): Promise<void> {
    const ended = entriesOf(sessionId);
    const send = { signal: "SIGTERM", graceMs: closingGraceMs } as const;
    await Promise.all(ended.map((entry) => finish(entry, { state: "killed", send })));
    for (const { process } of ended) entries.delete(process.processId);
  }

  return {
    start,
    runningIn,
    list(sessionId) {
      prune();
      return entriesOf(sessionId).map(snapshot);
    },
    status: (name) => snapshot(lookUp(name)),
    output({ afterSeq, limit, stream, ...name }) {
      const entry = lookUp(name);
      const matching = entry.output
        .chunks()
        .filter((chunk) => chunk.seq > afterSeq && (stream === "both" || chunk.stream === stream));
      const chunks = matching.slice(0, limit);
      return {
        process: snapshot(entry),
        chunks,
        nextSeq: chunks.at(-1)?.seq ?? afterSeq,
        hasMore: matching.length > chunks.length,
      };
    },
    async kill({ signal, ...name }) {
      const entry = lookUp(name);
      if (!isRunning(entry)) return { killed: false, process: snapshot(entry) };
      await finish(entry, { state: "killed", send: { signal, graceMs } });
      return { killed: entry.process.state === "killed", process: snapshot(entry) };
    },
    endSession: (sessionId) => endEntries(sessionId),
    async closeAll() {
      isClosed = true;
      await endEntries();
    },
  };
}

const endedMs = ({ process }: Entry) => Date.parse(process.endedAt ?? process.startedAt);
