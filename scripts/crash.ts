// Kills the built daemon and asks the next one what it owes (promises E1, E2, E8, E9, C2): at random moments under load,
// at every system call that changes a file, at every event of a turn, right behind a 202 and a cancel; and cuts the
// power under its event log. Every part prints what it did; the numbers of what it found wrong must be 0.
// Usage: bun scripts/crash.ts [--seed 1] [--rounds 1000] [--every 1] [--accepted 50] [--cancelled 10] [--cuts 500]
//        [--parts rounds,calls,restarts,events,accepted,cancelled,cuts]. Needs dist/opta, and strace for every call.
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  crashAtEvents,
  crashBehindAcceptance,
  crashBehindCancel,
  eventsOfTurn,
} from "./support/crash-moments.ts";
import {
  crashAtRestartCalls,
  crashAtTurnCalls,
  type PointsReport,
} from "./support/crash-points.ts";
import { cutPower } from "./support/crash-power.ts";
import { crashRounds } from "./support/crash-rounds.ts";
import { compileHello } from "./support/crash-yardstick.ts";

const { values } = parseArgs({
  args: Bun.argv.slice(2),
  options: {
    seed: { type: "string", default: "1" },
    rounds: { type: "string", default: "1000" },
    every: { type: "string", default: "1" },
    accepted: { type: "string", default: "50" },
    cancelled: { type: "string", default: "10" },
    cuts: { type: "string", default: "500" },
    parts: { type: "string", default: "rounds,calls,restarts,events,accepted,cancelled,cuts" },
  },
});
const executable = join(import.meta.dir, "../dist/opta");
const seed = Number(values.seed);
const common = { executable, seed, everyNth: Math.max(1, Number(values.every)) };
const roundsPerPlace = 100;
/** Must show: half of all restarts are ready by then. */
const readyLimitMs = 60;

interface Outcome {
  readonly tried: number;
  readonly problems: readonly string[];
}

const parts: Readonly<Record<string, () => Promise<Outcome>>> = {
  rounds: killAtRandom,
  calls: async () => killAtCalls("a start and a turn", await crashAtTurnCalls(common)),
  restarts: async () => killAtCalls("a restart, twice", await crashAtRestartCalls(common)),
  async events() {
    const indexes = Array.from({ length: eventsOfTurn }, (_, index) => index + 1);
    const { kills, problems } = await crashAtEvents({ ...common, indexes });
    console.log(`events: killed at ${kills} events of a turn`);
    return { tried: kills, problems };
  },
  async accepted() {
    const count = Number(values.accepted);
    const { kills, problems } = await crashBehindAcceptance({ ...common, count });
    console.log(`accepted: killed behind ${kills} answers of 202`);
    return { tried: kills, problems };
  },
  async cancelled() {
    const count = Number(values.cancelled);
    const { kills, problems } = await crashBehindCancel({ ...common, count });
    console.log(`cancelled: killed while ${kills} cancelled commands did not heed SIGTERM`);
    return { tried: kills, problems };
  },
  async cuts() {
    const rounds = Number(values.cuts);
    const { controls, tokens, lostTokens, checkpoints, problems } = await cutPower({
      seed,
      rounds,
    });
    console.log(
      `cuts: ${rounds} power cuts, ${checkpoints} checkpoints; ${controls} control events, none may be lost; ` +
        `${lostTokens} of ${tokens} tokens were`,
    );
    return { tried: rounds, problems };
  },
};

console.log(`seed ${seed}`);
let passed = 0;
let failed = 0;
for (const name of values.parts.split(",")) {
  const part = parts[name];
  if (part === undefined)
    throw new Error(`no part ${name}; parts: ${Object.keys(parts).join(" ")}`);
  const startedMs = performance.now();
  const { tried, problems } = await part();
  for (const problem of problems.slice(0, 20)) console.log(`  ${problem.slice(0, 2_000)}`);
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0);
  console.log(`  ${tried} tried, ${problems.length} wrong, ${seconds} s`);
  failed += problems.length;
  passed += Math.max(0, tried - problems.length);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

async function killAtRandom(): Promise<Outcome> {
  const rounds = Number(values.rounds);
  using hello = await compileHello();
  const helloMs: number[] = [];
  const { problems, startKills, readyMs, struck } = await crashRounds({
    executable,
    seed,
    rounds,
    roundsPerPlace,
    // In turns with the restarts, so that a busy machine slows both.
    onRound: async () => void helloMs.push(await hello.time()),
  });
  console.log(
    `rounds: ${rounds} kills under load, ${startKills} more of a daemon that was starting; ` +
      `${struck.events} events, ${struck.observed} of them seen before a kill; of ${struck.turns} turns ` +
      `${struck.unfinishedTurns} were unfinished, with ${struck.runningCalls} calls running and ` +
      `${struck.openQuestions} questions open`,
  );
  const [p50, helloP50] = [quantile(readyMs, 0.5), quantile(helloMs, 0.5)];
  console.log(
    `  restart to ready: p50 ${p50.toFixed(1)} ms (at most ${readyLimitMs}), p95 ` +
      `${quantile(readyMs, 0.95).toFixed(1)} ms; beside it hello world: p50 ${helloP50.toFixed(1)} ms`,
  );
  const late =
    p50 > readyLimitMs ? [`half of the restarts took longer than ${readyLimitMs} ms`] : [];
  return { tried: rounds + startKills, problems: [...problems, ...late] };
}

function killAtCalls(what: string, { pointCount, struckCount, problems }: PointsReport): Outcome {
  console.log(`calls: killed at ${struckCount} of ${pointCount} system calls of ${what}`);
  return { tried: struckCount, problems };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
