// A turn: the user's message, then steps until the model answers without asking for a tool. Bounded in
// steps, cancellable at any point, saved after every step; it ends with exactly one of turn.done, turn.error.
import { isJson } from "../base/is-json.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";
import type { Message } from "../protocol/message.ts";
import type { TurnStats } from "../protocol/event.ts";
import type { ProviderToolCall, ResolvedModel } from "../providers/provider.ts";
import { outputReserveTokens } from "./context.ts";
import { fitResults } from "./fit-results.ts";
import { makeRoom } from "./make-room.ts";
import {
  completeHistory,
  noAnswer,
  noAnswerMessage,
  nudgeMessage,
  toolResultMessage,
} from "./message-history.ts";
import { notePromptCount } from "./note-prompt-count.ts";
import { createRepetitionWatch, repeatedSteps } from "./repetition.ts";
import type { Session, Turn } from "./session.ts";
import { runStep, type StepResult } from "./step.ts";
import { runToolCalls } from "./tool-call.ts";
import type { TurnContext, TurnCounters } from "./turn-context.ts";

/** Events that follow a turn's last save: session.cancelled where it was, the terminal one, session.updated. */
const endingEvents = { done: 2, failed: 2, cancelled: 3 } as const;

export interface TurnOptions {
  /** Asked once the turn starts; its failure ends the turn. */
  readonly connect: (signal: AbortSignal) => Promise<ResolvedModel>;
  /** The user's message as it will be sent. */
  readonly userMessage: () => Promise<Message>;
  /** The session's first message, for a session that has none. */
  readonly systemMessage: () => Promise<Message>;
  /** The user's message is in the session's file. */
  readonly messageSaved: () => void;
}

