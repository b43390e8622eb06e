// The embedded client: the engine in this process, behind the same contract as the daemon's.
import { OptaError } from "../protocol/error.ts";
import { operations } from "../protocol/operations.ts";
import type { Engine } from "../engine/engine.ts";
import type { Client } from "./client.ts";

export function createEmbeddedClient(engine: Engine): Client {
  return {
    async call(operation, params, options) {
      const checked = operations[operation].params.safeParse(params);
      if (!checked.success) {
        const issue = checked.error.issues[0];
        throw new OptaError(
          "usage",
          `${issue?.path.join(".") || operation}: ${issue?.message ?? "invalid parameters"}`,
          issue?.path.includes("sessionId") ? "opta sessions list" : undefined,
        );
      }
      // The table ties params to the operation; a generic name hides that from the checker.
      const signal = options?.signal ?? new AbortController().signal;
      return engine.call(operation, checked.data as never, signal);
    },
    events: (sessionId, { afterSeq, signal }) => engine.events(sessionId, afterSeq, signal),
    close: () => engine.close(),
  };
}
