// A signal that aborts when nothing was heard for too long. Costs a clock reading per event, not a timer per event.
import type { Clock } from "../../base/clock.ts";

export interface SilenceLimit {
  /** Aborts with the caller's signal, or after the silence. */
  readonly signal: AbortSignal;
  /** Something came. */
  alive(): void;
  /** True when it was the silence. */
  expired(): boolean;
  stop(): void;
}

export function withSilenceLimit(options: {
  readonly clock: Clock;
  readonly limitMs: number;
  readonly signal: AbortSignal;
}): SilenceLimit {
  const { clock, limitMs, signal } = options;
  const controller = new AbortController();
  let lastMs = clock.nowMs();
  let isExpired = false;
  const abort = () => controller.abort();
  const check = () => {
    const restMs = lastMs + limitMs - clock.nowMs();
    if (restMs > 0) {
      takeBack = clock.after(restMs, check);
      return;
    }
    isExpired = true;
    abort();
  };
  let takeBack = clock.after(limitMs, check);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  return {
    signal: controller.signal,
    alive: () => void (lastMs = clock.nowMs()),
    expired: () => isExpired,
    stop() {
      takeBack();
      signal.removeEventListener("abort", abort);
    },
  };
}
