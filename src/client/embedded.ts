// The embedded client: the engine in this process, behind the same contract as the daemon's.
import { invalidParams } from "../protocol/invalid-params.ts";
import { operations } from "../protocol/operations.ts";
import type { Engine } from "../engine/engine.ts";
import type { Client } from "./client.ts";

export function createEmbeddedClient(engine: Engine): Client {
  return {
    async call(operation, params, options) {
      const checked = operations[operation].params.safeParse(params);
      if (!checked.success) throw invalidParams(checked.error.issues, operation);
      // The table ties params to the operation; a generic name hides that from the checker.
      const signal = options?.signal ?? new AbortController().signal;
      return engine.call(operation, checked.data as never, signal);
    },
    events: (sessionId, { afterSeq, signal }) => engine.events(sessionId, afterSeq, signal),
    close: () => engine.close(),
  };
}
