// What a crash left of a session's turns, ended: each unfinished one gets exactly one terminal event, its open
// questions are denied, its open tool calls have a result, and what the user said is in the transcript (promises
// E8, E9, G1). Done before the session takes a new turn.
import { OptaError } from "../protocol/error.ts";
import type { OptaEvent } from "../protocol/event.ts";
import type { EventStore, UnsettledTurn } from "../store/event-store.ts";
import { completeHistory, interruptedResult } from "./message-history.ts";
import { openUserMessage } from "./opening-messages.ts";
import { decidedByOpta } from "./permission.ts";
import type { Session } from "./session.ts";
import { readUnsavedAnswer, withAnswer } from "./unsaved-answer.ts";

export interface SettleOptions {
  readonly events: EventStore;
  readonly platform: string;
  readonly now: () => Date;
}

/** @throws OptaError storage-full | storage-failed: what is left undone is found again next time */
export async function settleTurns(session: Session, options: SettleOptions): Promise<void> {
  const turns = options.events.unsettledTurns(session.id);
  if (turns.length === 0) return;
  keepAnswers(session, turns, options);
  await keepMessages(session, turns, options);
  // In the file before the log says that the turns are over: what is over is not looked at again.
  if (turns.some(({ hasEnded }) => !hasEnded)) await session.save();
  const { id: sessionId, emit } = session;
  const readControl = options.events.readControl.bind(options.events, sessionId);
  const ended = endTurns(turns, readControl, { sessionId, emit });
  if (ended > 0) emit("session.updated", { snapshot: session.snapshot() });
  await session.save(0);
  for (const { turnId, content } of turns) {
    if (content !== undefined) options.events.noteMessageSaved(turnId);
  }
}

/** What somebody has read of an answer stays, though its process went before it was saved. */
function keepAnswers(
  session: Session,
  turns: readonly UnsettledTurn[],
  { events }: SettleOptions,
): void {
  const { id: sessionId, file } = session;
  for (const { turnId, seq: afterSeq, hasEnded } of turns) {
    if (hasEnded) continue;
    const text = readUnsavedAnswer(events, { sessionId, turnId, afterSeq });
    file.messages = withAnswer(file.messages, { turnId, text });
  }
}

/** A message that never reached the session's file goes behind the others, in the order they were submitted. */
async function keepMessages(
  session: Session,
  turns: readonly UnsettledTurn[],
  { platform, now }: SettleOptions,
): Promise<void> {
  const { file } = session;
  const { workspace } = file.metadata;
  for (const { turnId, content } of turns) {
    if (content === undefined) continue;
    if (file.messages.some((message) => message["turnId"] === turnId)) continue;
    const message = await openUserMessage(content, { workspace, platform, now: now() });
    file.messages.push({ ...message, turnId });
  }
  file.messages = completeHistory(file.messages);
}

interface Stream {
  readonly sessionId: string;
  readonly emit: Session["emit"];
}

/**
 * The events that end the unfinished ones of `turns`.
 * @param readControl the control events behind a seq
 * @returns how many were ended
 */
export function endTurns(
  turns: readonly UnsettledTurn[],
  readControl: (afterSeq: number) => readonly string[],
  stream: Stream,
): number {
  const unfinished = turns.filter((turn) => !turn.hasEnded);
  for (const turn of unfinished) endTurn(turn, leftOpen(turn, readControl(turn.seq)), stream);
  return unfinished.length;
}

function endTurn(
  { turnId, writerId, clientId }: UnsettledTurn,
  { questions, calls }: ReturnType<typeof leftOpen>,
  { sessionId, emit }: Stream,
): void {
  const reason = "the daemon went down";
  for (const requestId of questions) {
    const decidedBy = decidedByOpta;
    emit("permission.resolved", { turnId, requestId, decision: "deny", decidedBy, reason });
  }
  for (const { name, callId } of calls) {
    emit("tool.result", {
      turnId,
      name,
      toolName: name,
      id: callId,
      callId,
      result: interruptedResult,
      ok: false,
      outcome: "cancelled",
      elapsed: 0,
    });
  }
  const { message, code, hint } = daemonRestarted(sessionId);
  emit("turn.error", {
    turnId,
    writerId,
    clientId,
    message,
    code,
    ...(hint === undefined ? {} : { hint }),
  });
}

function leftOpen(turn: UnsettledTurn, texts: readonly string[]) {
  const questions = new Set<string>();
  const calls = new Map<string, { readonly name: string; readonly callId: string }>();
  for (const text of texts) {
    const event = JSON.parse(text) as OptaEvent;
    if (!("turnId" in event.payload) || event.payload.turnId !== turn.turnId) continue;
    if (event.event === "permission.request") questions.add(event.payload.requestId);
    if (event.event === "permission.resolved") questions.delete(event.payload.requestId);
    if (event.event === "tool.start") calls.set(event.payload.callId, event.payload);
    if (event.event === "tool.result") calls.delete(event.payload.callId);
  }
  return { questions, calls: calls.values() };
}

function daemonRestarted(sessionId: string): OptaError {
  return new OptaError(
    "daemon-restarted",
    "this turn was cut off: the daemon went down, or could not store its end",
    `opta do --resume ${sessionId}`,
  );
}
