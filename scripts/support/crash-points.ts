// A kill at every system call with which the daemon's main thread changes files: from its start in a fresh directory
// through a turn with tools and a question, and at every one of a restart that ends what a crash left, twice in a row.
// Needs strace; how calls are found and named is crash-trace.ts.
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
  spawnDaemon,
  startDaemon,
  type StartedDaemon,
} from "./crash-daemon.ts";
import { startCrashModel } from "./crash-model.ts";
import { type PlannedTurn, prepareFiles } from "./crash-plan.ts";
import { type CallPoint, readPoints, traceWords } from "./crash-trace.ts";
import { verify } from "./crash-verify.ts";

export interface PointsOptions {
  readonly executable: string;
  readonly seed: number;
  /** 1 = every call; 5 = every fifth. */
  readonly everyNth: number;
}

export interface PointsReport {
  readonly pointCount: number;
  /** Runs in which the call was reached and the daemon died of it. */
  readonly struckCount: number;
  readonly problems: readonly string[];
}

const mark = `9${String(process.pid % 100_000).padStart(5, "0")}7`;

/** Text, a file changed without a question, a command after one. */
const tracedTurn = (number: number): PlannedTurn => ({
  steps: [
    { tokens: 2, calls: [{ id: `${mark}${number}1`, kind: "edit", answer: "allow" }] },
    { tokens: 1, calls: [{ id: `${mark}${number}2`, kind: "run", answer: "allow" }] },
    { tokens: 2, calls: [] },
  ],
  gapMs: 0,
  permissionMode: "auto",
});

/** Kills at the calls of a daemon's first life. */
export async function crashAtTurnCalls(options: PointsOptions): Promise<PointsReport> {
  await using model = await startCrashModel();
  const random = createRandom(options.seed);
  const createPlace = () =>
    createCrashPlace({ executable: options.executable, modelPort: model.port, random });
  let number = 0;

  async function runOnce(prefix: (place: CrashPlace) => readonly string[]) {
    const place = createPlace();
    const id = `traced${++number}`;
    const session = newCrashSession(id, place.workspace(id));
    const traced = spawnDaemon(place, prefix(place));
    const daemon = await readyOrGone(traced);
    const ended = daemon !== undefined && (await runTurn(daemon, session, tracedTurn(number)));
    await endDaemon(daemon ?? traced);
    return { place, session, ended };
  }

  const undisturbed = await runOnce((place) => traceWords(place));
  const points = chosen(readPoints(undisturbed.place), options);
  undisturbed.place[Symbol.dispose]();
  if (!undisturbed.ended) throw new Error("the undisturbed turn did not end");
  let struckCount = 0;
  const problems: string[] = [];
  for (const point of points) {
    const { place, session, ended } = await runOnce((place) => traceWords(place, point));
    if (!ended) struckCount += 1;
    problems.push(...named(point, await restartAndVerify(place, [session])));
    place[Symbol.dispose]();
  }
  problems.push(...(await model.refusals()).map((why) => `the model was asked: ${why}`));
  return { pointCount: points.length, struckCount, problems };
}

/** Kills at the calls of a restart: two restarts in a row die at the same one, the third has to do it all. */
export async function crashAtRestartCalls(options: PointsOptions): Promise<PointsReport> {
  await using model = await startCrashModel();
  const { executable, seed } = options;
  using origin = createCrashPlace({
    executable,
    modelPort: model.port,
    random: createRandom(seed),
  });
  const sessions = await leaveUnfinished(origin);

  async function restart(place: CrashPlace, point?: CallPoint): Promise<boolean> {
    const traced = spawnDaemon(place, traceWords(place, point));
    const daemon = await readyOrGone(traced);
    await endDaemon(daemon ?? traced);
    return daemon !== undefined;
  }

  const undisturbed = origin.copy();
  if (!(await restart(undisturbed))) throw new Error("the undisturbed restart failed");
  const points = chosen(readPoints(undisturbed), options);
  undisturbed[Symbol.dispose]();
  let struckCount = 0;
  const problems: string[] = [];
  for (const point of points) {
    using place = origin.copy();
    if (!(await restart(place, point))) struckCount += 1;
    await restart(place, point);
    problems.push(...named(point, await restartAndVerify(place, structuredClone(sessions))));
  }
  return { pointCount: points.length, struckCount, problems };
}

