// Half-open clients, found by asking: whoever leaves two pings without a sign of life is gone, however much the kernel
// still takes in for it (promises E6). The server's own idle timeout does not find them: whatever is sent to a socket
// begins it anew. One timer for all sockets, and none while there are none.
import type { Clock } from "../base/clock.ts";
import { createRecurring } from "../base/recurring.ts";

/** What is asked of a socket. */
export interface Pinged {
  ping(): void;
  /** It is gone. */
  cut(): void;
}

export interface SocketPings {
  add(socket: Pinged): void;
  /** It answered, said something, or swallowed what was sent. */
  noteSign(socket: Pinged): void;
  remove(socket: Pinged): void;
}

const pingEveryMs = 15_000;
const unansweredLimit = 2;

export function createSocketPings(clock: Clock): SocketPings {
  /** Socket -> pings since its last sign of life. */
  const unanswered = new Map<Pinged, number>();

  function round(): void {
    for (const [socket, count] of unanswered) {
      if (count < unansweredLimit) {
        unanswered.set(socket, count + 1);
        socket.ping();
      } else {
        unanswered.delete(socket);
        socket.cut();
      }
    }
  }

  const update = createRecurring({
    clock,
    everyMs: pingEveryMs,
    isNeeded: () => unanswered.size > 0,
    round,
  });

  return {
    add(socket) {
      unanswered.set(socket, 0);
      update();
    },
    noteSign(socket) {
      if (unanswered.has(socket)) unanswered.set(socket, 0);
    },
    remove(socket) {
      unanswered.delete(socket);
      update();
    },
  };
}
