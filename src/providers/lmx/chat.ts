// One model request from beginning to end: WebSocket first, SSE where there is none, waits while the server
// is busy, and one `done` or `error` at the end (contracts/lmx.md rows 9, 13, 14, 16). It never asks again
// once anything arrived: two answers are never glued together (lesson 17). Nor does a timer of ours ever
// send a prompt twice: what is asked again was refused, at once and in words.
import { assertNever } from "../../base/assert-never.ts";
import { sleep, type Clock } from "../../base/clock.ts";
import { OptaError } from "../../protocol/error.ts";
import { refusesExtras, withoutExtras } from "../openai/request-style.ts";
import type { ChatRequest, ProviderEvent } from "../provider.ts";
import type { ThoughtHabits } from "../thought-habits.ts";
import { createAnswer, type Answer, type Ending } from "./answer.ts";
import { askOverSse } from "./chat-sse.ts";
import { maxFrameBytes } from "./chat-socket.ts";
import { timedOut, type Endpoint, type Keys } from "./endpoint.ts";
import {
  busyWaitMs,
  isPassingFailure,
  maxBusyRetries,
  toProviderError,
  type Fault,
} from "./http-errors.ts";
import { startPromptWait } from "./prompt-wait.ts";
import { encodeChatRequest, type RequestEncoding } from "./request.ts";
import type { SocketSource } from "./socket-source.ts";
import type { LmxTimeouts } from "./timeouts.ts";

/** Waits before a server that failed (500) is asked again. */
const failureWaitsMs = [1_000, 3_000];
/** A failure later than this came after real work, which would be done a second time. */
const failureWindowMs = 10_000;

export interface ChatContext {
  readonly endpoint: Endpoint;
  readonly keys: Keys;
  readonly encoding: RequestEncoding;
  readonly sockets: SocketSource;
  /** True for a server that is only remembered: a refused WebSocket is then news about it, not a reason for SSE. */
  readonly mustBeSocket: boolean;
  /** Whether the server still answers its probe; the reason when it does not. */
  readonly recheck: (signal: AbortSignal) => Promise<string | undefined>;
  readonly habits: ThoughtHabits;
  readonly clock: Clock;
  readonly timeouts: LmxTimeouts;
  readonly signal: AbortSignal;
  readonly emit: (event: ProviderEvent) => void;
}

/** What a request came to, before it is told to anyone but for what was streamed. */
export interface ChatOutcome {
  readonly ending: Ending;
  readonly answer: Answer;
  /** True when a WebSocket carried it. */
  readonly overSocket: boolean;
}

/**
 * Asks, again while the server is busy or stumbles, and streams what comes. How it ended is for the caller
 * to tell, by `conclusion`. @throws OptaError internal: a request that cannot be sent
 */
export async function runChat(request: ChatRequest, context: ChatContext): Promise<ChatOutcome> {
  const { endpoint, habits, clock, signal, emit } = context;
  const startedMs = clock.nowMs();
  let { encoding } = context;
  let busyRetries = 0;
  let failures = 0;
  for (;;) {
    const answer = createAnswer({
      emit,
      maxTokens: request.maxTokens,
      server: endpoint.server,
      tools: request.tools,
      opensInThought: habits.opensInThought(request.model),
      onThoughtHabit: (opens) => habits.learn(request.model, opens),
    });
    const asked = await askOnce(request, answer, { ...context, encoding });
    const { ending } = asked;
    const outcome = { ...asked, answer };
    if (ending.kind !== "fault" || answer.hasBegun() || signal.aborted) return outcome;
    const { fault } = ending;
    if (refusesExtras(fault) && encoding.style.usageInStream) {
      encoding = { ...encoding, style: withoutExtras(encoding.style) };
      continue;
    }
    const busyMs = busyRetries < maxBusyRetries ? busyWaitMs(fault) : null;
    const failureMs = isPassingFailure(fault) ? failureWaitsMs[failures] : undefined;
    if (busyMs !== null) {
      busyRetries += 1;
      const retry = { waitMs: busyMs, number: busyRetries, of: maxBusyRetries };
      await waitVisibly("is busy; waiting", retry, context);
    } else if (
      failureMs !== undefined &&
      clock.nowMs() - startedMs + failureMs <= failureWindowMs
    ) {
      failures += 1;
      const what = `failed (${fault.message}); asking again in`;
      const retry = { waitMs: failureMs, number: failures, of: failureWaitsMs.length };
      await waitVisibly(what, retry, context);
    } else return outcome;
    if (signal.aborted) return { ...outcome, ending: { kind: "aborted" } };
  }
}

