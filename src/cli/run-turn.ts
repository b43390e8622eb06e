// One turn seen through: submit it, show its events, answer its questions, turn Ctrl+C into a cancel, and
// come back with the exit code. Knows the contract of a client and nothing behind it.
import type { Client } from "../client/client.ts";
import { exitCodes, OptaError, toOptaError, toPeerError } from "../protocol/error.ts";
import type { EventPayload, OptaEvent } from "../protocol/event.ts";
import type { OperationParams } from "../protocol/operations.ts";
import { toldPhases } from "../protocol/progress.ts";
import { stripTerminalText } from "../base/terminal-text.ts";
import { reportError } from "./errors.ts";
import { onInterrupt } from "./interrupt.ts";
import { OutputClosed, type Io } from "./output/io.ts";
import { createPermissionPrompt, type Answer } from "./permission-prompt.ts";
import type { TurnSurface } from "./turn-surface.ts";

export interface RunTurnOptions {
  readonly client: Client;
  readonly io: Io;
  readonly surface: TurnSurface;
  readonly submit: OperationParams<"turn.submit">;
  /** The seq of the session's last event before this turn. */
  readonly afterSeq: number;
}

export interface TurnEnd {
  readonly exitCode: number;
  /** Undefined when the turn ended with an error. */
  readonly stats: EventPayload<"turn.done">["stats"] | undefined;
}

/** Who decides here, as the session's record will name it. */
const decidedBy = "opta do";

/** Runs the turn to its end. Errors of the turn are printed here; those of the call are thrown (OptaError). */
export async function runTurnToEnd(options: RunTurnOptions): Promise<TurnEnd> {
  const { client, submit } = options;
  const { sessionId, writerId } = submit;
  const following = new AbortController();
  const events = client.events(sessionId, { afterSeq: options.afterSeq, signal: following.signal });
  let interrupts = 0;
  const cancel = () => {
    interrupts += 1;
    // Whoever asks again does not want to wait for the end of it.
    if (interrupts > 1) following.abort();
    client.call("turn.cancel", { sessionId, writerId }).catch(() => undefined); // a session that just closed is cancelled
  };
  const stopListening = onInterrupt(cancel);
  const questions = createQuestions(options);
  const tellCloud = createNotices(options);
  try {
    const { turnId, queued } = await client.call("turn.submit", submit);
    if (queued > 0) noteQueued(options, queued);
    let started = false;
    let end: TurnEnd = { exitCode: exitCodes.error.exit, stats: undefined };
    let ended = false;
    for await (const event of events) {
      // In a daemon others may work in the same session: their turns are theirs to show.
      if ("turnId" in event.payload && (event.payload.turnId ?? turnId) !== turnId) continue;
      tellCloud(event);
      showUntilClosed(options.surface, event, cancel);
      if (event.event === "permission.request") questions.answer(event.payload);
      if (event.event === "permission.resolved") questions.noteDecided(event.payload);
      if (event.event === "tool.result") questions.noteDenied(event.payload);
      if (event.event === "turn.start") started = true;
      const ends = event.event === "turn.done" || event.event === "turn.error";
      if (ends && event.payload.turnId === turnId) {
        end =
          event.event === "turn.done"
            ? endDone(event.payload.stats, options)
            : endFailed(event.payload, options);
        ended = true;
      }
      // The session's last word on the turn; on one that never ran there is none.
      if (ended && (!started || event.event === "session.updated")) break;
    }
    if (!ended && interrupts > 1) return { exitCode: exitCodes.interrupted.exit, stats: undefined };
    return questions.withDenials(end);
  } finally {
    stopListening();
    following.abort();
  }
}

/** For whoever watches: nothing else happens until the turns before it are done. */
function noteQueued({ io, surface }: RunTurnOptions, queued: number): void {
  if (!io.isTerminal(2)) return;
  surface.finishLine();
  const turns = queued === 1 ? "another turn" : `${queued} other turns`;
  io.stderr.write(`opta: waiting for ${turns} of this session (Ctrl+C takes yours back)\n`);
}

/** A reader of stdout that goes away (`opta do … | head -1`) cancels the turn. */
function showUntilClosed(surface: TurnSurface, event: OptaEvent, cancel: () => void): void {
  try {
    surface.show(event);
  } catch (thrown) {
    if (!(thrown instanceof OutputClosed)) throw thrown;
    cancel();
  }
}

/**
 * Says once a turn on stderr what is no detail of progress, above all that a cloud serves it: whether or not it
 * is a terminal, and also with --quiet.
 */
