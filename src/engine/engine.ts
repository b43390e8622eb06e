// The engine: sessions and the operations on them. The same object serves a one-shot `opta do` and the
// daemon; it knows no terminal, no HTTP and no configuration file.
import type { OptaError } from "../protocol/error.ts";
import type { OptaEvent } from "../protocol/event.ts";
import type { CheckedParams, OperationName, OperationResult } from "../protocol/operations.ts";
import { createBackground } from "./background.ts";
import { createBackgroundOperations } from "./background-operations.ts";
import type { EngineOptions, EngineParts, Handlers } from "./engine-parts.ts";
import { createLmxOperations } from "./lmx-operations.ts";
import { createModelConnections } from "./model-connections.ts";
import { createOpenSessions } from "./open-sessions.ts";
import { createPermissionOperations } from "./permission-operations.ts";
import { createSessionOperations } from "./session-operations.ts";
import { createTurnOperations } from "./turn-operations.ts";

export interface Engine {
  /** @throws OptaError; params are taken as checked against the operations table. */
  call<N extends OperationName>(
    operation: N,
    params: CheckedParams<N>,
    signal: AbortSignal,
  ): Promise<OperationResult<N>>;
  /** @throws OptaError before-retention | ahead-of-head for a bad cursor */
  events(sessionId: string, afterSeq: number, signal: AbortSignal): AsyncIterable<OptaEvent>;
  /** A permission answer that is none: the request it names is denied (promises G1). */
  denyMalformed(requestId: string, why: string): boolean;
  /** True while something runs or waits in the session. */
  isBusy(sessionId: string): boolean;
  activity(): { readonly sessions: number; readonly active: number; readonly queued: number };
  /** Accepts no turn any more, cancels what runs with `reason`, waits for it, frees locks and sockets. */
  close(reason?: OptaError): Promise<void>;
}

export function createEngine(options: EngineOptions): Engine {
  const { log, now, settings } = options;
  const models = createModelConnections(settings);
  const sessions = createOpenSessions({
    ...options,
    questionTimeoutMs: () => settings().permissions.timeoutMs,
  });
  const parts: EngineParts = { options, sessions, models };
  const background = createBackground({
    start: options.startProcess,
    now,
    emit: (sessionId, kind, payload) => log.append(sessionId, kind, payload),
    onIdle: (sessionId) => ofBackground.noteIdle(sessionId),
  });
  const ofBackground = createBackgroundOperations(parts, background);
  const turns = createTurnOperations(parts);
  const permissions = createPermissionOperations(parts);
  const ofSessions = createSessionOperations(parts, background);
  const handlers: Handlers = {
    ...ofSessions,
    ...turns,
    ...permissions,
    ...ofBackground,
    ...createLmxOperations(() => settings().provider),
  };

  return {
    call: (operation, params, signal) => handlers[operation](params, signal),
    events: (sessionId, afterSeq, signal) => log.subscribe(sessionId, afterSeq, signal),
    denyMalformed: permissions.denyMalformed,
    isBusy: (sessionId) => sessions.find(sessionId)?.isBusy() ?? false,
    activity() {
      const counts = sessions.all().map((session) => session.turnCount());
      return {
        sessions: counts.length,
        active: counts.filter(({ active }) => active).length,
        queued: counts.reduce((sum, { queued }) => sum + queued, 0),
      };
    },
    async close(reason) {
      if (reason !== undefined) turns.refuse(reason);
      models.close();
      try {
        // No turn goes on while the processes beside it get their time to end.
        for (const session of sessions.all()) session.cancel(() => true, reason);
        await background.closeAll();
      } finally {
        // What fails beside the turns must not keep them from their end.
        await sessions.close(reason);
        settings().provider.close();
      }
    },
  };
}
