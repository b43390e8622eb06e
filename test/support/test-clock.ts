// A clock that stands still until a test moves it.
import type { Clock } from "../../src/base/clock.ts";

export interface TestClock extends Clock {
  /** Moves on and runs what came due, in its order. */
  advance(ms: number): void;
  /** How many actions wait. */
  waiting(): number;
}

export function createTestClock(): TestClock {
  let nowMs = 0;
  const timers = new Set<{ readonly atMs: number; readonly action: () => void }>();
  return {
    nowMs: () => nowMs,
    after(delayMs, action) {
      const timer = { atMs: nowMs + delayMs, action };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    advance(ms) {
      const untilMs = nowMs + ms;
      for (;;) {
        const due = [...timers]
          .filter((timer) => timer.atMs <= untilMs)
          .toSorted((a, b) => a.atMs - b.atMs)[0];
        if (due === undefined) break;
        timers.delete(due);
        nowMs = Math.max(nowMs, due.atMs);
        due.action();
      }
      nowMs = untilMs;
    },
    waiting: () => timers.size,
  };
}
