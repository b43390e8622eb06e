// Hostile bytes against the daemon of the built binary: foreign names and origins, smuggled requests, bodies and frames
// that are none, wrong tokens, ids that lead elsewhere, crowds and floods. After each one the daemon must answer a good
// request at once and have what it had. Ends with whether a wrong token's first byte takes another time than its last.
//   bun scripts/abuse.ts [--seed 1] [--only GROUP-OR-WORD,...] [--samples 100000] [--without-slow]
import { parseArgs } from "node:util";
import { type AttackResult, healthLimitMs, runAbuse } from "./support/abuse-run.ts";
import { measureTokenTiming } from "./support/abuse-timing.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    only: { type: "string" },
    samples: { type: "string", default: "100000" },
    "without-slow": { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
console.log(`seed ${seed}`);
const report = await runAbuse({
  seed,
  withSlow: !values["without-slow"],
  ...(values.only === undefined ? {} : { only: values.only.split(",") }),
  onResult: printResult,
});
const { results, rssGrowthBytes } = report;
const byHealth = results.map(({ healthMs }) => healthMs).toSorted((one, other) => one - other);
const worst = results.toSorted((one, other) => other.healthMs - one.healthMs)[0];
const median = byHealth[Math.floor(byHealth.length / 2)] ?? 0;
console.log(
  `health after an attack: median ${median.toFixed(2)} ms, worst ${worst?.healthMs.toFixed(2)} ms (${worst?.name})`,
);
const repeated = results.filter(({ isRepeated }) => isRepeated).length;
if (repeated > 0)
  console.log(`${repeated} attacks were repeated: health took longer the first time`);
console.log(`memory: ${(rssGrowthBytes / 1024 / 1024).toFixed(1)} MB more than before`);

const wholeRun = [...report.problems];
const samples = Number(values.samples);
if (samples > 0) {
  const timing = measureTokenTiming({ seed, samples });
  console.log(
    `time of a wrong token: ${timing.medianNs.toFixed(0)} ns; first byte wrong against last byte wrong ` +
      `${timing.differenceNs.toFixed(2)} ns, noise of equal groups ${timing.noiseNs.toFixed(2)} ns`,
  );
  if (timing.differenceNs > timing.noiseNs) wholeRun.push("the time tells which byte is wrong");
}
for (const problem of wholeRun) console.log(`FAILED  ${problem}`);
const failed = results.filter(isFailed).length + wholeRun.length;
console.log(`${results.filter((result) => !isFailed(result)).length} passed, ${failed} failed`);
process.exitCode = failed === 0 && results.length > 0 ? 0 : 1;

function isFailed({ problems, healthMs }: AttackResult): boolean {
  return problems.length > 0 || healthMs > healthLimitMs;
}

function printResult(result: AttackResult): void {
  const { group, name, seen, healthMs, problems } = result;
  const verdict = isFailed(result) ? "FAILED" : "ok    ";
  const shown = name.length > 58 ? `${name.slice(0, 57)}…` : name.padEnd(58);
  console.log(
    `${verdict} ${group.padEnd(8)} ${shown} ${healthMs.toFixed(1).padStart(6)} ms  ${seen}`,
  );
  for (const problem of problems) console.log(`         ${problem}`);
}