/** Runs the turn to its end. @throws OptaError only when that end cannot be stored */
export async function runTurn(
  turn: Turn,
  context: TurnContext,
  options: TurnOptions,
): Promise<void> {
  const { session } = context;
  const { turnId, writerId, clientId, mode } = turn;
  const startedMs = performance.now();
  try {
    session.emit("turn.start", { turnId, writerId, clientId, mode });
    const finishReason = await runSteps(context, options);
    const stats = turnStats(context.counters, startedMs, finishReason);
    session.emit("turn.done", { turnId, writerId, clientId, stats });
  } catch (thrown) {
    const error = withWayOn(toOptaError(thrown), session.id);
    await closeHistory(session);
    if (error.code === "cancelled") session.emit("session.cancelled", { cancelled: 1, turnId });
    session.emit("turn.error", {
      turnId,
      writerId,
      clientId,
      message: error.message,
      code: error.code,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

/** What was said stays: the next command goes on from there. */
function withWayOn(error: OptaError, sessionId: string): OptaError {
  if (error.code !== "daemon-stopping" && error.code !== "cancelled") return error;
  return new OptaError(error.code, error.message, `opta do --resume ${sessionId}`);
}

/**
 * A turn that could not be stored any further (a full disk) leaves a history that the next one can go on from; it
 * is written then, if not now. For every other end there is nothing to add.
 */
async function closeHistory(session: Session): Promise<void> {
  const { file } = session;
  const complete = completeHistory(file.messages);
  if (complete.length === file.messages.length) return;
  file.messages = complete;
  await session.save(endingEvents.failed).catch(() => undefined);
}

/**
 * The loop. Every way out has saved the session, and left it so that the next turn can follow.
 * @throws OptaError for every end but an answer
 */
async function runSteps(context: TurnContext, options: TurnOptions): Promise<"stop" | "length"> {
  const { session, signal, counters } = context;
  // The connection is under way while the prompt is put together and saved.
  const connecting = options.connect(signal);
  connecting.catch(() => undefined); // awaited below; this only says that it is handled
  const { messages } = session.file;
  // Also before the history of another client, which may have none.
  if (messages[0]?.role !== "system") messages.unshift(await options.systemMessage());
  session.file.messages.push(await options.userMessage());
  await session.save();
  options.messageSaved();
  let resolved = await endingIn(context, connecting);
  recordModel(resolved, context);

  const repetition = createRepetitionWatch();
  let nudged = false;
  for (; counters.steps < context.maxSteps;) {
    await endingIn(context, makeRoom(context, resolved));
    counters.steps += 1;
    const step = await runStep(
      {
        model: resolved.model,
        messages: session.file.messages,
        tools: context.toolSchemas,
        maxTokens: outputReserveTokens(resolved.contextLength),
      },
      context,
    );
    if (step.answeredBy) {
      resolved = step.answeredBy;
      recordModel(resolved, context);
    }
    if (step.ending.kind !== "done") return await endBrokenStep(step, context);
    notePromptCount(step.ending.usage, context);
    const isCut = step.ending.finishReason === "length";
    if (step.calls.length === 0) {
      if (step.text.trim() === "" && !isCut) {
        if (nudged) throw await endWithoutAnswer(context, emptyAnswer(context, resolved));
        nudged = true;
        session.file.messages.push({ ...assistantMessage(step), content: noAnswer }, nudgeMessage);
        await session.save();
        continue;
      }
      session.file.messages.push(isCut ? cutMessage(step) : assistantMessage(step));
      await session.save(endingEvents.done);
      return isCut ? "length" : "stop";
    }
    session.file.messages.push(assistantMessage(step));
    // On disk before anything runs: no execution without a record (promises G4).
    await session.save();
    const parallel = resolved.parallelTools;
    const results = await runToolCalls(step.calls, context, { parallel });
    const fitted = await fitResults(step.calls, results, context, resolved);
    session.file.toolCallCount += step.calls.length;
    step.calls.forEach((call, index) => {
      session.file.messages.push(toolResultMessage(call.id, fitted[index] ?? noAnswer));
    });
    if (signal.aborted) throw await endWithoutAnswer(context, cancelReason(signal));
    if (repetition.note(step.calls, results)) {
      throw await endWithoutAnswer(context, repeatedCall(step.calls, context));
    }
    await session.save();
  }
  throw await endWithoutAnswer(
    context,
    new OptaError(
      "step-limit",
      `stopped after ${context.maxSteps} step${context.maxSteps === 1 ? "" : "s"} without an answer`,
      `opta do --resume ${session.id}`,
    ),
  );
}

/** Who answers, for the session's file: the next turn asks for the same. */
function recordModel(resolved: ResolvedModel, { session, provider }: TurnContext): void {
  session.file.model = session.file.metadata.model = resolved.model;
  session.file.metadata.provider = resolved.provider ?? provider.id;
}

/** The second empty answer of a turn (contracts/text-tool-calls.md rule 8). */
function emptyAnswer({ session }: TurnContext, { model, server }: ResolvedModel): OptaError {
  return new OptaError(
    "empty-answer",
    `${model} on ${server} answered with nothing, twice: no text and no tool call`,
    `opta do --resume ${session.id} "…"   (or another model: opta models list)`,
  );
}

/** contracts/text-tool-calls.md rule 6. */
function repeatedCall(calls: readonly ProviderToolCall[], { session }: TurnContext): OptaError {
  const names = [...new Set(calls.map((call) => call.name))].join(", ");
  return new OptaError(
    "repeated-call",
    `the model goes in circles: ${names} ran ${repeatedSteps} times in a row with the same arguments and the same result`,
    `opta do --resume ${session.id} "…"   (say what to do differently)`,
  );
}

/** A promise whose failure, or an abort while it waits, ends the turn before any answer. */
async function endingIn<T>(context: TurnContext, promise: Promise<T>): Promise<T> {
  try {
    const value = await promise;
    if (!context.signal.aborted) return value;
  } catch (thrown) {
    if (!context.signal.aborted) throw await endWithoutAnswer(context, toOptaError(thrown));
  }
  throw await endWithoutAnswer(context, cancelReason(context.signal));
}

/** Closes the history with a stand-in for the answer, so that roles still alternate; saves; hands the error back. */
async function endWithoutAnswer(context: TurnContext, error: OptaError): Promise<OptaError> {
  context.session.file.messages.push(noAnswerMessage);
  await context.session.save(
    error.code === "cancelled" ? endingEvents.cancelled : endingEvents.failed,
  );
  return error;
}

/** A step that was cut or cancelled: what came is kept and marked; its tool calls never happened. */
async function endBrokenStep(step: StepResult, context: TurnContext): Promise<never> {
  context.session.file.messages.push({
    role: "assistant",
    content: step.text === "" ? noAnswer : step.text,
    ...thinkingField(step),
    interrupted: true,
  });
  const failed = step.ending.kind === "failed";
  await context.session.save(failed ? endingEvents.failed : endingEvents.cancelled);
  if (step.ending.kind !== "failed") throw cancelReason(context.signal);
  const { code, message, hint } = step.ending.failure;
  throw new OptaError(code, message, hint);
}

/** What the turn was aborted with: the user's cancel, or that the daemon stops. */
function cancelReason(signal: AbortSignal): OptaError {
  return signal.reason instanceof OptaError
    ? signal.reason
    : new OptaError("cancelled", "Turn cancelled");
}

/** Replayed exactly as received. Arguments that are no JSON would break a server's template, so they go as {}. */
function assistantMessage(step: StepResult): Message {
  const calls = step.calls.map((call) => ({
    id: call.id,
    type: "function" as const,
    function: { name: call.name, arguments: sendableArguments(call) },
  }));
  return {
    role: "assistant",
    content: step.text,
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    ...thinkingField(step),
    ...step.keep,
  };
}

/** An answer that max_tokens ended; perhaps before its first word. */
function cutMessage(step: StepResult): Message {
  const message = assistantMessage(step);
  return { ...message, content: step.text === "" ? noAnswer : step.text, cut: true };
}

/** Kept in the file apart from the answer; providers send only the fields of the wire. */
function thinkingField(step: StepResult): { reasoning?: string } {
  return step.thinking === "" ? {} : { reasoning: step.thinking };
}

function sendableArguments(call: ProviderToolCall): string {
  return isJson(call.arguments) ? call.arguments : "{}";
}

function turnStats(
  counters: TurnCounters,
  startedMs: number,
  finishReason: "stop" | "length",
): TurnStats {
  const endedMs = performance.now();
  const streamingMs = counters.firstTokenMs === undefined ? 0 : endedMs - counters.firstTokenMs;
  return {
    steps: counters.steps,
    compactions: counters.compactions,
    tokens: counters.promptTokens + counters.completionTokens,
    promptTokens: counters.promptTokens,
    completionTokens: counters.completionTokens,
    toolCalls: counters.toolCalls,
    deniedCalls: counters.deniedCalls,
    elapsed: Math.round(endedMs - startedMs),
    speed:
      streamingMs > 0 ? Math.round((counters.completionTokens / streamingMs) * 10_000) / 10 : 0,
    firstTokenLatencyMs:
      counters.firstTokenMs === undefined ? null : Math.round(counters.firstTokenMs - startedMs),
    finishReason,
  };
}
