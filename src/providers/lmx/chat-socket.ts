// One WebSocket to /v1/chat/stream, for one request: contracts/lmx.md section 1, rows 1, 9 to 11 and 25.
// One socket per request, because nothing ties a request to its id before its first frame.
import type { Clock } from "../../base/clock.ts";
import type { Answer, Ending } from "./answer.ts";
import { timedOut } from "./endpoint.ts";
import { decodeSocketFrame } from "./frames.ts";
import type { Fault } from "./http-errors.ts";
import type { PromptWait } from "./prompt-wait.ts";
import { watchSilence } from "./silence.ts";
import type { LmxTimeouts } from "./timeouts.ts";

export type Handshake =
  | { readonly open: true }
  /** `status`: the HTTP status instead of 101; null when no HTTP answer came. */
  | { readonly open: false; readonly status: number | null; readonly reason: string };

export interface ChatSocket {
  readonly handshake: Promise<Handshake>;
  readonly startedMs: number;
  /** False once it closed or was closed. */
  isAlive(): boolean;
  /** Sends the one request and feeds its answer; the socket is closed when it settles. Never rejects. */
  ask(
    frame: string,
    options: { readonly answer: Answer; readonly wait: PromptWait; readonly signal: AbortSignal },
  ): Promise<Ending>;
  close(): void;
}

/** Frames over this are refused, from us by the server (row 14) and from the server by us. */
export const maxFrameBytes = 16 * 1024 * 1024;

/** A cancel for no request: resets the server's 300 s clock of client silence (row 11). */
const keepAliveFrame = '{"type":"chat.cancel","request_id":"keepalive"}';

export function openChatSocket(options: {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly clock: Clock;
  readonly timeouts: LmxTimeouts;
}): ChatSocket {
  const { url, headers, clock, timeouts } = options;
  // No subprotocol: LMX selects none, and offering one makes some clients abort. No compression: tokens
  // are small, and a compressed frame has no bound on what it becomes.
  const socket = new WebSocket(url, { headers, perMessageDeflate: false });
  let alive = true;
  const close = () => {
    alive = false;
    socket.close(1000);
    // Waits for nobody: without this a peer that never answers the close keeps the process running.
    socket.terminate();
  };
  return {
    handshake: awaitHandshake(socket, { clock, timeoutMs: timeouts.handshakeMs, close }),
    startedMs: clock.nowMs(),
    isAlive: () => alive && socket.readyState <= WebSocket.OPEN,
    close,
    ask: (frame, { answer, wait, signal }) =>
      new Promise((resolve) => {
        let requestId: string | undefined;
        let hasFrames = false;
        let note: Fault | undefined;

        const settle = (ending: Ending) => {
          watch.stop();
          wait.stop();
          takeBackKeepAlive();
          signal.removeEventListener("abort", abort);
          socket.onmessage = socket.onclose = null;
          close();
          resolve(ending);
        };
        const abort = () => {
          if (requestId !== undefined && socket.readyState === WebSocket.OPEN) {
            socket.send(JSON.stringify({ type: "chat.cancel", request_id: requestId }));
          }
          settle({ kind: "aborted" });
        };
        const watch = watchSilence({
          clock,
          timeouts,
          onSilent: (afterMs) => settle({ kind: "silent", afterMs }),
        });
        const keepAlive = () => {
          socket.send(keepAliveFrame);
          takeBackKeepAlive = clock.after(timeouts.keepAliveMs, keepAlive);
        };
        let takeBackKeepAlive = clock.after(timeouts.keepAliveMs, keepAlive);

        socket.onmessage = ({ data }: { data: unknown }) => {
          if (typeof data !== "string") return;
          if (data.length > maxFrameBytes) {
            return settle({ kind: "cut", how: "sent a frame larger than 16 MiB" });
          }
          const received = decodeSocketFrame(data);
          // A protocol note: about something we sent (the keep-alive, perhaps), not about the answer.
          if (received.requestId === null) {
            note = received.fault;
            return;
          }
          if (received.requestId !== undefined) {
            requestId ??= received.requestId;
            if (received.requestId !== requestId) return;
          }
          hasFrames = true;
          if (received.fault !== undefined) return settle({ kind: "fault", fault: received.fault });
          if (received.promptProgress !== undefined) wait.progress(received.promptProgress);
          if (answer.take(received)) {
            watch.token();
            wait.stop();
          }
          if (received.done !== true) return;
          settle(
            answer.wasCancelled()
              ? { kind: "cut", how: "cancelled the request" }
              : { kind: "complete" },
          );
        };
        socket.onclose = ({ code }) => {
          if (note !== undefined && !hasFrames) return settle({ kind: "fault", fault: note });
          settle({ kind: "cut", how: closedHow(code, hasFrames) });
        };
        signal.addEventListener("abort", abort, { once: true });
        if (signal.aborted) return abort();
        if (socket.readyState !== WebSocket.OPEN) {
          return settle({ kind: "cut", how: closedHow(1006, false) });
        }
        socket.send(frame);
        wait.watchHost({
          isNew: false,
          onGone: () => settle({ kind: "cut", how: "cannot be reached any more" }),
        });
      }),
  };
}

/** Whatever the code, a close before done is incomplete (row 9). 1006 stands for no close frame at all. */
function closedHow(code: number, hasFrames: boolean): string {
  const how = `${code === 1006 ? "broke" : "closed"} the connection (WebSocket code ${code})`;
  // Row 9: the server closes so when it cannot read the request: a defect on our side.
  return code === 1000 && !hasFrames ? `${how} without reading the request` : how;
}

function awaitHandshake(
  socket: WebSocket,
  options: { readonly clock: Clock; readonly timeoutMs: number; readonly close: () => void },
): Promise<Handshake> {
  const { clock, timeoutMs, close } = options;
  return new Promise((resolve) => {
    const settle = (handshake: Handshake) => {
      takeBack();
      socket.onopen = socket.onerror = socket.onclose = null;
      resolve(handshake);
    };
    const takeBack = clock.after(timeoutMs, () => {
      settle({ open: false, status: null, reason: timedOut(timeoutMs) });
      close();
    });
    socket.onopen = () => settle({ open: true });
    socket.onerror = (event: Event) =>
      settle(refusalOf("message" in event ? String(event.message) : ""));
    socket.onclose = () => settle(refusalOf(""));
  });
}

/**
 * Bun tells the upgrade's status only inside its error message: "… failed: Expected 101 status code: 403"
 * (measured with Bun 1.4.5; a test holds it). When that wording changes the status becomes null, and SSE is
 * tried, which tells it again.
 */
function refusalOf(message: string): Handshake {
  const status = /Expected 101 status code: (\d{3})/.exec(message)?.[1];
  if (status !== undefined)
    return { open: false, status: Number(status), reason: `HTTP ${status}` };
  const reason = /failed: (.+)$/m.exec(message)?.[1] ?? "closed during the handshake";
  return { open: false, status: null, reason };
}
