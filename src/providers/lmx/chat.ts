// One model request from beginning to end: WebSocket first, SSE where there is none, waits while the server
// is busy, and one `done` or `error` at the end (contracts/lmx.md rows 9, 13, 14, 16). It never asks again
// once anything arrived: two answers are never glued together (lesson 17).
import { assertNever } from "../../base/assert-never.ts";
import { sleep, type Clock } from "../../base/clock.ts";
import { OptaError, toOptaError } from "../../protocol/error.ts";
import type { ChatRequest, ProviderEvent } from "../provider.ts";
import type { ThoughtHabits } from "../thought-habits.ts";
import { createAnswer, type Answer, type Ending } from "./answer.ts";
import { askOverSse } from "./chat-sse.ts";
import { maxFrameBytes } from "./chat-socket.ts";
import { timedOut, type Endpoint, type Keys } from "./endpoint.ts";
import { busyWaitMs, maxBusyRetries, toProviderError, type Fault } from "./http-errors.ts";
import { encodeChatRequest } from "./request.ts";
import type { SocketSource } from "./socket-source.ts";
import type { LmxTimeouts } from "./timeouts.ts";

export interface ChatContext {
  readonly endpoint: Endpoint;
  readonly keys: Keys;
  readonly sockets: SocketSource;
  /** Whether the server still answers its probe; the reason when it does not. */
  readonly recheck: (signal: AbortSignal) => Promise<string | undefined>;
  readonly habits: ThoughtHabits;
  readonly clock: Clock;
  readonly timeouts: LmxTimeouts;
  readonly signal: AbortSignal;
  readonly emit: (event: ProviderEvent) => void;
}

/** Emits the answer's events; the last is `done` or `error`, or none of them after an abort. Never rejects. */
export async function runChat(request: ChatRequest, context: ChatContext): Promise<void> {
  const { endpoint, habits, clock, signal, emit } = context;
  try {
    for (let retries = 0; !signal.aborted; retries += 1) {
      const answer = createAnswer({
        emit,
        maxTokens: request.maxTokens,
        server: endpoint.server,
        tools: request.tools,
        opensInThought: habits.opensInThought(request.model),
        onThoughtHabit: (opens) => habits.learn(request.model, opens),
      });
      const ending = await askOnce(request, answer, context);
      const waitMs = retries < maxBusyRetries ? retryWaitMs(ending, answer) : null;
      if (waitMs === null) {
        if (ending.kind !== "complete" && ending.kind !== "aborted") answer.release();
        for (const event of conclusion(ending, answer, request, endpoint)) emit(event);
        return;
      }
      const attempt = `attempt ${retries + 2} of ${maxBusyRetries + 1}`;
      const seconds = Math.ceil(waitMs / 1000);
      emit({
        type: "progress",
        message: `${endpoint.server} is busy; waiting ${seconds} s (${attempt})`,
      });
      await sleep(waitMs, { clock, signal });
    }
  } catch (thrown) {
    if (!signal.aborted) emit(errorEvent(toOptaError(thrown)));
  }
}

export function errorEvent(error: OptaError): ProviderEvent {
  return { type: "error", code: error.code, message: error.message, hint: error.hint };
}

function retryWaitMs(ending: Ending, answer: Answer): number | null {
  return ending.kind === "fault" && !answer.hasBegun() ? busyWaitMs(ending.fault) : null;
}

/** One request over the best transport there is. */
async function askOnce(
  request: ChatRequest,
  answer: Answer,
  context: ChatContext,
): Promise<Ending> {
  const { endpoint, keys, sockets, recheck, clock, timeouts, signal, emit } = context;
  if (endpoint.kind === "lmx" && sockets.mayOpen(endpoint)) {
    const frame = encodeChatRequest(request, "websocket");
    const isTooBig = Buffer.byteLength(frame) > maxFrameBytes;
    const socket = isTooBig ? undefined : await sockets.take(endpoint, signal);
    if (signal.aborted) return { kind: "aborted" };
    if (socket !== undefined && "ask" in socket) return socket.ask(frame, { answer, signal });
    if (socket?.status === 401) return { kind: "fault", fault: refusedKey };
    // Without an HTTP answer the server itself may be gone, and SSE would wait for it much longer.
    if (socket?.status === null) {
      const reason = await recheck(signal);
      if (signal.aborted) return { kind: "aborted" };
      if (reason !== undefined) return { kind: "unreachable", reason };
      sockets.giveUp(endpoint);
    }
    const why =
      socket === undefined ? "the request is larger than 16 MiB" : `no WebSocket: ${socket.reason}`;
    emit({ type: "progress", message: `${endpoint.server}: ${why}; using HTTP streaming` });
  }
  const body = encodeChatRequest(request, "sse");
  return askOverSse({ server: endpoint, keys, body, answer, clock, timeouts, signal });
}

const refusedKey: Fault = { status: 401, code: null, message: "", retryAfterMs: null };

function conclusion(
  ending: Ending,
  answer: Answer,
  request: ChatRequest,
  endpoint: Endpoint,
): readonly ProviderEvent[] {
  const { server } = endpoint;
  const tryAgain = 'opta do --continue "continue"';
  switch (ending.kind) {
    case "complete":
      return answer.conclude();
    case "aborted":
      return [];
    case "fault":
      return [errorEvent(toProviderError(ending.fault, { server, model: request.model }))];
    case "cut": {
      const message = `${server} ${ending.how} ${answer.extent()}; the answer is incomplete`;
      return [errorEvent(new OptaError("lmx-ws-closed", message, tryAgain))];
    }
    case "silent": {
      const message = `${server} ${timedOut(ending.afterMs)} of silence, ${answer.extent()}`;
      return [errorEvent(new OptaError("lmx-timeout", message, tryAgain))];
    }
    case "unreachable": {
      const message = `${server} does not answer any more (${ending.reason})`;
      return [errorEvent(new OptaError("lmx-connection-refused", message, "opta status"))];
    }
    default:
      return assertNever(ending);
  }
}
