// One round's load on a daemon that is about to be killed: a few sessions, turns over HTTP and WebSocket, answers to
// questions, cancels, keys used twice at once. Ends by itself when the daemon dies.
import type { Random } from "../../test/support/command-lines.ts";
import {
  type CrashClient,
  type CrashSession,
  type Observer,
  RefusedError,
  type Submission,
} from "./crash-client.ts";
import { callsOf, planTurn, prepareFiles } from "./crash-plan.ts";

export interface CrashLoad {
  /** Frames that were seen so far. */
  readonly frames: () => number;
  /** Resolves when every client has noticed that the daemon is gone. @returns what was refused */
  end(): Promise<readonly string[]>;
}

export interface LoadOptions {
  readonly client: CrashClient;
  readonly sessions: readonly CrashSession[];
  readonly random: Random;
  /** A new id: digits, unique in the run. */
  readonly nextId: () => string;
}

const maxTurns = 3;

export function startLoad({ client, sessions, random, nextId }: LoadOptions): CrashLoad {
  const observers: Observer[] = [];
  const refused: string[] = [];
  const work: Promise<void>[] = [];
  let frames = 0;

  /** A connection that breaks is what these rounds are about; a refusal is not. */
  function begin(task: Promise<void>): void {
    work.push(
      task.catch((thrown: unknown) => {
        if (thrown instanceof RefusedError) refused.push(thrown.message);
      }),
    );
  }

  function follow(session: CrashSession): Observer {
    const answers = new Map(
      session.submissions.flatMap(({ plan }) => callsOf(plan).map((call) => [call.id, call])),
    );
    const observer = client.observe(session, session.observed.size, ({ event, payload = {} }) => {
      frames += 1;
      if (event !== "permission.request") return;
      const { requestId = "", callId = "" } = payload;
      const answer = answers.get(callId)?.answer ?? "never";
      if (answer !== "never") begin(client.resolve(session, requestId, answer));
    });
    observers.push(observer);
    return observer;
  }

  async function drive(session: CrashSession): Promise<void> {
    const submissions: Submission[] = Array.from({ length: random.below(maxTurns + 1) }, () => ({
      key: nextId(),
      plan: planTurn(random, nextId),
      turnId: undefined,
    }));
    const pauses = submissions.map(() => random.below(30));
    const ways = submissions.map(() => random.below(6));
    const cancels = submissions.map(() => (random.below(5) === 0 ? random.below(60) : undefined));
    const hasSecondClient = random.below(3) === 0;
    for (const { plan } of submissions) await prepareFiles(session.workspace, plan);
    session.submissions.push(...submissions);
    session.isDirty = true;
    const observer = follow(session);
    if (hasSecondClient) observers.push(client.observe(session, 0));
    if (!session.isAccepted) await client.create(session);
    for (const [index, submission] of submissions.entries()) {
      await Bun.sleep(pauses[index] ?? 0);
      if (ways[index] === 0) await observer.submit(submission);
      else if (ways[index] === 1) {
        await Promise.all([1, 2].map(() => client.submit(session, submission)));
      } else await client.submit(session, submission);
      const cancelMs = cancels[index];
      if (cancelMs !== undefined) begin(cancelLater(session, submission, cancelMs));
    }
  }

  async function cancelLater(session: CrashSession, { turnId }: Submission, afterMs: number) {
    await Bun.sleep(afterMs);
    if (turnId !== undefined) await client.cancel(session, turnId);
  }

  for (const session of sessions) begin(drive(session));
  return {
    frames: () => frames,
    async end() {
      for (let waited = 0; waited < work.length; waited++) await work[waited];
      await Promise.all(observers.map(({ closed }) => closed));
      return refused;
    },
  };
}
