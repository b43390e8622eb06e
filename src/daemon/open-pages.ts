// The connections that pages keep open (sockets, event streams). Requests are judged one by one (answer-request.ts);
// these are looked at while there are any, so that a page whose origin was revoked soon hears nothing more.
import type { Clock } from "../base/clock.ts";
import { createRecurring } from "../base/recurring.ts";
import type { Access, Admission } from "./access.ts";

export interface OpenPages {
  /**
   * @param end ends the connection; called when it may not stay
   * @returns to be called when it is over
   */
  keep(admission: Admission, end: () => void): () => void;
}

const lookEveryMs = 5_000;

export function createOpenPages(options: {
  readonly access: Pick<Access, "isStillAllowed">;
  readonly clock: Clock;
  readonly refreshSettings: () => Promise<void>;
}): OpenPages {
  const { access, clock } = options;
  const connections = new Map<() => void, Admission>();
  async function look(): Promise<void> {
    await options.refreshSettings();
    for (const [end, admission] of connections) {
      if (access.isStillAllowed(admission)) continue;
      connections.delete(end);
      end();
    }
    update();
  }

  const update = createRecurring({
    clock,
    everyMs: lookEveryMs,
    isNeeded: () => connections.size > 0,
    round: () => void look(),
  });

  return {
    keep(admission, end) {
      // No page opened it: whoever has the token may stay.
      if (admission.origin === null) return () => undefined;
      connections.set(end, admission);
      update();
      return () => {
        connections.delete(end);
        update();
      };
    },
  };
}
