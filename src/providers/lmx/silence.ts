// Watches for silence while an answer is awaited (contracts/lmx.md row 10): one limit before the first
// token, another between tokens. Costs a clock reading per frame, not a timer per frame.
import type { Clock } from "../../base/clock.ts";
import type { LmxTimeouts } from "./timeouts.ts";

export interface SilenceWatch {
  /** A part of the answer came. */
  token(): void;
  stop(): void;
}

/** A limit of Infinity is none: no timer waits for it. */
export function watchSilence(options: {
  readonly clock: Clock;
  readonly timeouts: Pick<LmxTimeouts, "firstTokenMs" | "idleMs">;
  readonly onSilent: (afterMs: number) => void;
}): SilenceWatch {
  const { clock, timeouts, onSilent } = options;
  let lastMs = clock.nowMs();
  let limitMs = timeouts.firstTokenMs;
  let begun = false;
  const wait = (delayMs: number) =>
    delayMs === Infinity ? () => undefined : clock.after(delayMs, check);
  const check = () => {
    const restMs = lastMs + limitMs - clock.nowMs();
    if (restMs <= 0) onSilent(limitMs);
    else takeBack = wait(restMs);
  };
  let takeBack = wait(limitMs);
  return {
    token() {
      lastMs = clock.nowMs();
      if (begun) return;
      begun = true;
      limitMs = timeouts.idleMs;
      takeBack();
      takeBack = wait(limitMs);
    },
    stop: () => takeBack(),
  };
}