async function waitVisibly(
  what: string,
  retry: { readonly waitMs: number; readonly number: number; readonly of: number },
  { endpoint, emit, clock, signal }: ChatContext,
): Promise<void> {
  const attempt = `attempt ${retry.number + 1} of ${retry.of + 1}`;
  const seconds = Math.ceil(retry.waitMs / 1000);
  emit({ type: "progress", message: `${endpoint.server} ${what} ${seconds} s (${attempt})` });
  await sleep(retry.waitMs, { clock, signal });
}

export function errorEvent(error: OptaError): ProviderEvent {
  return { type: "error", code: error.code, message: error.message, hint: error.hint };
}

/** One request over the best transport there is. */
async function askOnce(
  request: ChatRequest,
  answer: Answer,
  context: ChatContext,
): Promise<Omit<ChatOutcome, "answer">> {
  const { endpoint, keys, encoding, sockets, recheck, clock, timeouts, signal, emit } = context;
  const startWait = (requestChars: number) =>
    startPromptWait({ emit, requestChars, server: endpoint, clock, timeouts });
  const ended = (ending: Ending) => ({ ending, overSocket: false });
  if (endpoint.kind === "lmx" && sockets.mayOpen(endpoint)) {
    const frame = encodeChatRequest(request, "websocket", encoding);
    const isTooBig = Buffer.byteLength(frame) > maxFrameBytes;
    const socket = isTooBig ? undefined : await sockets.take(endpoint, signal);
    if (signal.aborted) return ended({ kind: "aborted" });
    if (socket !== undefined && "ask" in socket) {
      const wait = startWait(frame.length);
      return { ending: await socket.ask(frame, { answer, wait, signal }), overSocket: true };
    }
    if (socket?.status === 401) return ended({ kind: "fault", fault: refusedKey });
    if (socket !== undefined && context.mustBeSocket) {
      return ended({ kind: "unreachable", reason: `no WebSocket: ${socket.reason}` });
    }
    // Without an HTTP answer the server itself may be gone, and SSE would wait for it much longer.
    if (socket?.status === null) {
      const reason = await recheck(signal);
      if (signal.aborted) return ended({ kind: "aborted" });
      if (reason !== undefined) return ended({ kind: "unreachable", reason });
      sockets.giveUp(endpoint);
    }
    const why =
      socket === undefined ? "the request is larger than 16 MiB" : `no WebSocket: ${socket.reason}`;
    emit({ type: "progress", message: `${endpoint.server}: ${why}; using HTTP streaming` });
  }
  const body = encodeChatRequest(request, "sse", encoding);
  const wait = startWait(body.length);
  return ended(
    await askOverSse({ server: endpoint, keys, body, answer, wait, clock, timeouts, signal }),
  );
}

const refusedKey: Fault = { status: 401, code: null, message: "", retryAfterMs: null };

/** The last events of an answer: its tool calls and `done`, or one `error`; none after an abort. */
export function conclusion(
  { ending, answer }: ChatOutcome,
  request: ChatRequest,
  endpoint: Endpoint,
): readonly ProviderEvent[] {
  const { server, kind } = endpoint;
  const tryAgain = 'opta do --continue "continue"';
  if (ending.kind !== "complete" && ending.kind !== "aborted") answer.release();
  switch (ending.kind) {
    case "complete":
      return answer.conclude();
    case "aborted":
      return [];
    case "fault":
      return [errorEvent(toProviderError(ending.fault, { server, model: request.model, kind }))];
    case "cut": {
      const message = `${server} ${ending.how} ${answer.extent()}; the answer is incomplete`;
      return [errorEvent(new OptaError("lmx-ws-closed", message, tryAgain))];
    }
    case "silent": {
      const message = `${server} ${timedOut(ending.afterMs)} of silence, ${answer.extent()}`;
      const limit = answer.hasBegun() ? "limits.idleMinutes 60" : "limits.firstTokenMinutes 0";
      const hint = `${tryAgain}\nto wait longer: opta config set ${limit}`;
      return [errorEvent(new OptaError("lmx-timeout", message, hint))];
    }
    case "unreachable": {
      const message = `${server} does not answer any more (${ending.reason})`;
      return [errorEvent(new OptaError("lmx-connection-refused", message, "opta status"))];
    }
    default:
      return assertNever(ending);
  }
}
