// The operations on turns: submit one, cancel some. What a turn does is turn.ts.
import { createId } from "../base/ids.ts";
import { assertNever } from "../base/assert-never.ts";
import { OptaError } from "../protocol/error.ts";
import type { CheckedParams } from "../protocol/operations.ts";
import type { PermissionMode } from "../protocol/permission.ts";
import { titleFromPrompt } from "../protocol/session.ts";
import type { EngineParts, Handlers } from "./engine-parts.ts";
import type { EngineSettings } from "./engine-settings.ts";
import { openSystemMessage, openUserMessage } from "./opening-messages.ts";
import { policyFor } from "./policy.ts";
import type { Session, Turn } from "./session.ts";
import { toToolSchemas } from "./tool-schemas.ts";
import { runTurn } from "./turn.ts";
import type { TurnContext } from "./turn-context.ts";
import { resolveParent, resolveWorkspace } from "./workspace-directory.ts";

type SubmitParams = CheckedParams<"turn.submit">;

export interface TurnOperations extends Handlers<"turn.submit" | "turn.cancel"> {
  /** No turn is accepted any more. */
  refuse(reason: OptaError): void;
}

export function createTurnOperations(parts: EngineParts): TurnOperations {
  const { options, sessions, models } = parts;
  const { store, events, log, now, platform } = options;
  let refusal: OptaError | undefined;
  const accepting = createAccepting();

  async function turnContext(
    session: Session,
    turn: Turn,
    { params, settings }: { readonly params: SubmitParams; readonly settings: EngineSettings },
  ): Promise<TurnContext> {
    const { workspace } = session.file.metadata;
    const outputDirectory = await resolveParent(store.outputDirectory(session.id));
    return {
      turnId: turn.turnId,
      session,
      provider: settings.provider,
      tools: new Map(settings.tools.map((tool) => [tool.name, tool])),
      toolSchemas: toToolSchemas(settings.tools),
      workspace,
      toolPath: session.file.metadata.path ?? options.toolPath,
      outputDirectory,
      maxSteps: params.overrides?.maxSteps ?? settings.maxSteps,
      signal: turn.abort.signal,
      settingsDirectory: options.settingsDirectory,
      ...policyFor(options, {
        workspace,
        mode: permissionModeOf(params, settings.permissions.mode),
        rules: settings.permissions.rules,
        sessionRules: session.rules,
        readableDirectories: [outputDirectory],
      }),
      keep: (name, text) => store.keep(session.id, name, text),
      counters: {
        steps: 0,
        compactions: 0,
        compactedAtStep: undefined,
        promptTokens: 0,
        completionTokens: 0,
        toolCalls: 0,
        deniedCalls: 0,
        firstTokenMs: undefined,
      },
    };
  }

  function enqueue(session: Session, params: SubmitParams): { turnId: string; queued: number } {
    const { file } = session;
    const turnId = `turn_${createId()}`;
    const turn: Turn = {
      turnId,
      clientId: params.clientId,
      writerId: params.writerId,
      content: params.content,
      mode: params.mode,
      idempotencyKey: params.idempotencyKey,
      abort: new AbortController(),
    };
    const ahead = session.turnCount();
    session.enqueue(turn, async () => {
      // What holds when it starts, not when it was submitted: permissions may have been narrowed meanwhile.
      await options.refreshSettings();
      const settings = options.settings();
      const wanted = params.overrides?.model ?? models.ofSession(file);
      const context = await turnContext(session, turn, { params, settings });
      await runTurn(turn, context, {
        connect: (signal) => models.connect(wanted, { provider: settings.provider, signal }),
        systemMessage: () => openSystemMessage(context),
        async userMessage() {
          const { workspace } = context;
          const message = await openUserMessage(params.content, {
            workspace,
            platform,
            now: now(),
          });
          return { ...message, turnId };
        },
        messageSaved: () => events.noteMessageSaved(turnId),
      });
    });
    if (file.title === "") file.title = titleFromPrompt(params.content);
    return { turnId, queued: ahead.queued + (ahead.active ? 1 : 0) };
  }

  /** A client that missed the end of its turn is waiting for a stop event (contracts/daemon-v3.md section 6.3). */
  async function tellNothingCancelled({
    sessionId,
    ...who
  }: CheckedParams<"turn.cancel">): Promise<void> {
    if (!events.isDurable) return;
    const { turnId, writerId } = who;
    await sessions
      .whileHeld(sessionId, (session) =>
        session.emit("session.cancelled", {
          cancelled: 0,
          ...(turnId === undefined ? {} : { turnId }),
          ...(writerId === undefined ? {} : { writerId }),
        }),
      )
      // Another process has the session: its clients are not ours.
      .catch(() => undefined);
  }

  function accept(params: SubmitParams): Promise<{ turnId: string; queued: number }> {
    const { sessionId, idempotencyKey, lastSeenSeq } = params;
    return sessions.whileHeld(sessionId, async (session) => {
      // One that is gone is an error of the call, not of the turn.
      await resolveWorkspace(session.file.metadata.workspace);
      // From here on nothing is waited for: a key is taken once.
      const known = idempotencyKey && events.turnWithKey(sessionId, idempotencyKey);
      if (known) return { turnId: known, queued: session.turnCount().queued };
      const seq = log.lastSeq(sessionId);
      if (lastSeenSeq !== undefined && lastSeenSeq < seq) {
        throw new OptaError(
          "state-conflict",
          `session ${sessionId} has gone on to event ${seq}; you have seen ${lastSeenSeq}`,
        );
      }
      if (refusal !== undefined) throw refusal;
      return enqueue(session, params);
    });
  }

  return {
    refuse(reason) {
      refusal = reason;
    },
    async "turn.submit"(params) {
      if (refusal !== undefined) throw refusal;
      return accepting.whileUnderWay(params.sessionId, accept(params));
    },
    async "turn.cancel"({ sessionId, turnId, writerId }) {
      const isMeant = (turn: Turn) =>
        (turnId !== undefined || writerId !== undefined) &&
        (turnId === undefined || turn.turnId === turnId) &&
        (writerId === undefined || turn.writerId === writerId);
      const now = sessions.find(sessionId)?.cancel(isMeant) ?? noneCancelled;
      // Whoever submits a turn and cancels it at once means that one, too; whoever names one knows that it is there.
      const isByWriter = turnId === undefined && writerId !== undefined;
      const accepted = isByWriter ? await accepting.settled(sessionId) : none;
      const session = sessions.find(sessionId);
      if (session === undefined && store.stamp(sessionId) === undefined) throw noSession(sessionId);
      const late =
        session?.cancel((turn) => accepted.has(turn.turnId) && isMeant(turn)) ?? noneCancelled;
      // Of two that ran, the second one waited for the first when it was cancelled.
      const hasWaited = now.cancelledActive && late.cancelledActive;
      const cancelledQueued = now.cancelledQueued + late.cancelledQueued + Number(hasWaited);
      const cancelledActive = now.cancelledActive || late.cancelledActive;
      const cancelled = cancelledQueued + (cancelledActive ? 1 : 0);
      const { queued, active } = session?.turnCount() ?? { queued: 0, active: false };
      if (cancelled === 0 && queued === 0 && !active) {
        await tellNothingCancelled({ sessionId, turnId, writerId });
      }
      return { ok: true, cancelled, cancelledQueued, cancelledActive };
    },
  };
}

