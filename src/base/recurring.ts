// Something that is done every so often while it is needed: one timer at most, and none while nobody needs it.
import type { Clock } from "./clock.ts";

/** @returns to be called whenever `isNeeded` may have changed */
export function createRecurring(options: {
  readonly clock: Clock;
  readonly everyMs: number;
  readonly isNeeded: () => boolean;
  readonly round: () => void;
}): () => void {
  const { clock, everyMs, isNeeded, round } = options;
  let takeBack: (() => void) | undefined;

  function update(): void {
    if (isNeeded()) {
      takeBack ??= clock.after(everyMs, () => {
        takeBack = undefined;
        round();
        update();
      });
      return;
    }
    takeBack?.();
    takeBack = undefined;
  }
  return update;
}
