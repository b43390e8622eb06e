// Watches for silence while an answer is awaited (contracts/lmx.md row 10): one limit before the first
// token, another between tokens. Costs a clock reading per frame, not a timer per frame.
import type { Clock } from "../../base/clock.ts";
import type { LmxTimeouts } from "./timeouts.ts";

export interface SilenceWatch {
  /** A part of the answer came. */
  token(): void;
  /** A sign of life that is no part of the answer (ping, comment, empty frame): extends the first wait only. */
  alive(): void;
  stop(): void;
}

export function watchSilence(options: {
  readonly clock: Clock;
  readonly timeouts: Pick<LmxTimeouts, "firstTokenMs" | "firstTokenBudgetMs" | "idleMs">;
  readonly onSilent: (afterMs: number) => void;
}): SilenceWatch {
  const { clock, timeouts, onSilent } = options;
  const startedMs = clock.nowMs();
  let lastMs = startedMs;
  let limitMs = timeouts.firstTokenMs;
  let begun = false;
  const check = () => {
    const restMs = lastMs + limitMs - clock.nowMs();
    if (restMs <= 0) onSilent(limitMs);
    else takeBack = clock.after(restMs, check);
  };
  let takeBack = clock.after(limitMs, check);
  return {
    token() {
      lastMs = clock.nowMs();
      if (begun) return;
      begun = true;
      limitMs = timeouts.idleMs;
      takeBack();
      takeBack = clock.after(limitMs, check);
    },
    alive() {
      const nowMs = clock.nowMs();
      if (!begun && nowMs + limitMs - startedMs <= timeouts.firstTokenBudgetMs) lastMs = nowMs;
    },
    stop: () => takeBack(),
  };
}
