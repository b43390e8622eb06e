// One `chat.request` from its frame to its last: check, ask the engine, send, and end as the engine, the
// client's cancel or a lost connection decide (contracts/lmx.md sections 1 and 7b).
import { doneFrame, errorFrame, progressFrame, toFrame } from "./chat-frames.ts";
import type { Frame } from "./chat-frames.ts";
import { checkChatRequest } from "./check-request.ts";
import { collectAnswer } from "./collect-answer.ts";
import type { EngineEvent, LmxEngine } from "./engine.ts";
import { aborted } from "./pause.ts";
import { createRequestId } from "./request-id.ts";
import type { RequestLog, RequestRecorder } from "./request-log.ts";

/** What a socket carries from its upgrade on. */
export interface SocketData {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connection: number;
  /** The requests that run on it, by id. Aborting with "cancelled" is answered, with "gone" it is not. */
  readonly running: Map<string, AbortController>;
  /** Requests that wait until less is unsent. */
  readonly waiting: Set<() => void>;
}

export interface ChatSocketOptions {
  readonly engine: LmxEngine;
  readonly log: RequestLog;
  /** 0 sends none, as for pings. */
  readonly progressEveryMs: number;
  readonly pingEveryMs: number;
}

type Socket = Bun.ServerWebSocket<SocketData>;
type AnswerOptions = ChatSocketOptions & {
  readonly frame: Readonly<Record<string, unknown>>;
  readonly recorder: RequestRecorder;
};

/** Above this much unsent, a request waits: a slow reader slows its generation down, as with LMX. */
const unsentLimitBytes = 256 * 1024;
/** Lets what was sent before leave the machine before the connection is broken. */
const flushMs = 5;
const noUsage = { promptTokens: 0, completionTokens: 0 };

/** Never rejects for want of a client: one that left ends the request as "gone". */
export async function answerOnSocket(socket: Socket, options: AnswerOptions): Promise<void> {
  const { recorder } = options;
  const { running } = socket.data;
  const requestId = createRequestId();
  const controller = new AbortController();
  const { signal } = controller;
  const timers = startTimers(socket, requestId, options);
  running.set(requestId, controller);
  try {
    for await (const batch of answerBatches(requestId, { ...options, signal })) {
      if (signal.aborted) break;
      if (batch.length > 0) timers.stopProgress();
      const end = batch.at(-1);
      const frames = batch.flatMap((item) => (item.frame === undefined ? [] : [item.frame]));
      await send(socket, frames, recorder);
      if (end && (await endWith(end.event, { socket, recorder, signal }))) return;
    }
    if (signal.reason === "cancelled")
      await send(socket, [doneFrame(requestId, "cancelled", noUsage)], recorder);
    if (signal.aborted) recorder.end(signal.reason === "cancelled" ? "cancelled" : "gone");
  } finally {
    timers.stop();
    running.delete(requestId);
    recorder.end("fault"); // unless it ended above
  }
}

interface Outgoing {
  readonly frame: Frame | undefined;
  readonly event: EngineEvent;
}

/** The answer's events with their frames; a refusal is an answer of one `chat.error`. */
async function* answerBatches(
  requestId: string,
  { engine, frame, signal }: AnswerOptions & { readonly signal: AbortSignal },
): AsyncGenerator<readonly Outgoing[]> {
  const checked = checkChatRequest(frame, engine.models);
  const answer =
    "refused" in checked
      ? checked
      : engine.chat(checked.request, { requestId, transport: "websocket", signal });
  if ("refused" in answer) {
    const event = { type: "error", disguised: false, ...answer.refused } as const;
    yield [{ frame: errorFrame(requestId, event), event }];
  } else if (frame["stream"] === false) {
    const { text, end } = await collectAnswer(answer.events);
    if (!end) return;
    const done = end.type === "done";
    const whole = done
      ? doneFrame(requestId, end.finishReason, end.usage, text || null)
      : undefined;
    yield [{ frame: whole ?? toFrame(end, requestId), event: end }];
  } else {
    for await (const batch of answer.events)
      yield batch.map((event) => ({ frame: toFrame(event, requestId), event }));
  }
}

/** Hands frames to the socket in one go, then waits while too much of it is unsent. */
async function send(
  socket: Socket,
  frames: readonly Frame[],
  recorder: RequestRecorder,
): Promise<void> {
  socket.cork(() => {
    for (const frame of frames) socket.send(frame);
  });
  recorder.sent(frames.length);
  while (socket.readyState === WebSocket.OPEN && socket.getBufferedAmount() > unsentLimitBytes)
    await new Promise<void>((resolve) => socket.data.waiting.add(resolve));
}

interface Ending {
  readonly socket: Socket;
  readonly recorder: RequestRecorder;
  readonly signal: AbortSignal;
}

/** Does what the last event of a batch asks of the connection; true when the request is over. */
async function endWith(event: EngineEvent, { socket, recorder, signal }: Ending): Promise<boolean> {
  switch (event.type) {
    case "done":
    case "error":
      recorder.end(event.type);
      return true;
    case "drop":
      recorder.end("fault");
      await Bun.sleep(flushMs);
      socket.terminate();
      return true;
    case "close":
      recorder.end("fault");
      socket.close(event.code);
      return true;
    case "silence":
      recorder.end("fault");
      await aborted(signal);
      return true;
    case "text":
    case "thinking":
    case "tool_call":
    case "raw":
      return false;
  }
}

function startTimers(socket: Socket, requestId: string, options: ChatSocketOptions) {
  const { progressEveryMs, pingEveryMs } = options;
  const sendProgress = () => void socket.send(progressFrame(requestId));
  const progress = progressEveryMs > 0 ? setInterval(sendProgress, progressEveryMs) : undefined;
  const ping = pingEveryMs > 0 ? setInterval(() => void socket.ping(), pingEveryMs) : undefined;
  return {
    stopProgress: () => clearInterval(progress),
    stop() {
      clearInterval(progress);
      clearInterval(ping);
    },
  };
}
