// Whether the machine behind a silent request is still there. The first token may take as long as it takes, so
// no timer of ours tells a server that thinks from one that was switched off; a TCP handshake does, whatever
// the server is busy with: the kernel answers it. Nothing is sent over it.
import { systemClock, type Clock } from "../../base/clock.ts";
import type { Candidate } from "../route.ts";
import type { LmxTimeouts } from "./timeouts.ts";

export interface ReachabilityWatch {
  stop(): void;
}

/** Later checks must fail this often in a row: a network that hiccups must not cost a prefill. */
const maxFailures = 3;

/**
 * Checks until stopped. @param isNew nothing of this request was answered yet, not even its handshake: then the
 * first check comes soon, and its failure is enough, so that an absent host is told within 3 s.
 */
export function watchReachability(options: {
  readonly server: Candidate;
  readonly isNew: boolean;
  readonly clock: Clock;
  readonly timeouts: Pick<LmxTimeouts, "firstReachMs" | "reachMs" | "reachEveryMs">;
  readonly onGone: (reason: string) => void;
}): ReachabilityWatch {
  const { server, isNew, clock, timeouts, onGone } = options;
  let failuresLeft = isNew ? 1 : maxFailures;
  let stopped = false;
  const check = async () => {
    const isThere = await canConnect(server, timeouts.reachMs);
    if (stopped) return;
    failuresLeft = isThere ? maxFailures : failuresLeft - 1;
    if (failuresLeft === 0) return onGone("the host cannot be reached");
    takeBack = clock.after(timeouts.reachEveryMs, () => void check());
  };
  const firstMs = isNew ? timeouts.firstReachMs : timeouts.reachEveryMs;
  let takeBack = clock.after(firstMs, () => void check());
  return {
    stop() {
      if (stopped) return;
      stopped = true;
      takeBack();
    },
  };
}

/** One TCP handshake, closed at once. Never rejects. Its limit is real time, as the network's answer is. */
function canConnect({ host, port }: Candidate, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (isThere: boolean) => {
      takeBack();
      resolve(isThere);
    };
    const takeBack = systemClock.after(timeoutMs, () => settle(false));
    const connecting = Bun.connect({
      hostname: host,
      port,
      socket: {
        open(socket) {
          socket.end();
          settle(true);
        },
        data: () => undefined,
        connectError: () => settle(false),
      },
    });
    connecting.catch(() => settle(false));
  });
}
