// Questions to the user and their answers. A question is an event up and an operation down; the first
// valid answer wins, and a turn that ends takes its open questions with it (denied). Whether to ask at all
// is decided in permission-policy.ts.
import { createId } from "../base/ids.ts";
import { OptaError } from "../protocol/error.ts";
import type { EventPayload } from "../protocol/event.ts";

export interface PermissionAnswer {
  readonly decision: "allow" | "deny";
  readonly decidedBy: string;
  readonly reason?: string | undefined;
  /** Nobody could be asked. */
  readonly unattended?: boolean | undefined;
  readonly always?: boolean | undefined;
  readonly answer?: string | undefined;
}

type Question = Omit<EventPayload<"permission.request">, "requestId">;

export interface PermissionDesk {
  /** Publishes the question and waits for its answer; an abort or a timeout counts as a denial. */
  ask(question: Question, signal: AbortSignal): Promise<PermissionAnswer>;
  /**
   * @throws OptaError not-found (no such request) | state-conflict (somebody answered before) | storage-full |
   *   storage-failed (then nothing was allowed)
   */
  resolve(requestId: string, answer: PermissionAnswer): void;
  /** True for a request that waits for its answer. */
  isOpen(requestId: string): boolean;
}

export interface PermissionEvents {
  requested(payload: EventPayload<"permission.request">): void;
  resolved(payload: EventPayload<"permission.resolved">): void;
  /** How long a question waits. */
  timeoutMs(): number;
}

/** Who decides where nobody answered: never an allow. */
export const decidedByOpta = "opta";

/** Decided requests that are remembered, so that a late answer learns who was first. */
const rememberedDecisions = 200;

export function createPermissionDesk(events: PermissionEvents): PermissionDesk {
  const open = new Map<string, (answer: PermissionAnswer) => unknown>();
  const decidedBy = new Map<string, string>();

  return {
    ask(question, signal) {
      const requestId = `perm_${createId()}`;
      const { promise, resolve, reject } = Promise.withResolvers<PermissionAnswer>();
      const deny = (reason: string) =>
        void settle({ decision: "deny", decidedBy: decidedByOpta, reason });
      const abandon = () => deny("cancelled");
      let timer: ReturnType<typeof setTimeout> | undefined;
      /** @returns why it could not be stored: then nothing is allowed, and nobody answers any more */
      function settle(answer: PermissionAnswer): unknown {
        open.delete(requestId);
        clearTimeout(timer);
        signal.removeEventListener("abort", abandon);
        decidedBy.set(requestId, answer.decidedBy);
        const oldest = decidedBy.keys().next().value;
        if (decidedBy.size > rememberedDecisions && oldest !== undefined) decidedBy.delete(oldest);
        const { turnId } = question;
        const { decision, decidedBy: by, reason } = answer;
        try {
          // Stored before anything runs on it (promises G4): an allow that cannot be stored is none.
          events.resolved({
            turnId,
            requestId,
            decision,
            decidedBy: by,
            ...(reason === undefined ? {} : { reason }),
          });
        } catch (error) {
          reject(error);
          return error;
        }
        resolve(answer);
        return undefined;
      }
      events.requested({ ...question, requestId });
      open.set(requestId, settle);
      if (signal.aborted) abandon();
      else signal.addEventListener("abort", abandon, { once: true });
      const timeoutMs = events.timeoutMs();
      if (open.has(requestId)) {
        timer = setTimeout(() => deny(`nobody answered within ${seconds(timeoutMs)}`), timeoutMs);
      }
      return promise;
    },
    resolve(requestId, answer) {
      const settle = open.get(requestId);
      if (settle) {
        const failure = settle(answer);
        if (failure !== undefined) throw failure;
        return;
      }
      const winner = decidedBy.get(requestId);
      if (winner === undefined) {
        throw new OptaError("not-found", `there is no permission request ${requestId}`);
      }
      throw alreadyDecided(requestId, winner);
    },
    isOpen: (requestId) => open.has(requestId),
  };
}

/** First valid answer wins (promises G2): what a later one is told. */
export function alreadyDecided(requestId: string, winner: string): OptaError {
  return new OptaError("state-conflict", `${requestId} was already decided by ${winner}`);
}

function seconds(timeMs: number): string {
  return `${Math.round(timeMs / 1000)} s`;
}