const none: ReadonlySet<string> = new Set();
const noneCancelled = { cancelledQueued: 0, cancelledActive: false } as const;

/** The submissions that are under way: they came, and are no turns yet. */
function createAccepting() {
  const bySession = new Map<string, Set<Promise<{ turnId: string }>>>();
  return {
    async whileUnderWay<T extends { turnId: string }>(
      sessionId: string,
      submission: Promise<T>,
    ): Promise<T> {
      const underWay = bySession.get(sessionId) ?? new Set();
      bySession.set(sessionId, underWay.add(submission));
      try {
        return await submission;
      } finally {
        underWay.delete(submission);
        if (underWay.size === 0) bySession.delete(sessionId);
      }
    },
    /** Resolves when those of now are over. @returns their turns */
    async settled(sessionId: string): Promise<ReadonlySet<string>> {
      const ended = await Promise.allSettled(bySession.get(sessionId) ?? []);
      const accepted = ended.filter((each) => each.status === "fulfilled");
      return new Set(accepted.map(({ value }) => value.turnId));
    },
  };
}

function noSession(sessionId: string): OptaError {
  return new OptaError("not-found", `there is no session ${sessionId}`, "opta sessions list");
}

/** Plan and review turns are read-only, whatever overrides and configuration say; else a turn's own mode comes first. */
function permissionModeOf(params: SubmitParams, configured: PermissionMode): PermissionMode {
  const { permissionMode, dangerous, auto } = params.overrides ?? {};
  const { mode } = params;
  switch (mode) {
    case "plan":
    case "research":
      return "plan";
    case "review":
      return "review";
    case "chat":
    case "do":
      return permissionMode ?? (dangerous ? "dangerous" : auto ? "auto" : configured);
    default:
      return assertNever(mode);
  }
}
