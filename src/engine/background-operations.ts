// The operations on background processes: which session they belong to, whether the user's rules allow them, and
// that the session stays held while they run. The processes themselves are background.ts.
import { resolve } from "node:path";
import { OptaError } from "../protocol/error.ts";
import type { Background } from "./background.ts";
import type { EngineParts, Handlers } from "./engine-parts.ts";
import { configuredPolicy } from "./policy.ts";
import { resolveWorkspace } from "./workspace-directory.ts";

type BackgroundOperation =
  | "background.list"
  | "background.start"
  | "background.status"
  | "background.output"
  | "background.kill";

export interface BackgroundOperations extends Handlers<BackgroundOperation> {
  /** The last running process of a session has ended. */
  noteIdle(sessionId: string): void;
}

export function createBackgroundOperations(
  { options, sessions }: EngineParts,
  background: Background,
): BackgroundOperations {
  /** What keeps a session held while processes of it run. */
  const keepers = new Map<string, () => void>();

  /** Whoever asks is the user, so that a question is answered; what the user's rules or mode deny stays denied. */
  function refuseDenied(workspace: string, command: string): void {
    const { permissions } = options.settings();
    const { judge } = configuredPolicy(options, { workspace, permissions });
    const verdict = judge("run_command", [{ kind: "exec", command }]);
    if (verdict.decision !== "deny") return;
    throw new OptaError(
      "denied",
      `denied by policy (${verdict.rule}): ${verdict.reason}`,
      verdict.remedy,
    );
  }

  return {
    async "background.list"({ sessionId }) {
      if (sessionId !== undefined && options.store.stamp(sessionId) === undefined) {
        const message = `there is no session ${sessionId}`;
        throw new OptaError("not-found", message, "opta sessions list");
      }
      return { processes: [...background.list(sessionId)] };
    },
    "background.start": ({ sessionId, command, label, cwd, timeoutMs }) =>
      sessions.whileHeld(sessionId, async (session) => {
        const { workspace, path = options.toolPath } = session.file.metadata;
        const directory = await resolveWorkspace(resolve(workspace, cwd ?? "."));
        refuseDenied(workspace, command);
        const labelled = label === undefined ? {} : { label };
        const started = { sessionId, command, directory, path, timeoutMs, ...labelled };
        const process = background.start(started);
        if (background.runningIn(sessionId) > 0 && !keepers.has(sessionId)) {
          keepers.set(sessionId, session.keepBusy());
        }
        return { process };
      }),
    "background.status": async (params) => ({ process: background.status(params) }),
    "background.output": async (params) => {
      const { chunks, ...rest } = background.output(params);
      return { ...rest, chunks: [...chunks] };
    },
    "background.kill": (params) => background.kill(params),
    noteIdle(sessionId) {
      keepers.get(sessionId)?.();
      keepers.delete(sessionId);
    },
  };
}
