// Rounds of kill -9: load, a kill at a random moment, sometimes another one while the daemon starts again, then the
// whole account of what it owes. A directory serves many rounds, so that its state grows; then a fresh one.
import { interruptedResult } from "../../src/engine/message-history.ts";
import type { OptaEvent } from "../../src/protocol/event.ts";
import { createRandom, type Random } from "../../test/support/command-lines.ts";
import { createCrashClient, type CrashSession, newCrashSession } from "./crash-client.ts";
import {
  type CrashPlace,
  createCrashPlace,
  endDaemon,
  spawnDaemon,
  startDaemon,
} from "./crash-daemon.ts";
import { type CrashLoad, startLoad } from "./crash-load.ts";
import { startCrashModel } from "./crash-model.ts";
import { verify } from "./crash-verify.ts";

export interface RoundsOptions {
  readonly executable: string;
  readonly seed: number;
  readonly rounds: number;
  /** Then a fresh directory. */
  readonly roundsPerPlace: number;
  readonly onRound?: (round: number) => Promise<void>;
}

export interface RoundsReport {
  readonly problems: readonly string[];
  /** Kills while the daemon was starting. */
  readonly startKills: number;
  /** Of every restart, from spawning the process to its first answer. */
  readonly readyMs: readonly number[];
  readonly struck: Struck;
}

/** What the kills struck: a run whose turns had all ended, or never began, would show nothing. */
export interface Struck {
  readonly events: number;
  /** By the WebSocket clients, before the kills. */
  readonly observed: number;
  readonly turns: number;
  readonly unfinishedTurns: number;
  readonly runningCalls: number;
  readonly openQuestions: number;
}

/** A session that has that many turns is left alone: what it owes is looked at again when the directory is done. */
const turnsPerSession = 8;

export async function crashRounds(options: RoundsOptions): Promise<RoundsReport> {
  const { executable, seed, rounds, roundsPerPlace } = options;
  await using model = await startCrashModel();
  const reports: RoundsReport[] = [];
  for (let first = 1; first <= rounds; first += roundsPerPlace) {
    const random = createRandom(seed + first);
    using place = createCrashPlace({ executable, modelPort: model.port, random });
    const last = Math.min(rounds, first + roundsPerPlace - 1);
    reports.push(await runPlace(place, { ...options, first, last }));
  }
  const refusals = (await model.refusals()).map((why) => `the model was asked: ${why}`);
  return {
    problems: [...reports.flatMap(({ problems }) => problems), ...refusals],
    startKills: reports.reduce((sum, { startKills }) => sum + startKills, 0),
    readyMs: reports.flatMap(({ readyMs }) => readyMs),
    struck: addUp(reports.map(({ struck }) => struck)),
  };
}

async function runPlace(
  place: CrashPlace,
  span: RoundsOptions & { readonly first: number; readonly last: number },
): Promise<RoundsReport> {
  const sessions: CrashSession[] = [];
  const problems: string[] = [];
  const readyMs: number[] = [];
  let startKills = 0;
  let observed = 0;
  const mark = markOf(span.seed);
  let daemon = await startDaemon(place);
  try {
    for (let round = span.first; round <= span.last; round++) {
      const random = createRandom(span.seed * 1_000_003 + round);
      const nextId = createIds(mark, round);
      const chosen = chooseSessions(sessions, { random, nextId, place });
      const client = createCrashClient(daemon);
      const load = startLoad({ client, sessions: chosen, random, nextId });
      await killMoment(load, random);
      const killedAtMs = performance.now();
      await endDaemon(daemon);
      const refused = await load.end();
      observed += load.frames();
      startKills += await killStarting(place, random);
      daemon = await startDaemon(place);
      readyMs.push(daemon.readyMs);
      const inspected = sessions.filter(({ isDirty }) => isDirty || round === span.last);
      const asked = { client: createCrashClient(daemon), sessions: inspected, mark, killedAtMs };
      const wrong = [...refused, ...(await verify(asked))];
      problems.push(...wrong.map((problem) => `round ${round}: ${problem}`));
      await span.onRound?.(round);
    }
  } finally {
    await endDaemon(daemon);
  }
  const struck = addUp(sessions.map(struckIn));
  return { problems, startKills, readyMs, struck: { ...struck, observed } };
}

function struckIn({ observed, submissions }: CrashSession): Struck {
  const events = [...observed.values()].map((text) => JSON.parse(text) as OptaEvent);
  const count = (isMeant: (event: OptaEvent) => boolean) => events.filter(isMeant).length;
  return {
    events: events.length,
    observed: 0,
    turns: submissions.length,
    unfinishedTurns: count(
      ({ event, payload }) => event === "turn.error" && payload.code === "daemon-restarted",
    ),
    runningCalls: count(
      ({ event, payload }) => event === "tool.result" && payload.result === interruptedResult,
    ),
    openQuestions: count(
      ({ event, payload }) =>
        event === "permission.resolved" && payload.reason === "the daemon went down",
    ),
  };
}

function addUp(all: readonly Struck[]): Struck {
  const sum = (key: keyof Struck) => all.reduce((total, each) => total + each[key], 0);
  return {
    events: sum("events"),
    observed: sum("observed"),
    turns: sum("turns"),
    unfinishedTurns: sum("unfinishedTurns"),
    runningCalls: sum("runningCalls"),
    openQuestions: sum("openQuestions"),
  };
}

function createIds(mark: string, round: number): () => string {
  let count = 0;
  return () => `${mark}${String(round).padStart(5, "0")}${String(count++).padStart(3, "0")}`;
}

/** Digits that stand in the arguments of every process a tool starts in this run. */
function markOf(seed: number): string {
  return `9${String(process.pid % 100_000).padStart(5, "0")}${seed % 10}`;
}

function chooseSessions(
  sessions: CrashSession[],
  { random, nextId, place }: { random: Random; nextId: () => string; place: CrashPlace },
): readonly CrashSession[] {
  const open = sessions.filter(({ submissions }) => submissions.length < turnsPerSession);
  return Array.from({ length: 1 + random.below(2) }, () => {
    const [known] = open.splice(random.below(open.length + 2), 1);
    if (known !== undefined) return known;
    const id = `s${nextId()}`;
    const made = newCrashSession(id, place.workspace(id));
    sessions.push(made);
    return made;
  });
}

/** Longer loads would mostly find turns that are over, or that wait for somebody. */
const loadLimitMs = 300;
/** Longer than a start takes, so that some are over. */
const startLimitMs = 120;

/** Any time of the first moments, or when the clients have seen so many frames. */
async function killMoment(load: CrashLoad, random: Random): Promise<void> {
  const afterMs = random.below(loadLimitMs);
  const afterFrames = random.below(2) === 0 ? random.below(60) : Infinity;
  const beganMs = performance.now();
  while (performance.now() - beganMs < afterMs && load.frames() < afterFrames) await Bun.sleep(1);
}

/** One restart of four is killed, too, and perhaps the next one again. */
async function killStarting(place: CrashPlace, random: Random): Promise<number> {
  let kills = 0;
  while (random.below(4) === 0) {
    const starting = spawnDaemon(place);
    await Bun.sleep(random.below(startLimitMs));
    await endDaemon(starting);
    kills += 1;
  }
  return kills;
}