/** Dies with a command running, a turn waiting behind it, and a question open in another session. */
async function leaveUnfinished(place: CrashPlace): Promise<CrashSession[]> {
  const turnWith = (calls: PlannedTurn["steps"][number]["calls"]): PlannedTurn => ({
    steps: [{ tokens: 2, calls }],
    gapMs: 0,
    permissionMode: calls[0]?.kind === "hold" ? "dangerous" : "safe",
  });
  const plans = [
    [turnWith([{ id: `${mark}01`, kind: "hold", answer: "allow" }]), turnWith([])],
    [turnWith([{ id: `${mark}02`, kind: "write", answer: "never" }])],
  ];
  const daemon = await startDaemon(place);
  const client = createCrashClient(daemon);
  const sessions: CrashSession[] = [];
  try {
    for (const [index, ofSession] of plans.entries()) {
      const session = newCrashSession(`left${index}`, place.workspace(`left${index}`));
      sessions.push(session);
      await client.create(session);
      const { promise: isUnderWay, resolve } = Promise.withResolvers<void>();
      const awaited = index === 0 ? "tool.start" : "permission.request";
      client.observe(session, 0, ({ event }) => event === awaited && resolve());
      for (const [turn, plan] of ofSession.entries()) {
        const submission = { key: `${index}-${turn}`, plan, turnId: undefined };
        session.submissions.push(submission);
        await client.submit(session, submission);
      }
      await isUnderWay;
    }
  } finally {
    await endDaemon(daemon);
  }
  return sessions;
}

/** @returns whether the turn came to its end */
async function runTurn(
  daemon: StartedDaemon,
  session: CrashSession,
  plan: PlannedTurn,
): Promise<boolean> {
  const client = createCrashClient(daemon);
  const submission: Submission = { key: "k", plan, turnId: undefined };
  const { promise: ended, resolve } = Promise.withResolvers<boolean>();
  void daemon.gone.then(() => resolve(false));
  session.submissions.push(submission);
  await prepareFiles(session.workspace, plan);
  try {
    await client.create(session);
    client.observe(session, 0, ({ event, payload }) => {
      const requestId = payload?.["requestId"] ?? "";
      if (event === "permission.request") {
        void client.resolve(session, requestId, "allow").catch(() => undefined);
      }
      if (event === "turn.done" || event === "turn.error") resolve(true);
    });
    await client.submit(session, submission);
  } catch {
    // It died meanwhile; what it had said counts.
    await daemon.gone;
  }
  return ended;
}

async function restartAndVerify(place: CrashPlace, sessions: readonly CrashSession[]) {
  const killedAtMs = performance.now();
  const daemon = await startDaemon(place);
  try {
    return await verify({ client: createCrashClient(daemon), sessions, mark, killedAtMs });
  } finally {
    await endDaemon(daemon);
  }
}

async function readyOrGone(
  traced: ReturnType<typeof spawnDaemon>,
): Promise<StartedDaemon | undefined> {
  const ready = traced.ready().catch((thrown: unknown) => ({ thrown }));
  const first = await Promise.race([ready, traced.gone.then(() => undefined)]);
  if (first === undefined || !("thrown" in first)) return first;
  const isGone = await Promise.race([traced.gone.then(() => true), Bun.sleep(2_000)]);
  if (isGone) return undefined;
  traced.kill();
  throw first.thrown;
}

function chosen(points: readonly CallPoint[], { everyNth }: PointsOptions): readonly CallPoint[] {
  return points.filter((_, index) => index % everyNth === 0);
}

function named({ name, occurrence }: CallPoint, problems: readonly string[]): readonly string[] {
  return problems.map((problem) => `KILL at ${name} ${occurrence}: ${problem}`);
}
