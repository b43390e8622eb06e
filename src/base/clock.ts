// Time as an argument: what waits takes a clock, so that a test can let ten minutes pass at once.

export interface Clock {
  /** Milliseconds from an arbitrary start; never jumps back. */
  nowMs(): number;
  /** Runs `action` once after `delayMs`; the result takes it back. */
  after(delayMs: number, action: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Resolves after `delayMs`, or at once when `signal` aborts; the caller looks at the signal. */
export function sleep(
  delayMs: number,
  options: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  const { clock, signal } = options;
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const finish = () => {
      takeBack();
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const takeBack = clock.after(delayMs, finish);
    signal.addEventListener("abort", finish, { once: true });
  });
}

/** Waits for `promise`, but no longer than `limitMs`, and leaves no timer behind. */
export async function settleWithin(promise: Promise<unknown>, limitMs: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<void>((resolve) => (timer = setTimeout(resolve, limitMs)));
  await Promise.race([promise, limit]);
  clearTimeout(timer);
}
