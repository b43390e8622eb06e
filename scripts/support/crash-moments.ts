// Kills at chosen moments of a turn's life: when its client has seen its k-th event, for every k (promise E9), right
// behind the 202 that accepted it (promise E8), and right behind its cancel (promise C2).
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "../../test/support/command-lines.ts";
import {
  createCrashClient,
  type CrashSession,
  newCrashSession,
  type Submission,
} from "./crash-client.ts";
import {
  type CrashPlace,
  createCrashPlace,
  endDaemon,
  startDaemon,
  type StartedDaemon,
} from "./crash-daemon.ts";
import { startCrashModel } from "./crash-model.ts";
import { type PlannedTurn, prepareFiles, ranFile } from "./crash-plan.ts";
import { verify } from "./crash-verify.ts";

export interface MomentsOptions {
  readonly executable: string;
  readonly seed: number;
}

export interface MomentsReport {
  readonly kills: number;
  readonly problems: readonly string[];
}

/** Events of the turn in which every one is a moment to die at. */
export const eventsOfTurn = 40;

/** One turn per k of `indexes`, from 1 to eventsOfTurn. */
export function crashAtEvents(
  options: MomentsOptions & { readonly indexes: readonly number[] },
): Promise<MomentsReport> {
  return inOnePlace(options, options.indexes, async ({ daemon, session, moment, mark }) => {
    const client = createCrashClient(daemon);
    const submission: Submission = { key: "k", plan: longTurn(mark, moment), turnId: undefined };
    session.submissions.push(submission);
    await prepareFiles(session.workspace, submission.plan);
    await client.create(session);
    let seen = 0;
    let hasEnded = false;
    const observer = client.observe(session, 0, ({ event, payload }) => {
      if (payload?.["turnId"] === undefined) return;
      seen += 1;
      if (seen === moment) return daemon.kill();
      if (event === "permission.request") {
        const requestId = payload["requestId"] ?? "";
        void client.resolve(session, requestId, "allow").catch(() => undefined);
      }
      hasEnded ||= event === "turn.done" || event === "turn.error";
      if (hasEnded) daemon.kill();
    });
    await client.submit(session, submission).catch(() => undefined);
    await observer.closed;
    return seen < moment ? [`the turn had ${seen} events only`] : [];
  });
}

/** Two turns in each of `count` sessions; the daemon dies when the second 202 is there. */
export function crashBehindAcceptance(
  options: MomentsOptions & { readonly count: number },
): Promise<MomentsReport> {
  const moments = Array.from({ length: options.count }, (_, index) => index + 1);
  return inOnePlace(options, moments, async ({ daemon, session, moment, mark }) => {
    const client = createCrashClient(daemon);
    await client.create(session);
    for (const key of ["running", "waiting"]) {
      const plan = longTurn(mark, 2 * moment + session.submissions.length);
      const submission: Submission = { key, plan, turnId: undefined };
      await prepareFiles(session.workspace, plan);
      session.submissions.push(submission);
      await client.submit(session, submission);
    }
    daemon.kill();
    return [];
  });
}

/** `count` commands that do not heed SIGTERM are cancelled; their daemon dies while it waits for them to end. */
export function crashBehindCancel(
  options: MomentsOptions & { readonly count: number },
): Promise<MomentsReport> {
  const moments = Array.from({ length: options.count }, (_, index) => index + 1);
  return inOnePlace(options, moments, async ({ daemon, session, moment, mark }) => {
    const client = createCrashClient(daemon);
    const id = `${mark}${String(moment).padStart(3, "0")}0`;
    const plan: PlannedTurn = {
      steps: [{ tokens: 1, calls: [{ id, kind: "deaf", answer: "allow" }] }],
      gapMs: 0,
      permissionMode: "dangerous",
    };
    const submission: Submission = { key: "k", plan, turnId: undefined };
    session.submissions.push(submission);
    await client.create(session);
    await client.submit(session, submission);
    const ran = join(session.workspace, ranFile);
    while (!existsSync(ran)) await Bun.sleep(5);
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    client.observe(session, 0, ({ event }) => event === "turn.error" && resolve());
    await client.cancel(session, submission.turnId ?? "");
    await ended;
    daemon.kill();
    return [];
  });
}

interface Moment {
  readonly daemon: StartedDaemon;
  readonly session: CrashSession;
  readonly moment: number;
  readonly mark: string;
}

/** For each moment a session of its own: `work` brings the daemon down, the next one is asked what is left. */
async function inOnePlace(
  { executable, seed }: MomentsOptions,
  moments: readonly number[],
  work: (moment: Moment) => Promise<readonly string[]>,
): Promise<MomentsReport> {
  await using model = await startCrashModel();
  using place: CrashPlace = createCrashPlace({
    executable,
    modelPort: model.port,
    random: createRandom(seed),
  });
  const mark = `9${String(process.pid % 100_000).padStart(5, "0")}8`;
  const problems: string[] = [];
  let daemon = await startDaemon(place);
  try {
    for (const moment of moments) {
      const id = `moment${moment}`;
      const session = newCrashSession(id, place.workspace(id));
      const told = await work({ daemon, session, moment, mark });
      const killedAtMs = performance.now();
      await endDaemon(daemon);
      daemon = await startDaemon(place);
      const client = createCrashClient(daemon);
      const wrong = await verify({ client, sessions: [session], mark, killedAtMs });
      problems.push(...[...told, ...wrong].map((problem) => `moment ${moment}: ${problem}`));
    }
  } finally {
    await endDaemon(daemon);
  }
  problems.push(...(await model.refusals()).map((why) => `the model was asked: ${why}`));
  return { kills: moments.length, problems };
}

/** At least eventsOfTurn events: queued, start, tokens, calls with a question each (4 events), done. */
function longTurn(mark: string, number: number): PlannedTurn {
  const id = (call: number) => `${mark}${String(number).padStart(3, "0")}${call}`;
  return {
    steps: [
      { tokens: 7, calls: [{ id: id(1), kind: "edit", answer: "allow" }] },
      { tokens: 6, calls: [{ id: id(2), kind: "run", answer: "allow" }] },
      { tokens: 6, calls: [{ id: id(3), kind: "write", answer: "allow" }] },
      { tokens: 6, calls: [] },
    ],
    gapMs: 2,
    permissionMode: "safe",
  };
}