function createNotices({ io, surface }: RunTurnOptions): (event: OptaEvent) => void {
  const told = new Set<string>();
  return (event) => {
    if (event.event !== "turn.progress" || !toldPhases.has(event.payload.phase)) return;
    const { turnId, phase, message, provider } = event.payload;
    if (told.has(`${turnId} ${phase}`)) return;
    told.add(`${turnId} ${phase}`);
    surface.finishLine();
    io.stderr.write(`opta: ${stripTerminalText(message ?? provider)}\n`);
  };
}

function endDone(
  stats: EventPayload<"turn.done">["stats"],
  { io, submit }: RunTurnOptions,
): TurnEnd {
  if (stats.finishReason !== "length") return { exitCode: exitCodes.done.exit, stats };
  const cut = new OptaError(
    "answer-cut",
    "the answer was cut at the model's output limit",
    `opta do --resume ${submit.sessionId}`,
  );
  return { exitCode: reportError(cut, io, { trace: false }), stats };
}

function endFailed(error: EventPayload<"turn.error">, { io }: RunTurnOptions): TurnEnd {
  return { exitCode: reportError(toPeerError(error), io, { trace: false }), stats: undefined };
}

/** Answers questions: a person's word on a terminal, a denial at once where there is none. */
function createQuestions({ client, io, submit }: RunTurnOptions) {
  const input = io.isTerminal(2) ? io.openTerminal() : undefined;
  const prompt = input && createPermissionPrompt(io, input);
  const denied: string[] = [];
  const remedies = new Set<string>();
  let asking: Promise<void> = Promise.resolve();

  /** Requests that wait for this person's answer -> how to take the question back. */
  const open = new Map<string, AbortController>();

  async function decide(request: EventPayload<"permission.request">): Promise<void> {
    const withdrawal = new AbortController();
    open.set(request.requestId, withdrawal);
    const answer = prompt
      ? await prompt.ask(request, withdrawal.signal)
      : unattendedAnswer(request.reason);
    open.delete(request.requestId);
    if (answer === undefined) return;
    if (answer.unattended && request.remedy !== undefined) remedies.add(request.remedy);
    await client.call("permission.resolve", {
      sessionId: submit.sessionId,
      requestId: request.requestId,
      decidedBy,
      ...answer,
    });
  }

  return {
    /** Questions are asked one at a time, in the order they came. */
    answer(request: EventPayload<"permission.request">): void {
      asking = asking.then(() =>
        decide(request).catch((thrown: unknown) => {
          io.stderr.write(`opta: ${toOptaError(thrown).message}\n`);
        }),
      );
    },
    /** Somebody else was faster, or nobody in time: the question on the terminal is over. */
    noteDecided({ requestId, decision, ...by }: EventPayload<"permission.resolved">): void {
      const withdrawal = open.get(requestId);
      if (withdrawal === undefined) return;
      const why = by.reason === undefined ? "" : ` (${by.reason})`;
      const said = decision === "allow" ? "allowed" : "denied";
      withdrawal.abort();
      // One's own Ctrl+C says enough by itself.
      if (by.decidedBy === "opta" && by.reason === "cancelled") return;
      io.stderr.write(`\nopta: ${said} by ${stripTerminalText(by.decidedBy + why)}\n`);
    },
    noteDenied(result: EventPayload<"tool.result">): void {
      if (result.outcome !== "denied") return;
      denied.push(`${result.name}: ${firstLine(result.result)}`);
      if (result.remedy !== undefined) remedies.add(result.remedy);
    },
    /** A turn in which something was denied says so, however else it ended; only an interrupt outranks it. */
    withDenials(end: TurnEnd): TurnEnd {
      if (denied.length === 0) return end;
      io.stderr.write(report());
      if (end.exitCode === exitCodes.interrupted.exit) return end;
      return { ...end, exitCode: exitCodes.denied.exit };
    },
  };

  function report(): string {
    const lines = [
      `opta: denied, so not done:`,
      ...denied.map((line) => `  ${stripTerminalText(line)}`),
      ...(remedies.size === 0
        ? []
        : ["to allow it:", ...[...remedies].map((each) => `  ${stripTerminalText(each)}`)]),
    ];
    return `${lines.join("\n")}\n`;
  }
}

function unattendedAnswer(why: string): Answer {
  const reason = `${why} Nobody could be asked: there is no terminal.`;
  return { decision: "deny", unattended: true, reason };
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
