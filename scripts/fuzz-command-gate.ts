// The deep check of the command gate: generated lines against real bash (promises G5). Any line for which bash
// tries another command than the gate claims is printed with its seed, and the exit code is 1.
//   bun scripts/fuzz-command-gate.ts [--lines 100000] [--seed 1] [--list-every 20]
import { parseArgs } from "node:util";
import { fuzzAgainstBash } from "../test/support/bash-oracle.ts";
import type { FuzzResult } from "../test/support/bash-oracle.ts";

/** Lines of one bash process. */
const batchLines = 4_000;

const { values } = parseArgs({
  options: {
    lines: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    "list-every": { type: "string", default: "20" },
  },
});

const total = Number(values.lines);
const firstSeed = Number(values.seed);
const sum = { lines: 0, simple: 0, confirmed: 0, complete: 0, misses: 0 };
for (let batch = 0; sum.lines < total; batch += 1) {
  const seed = firstSeed + batch;
  const result = await fuzzAgainstBash({
    seed,
    lines: Math.min(batchLines, total - sum.lines),
    status: batch % 2 === 0 ? 127 : 0,
    listEvery: Number(values["list-every"]),
  });
  report(seed, result);
}
console.log(
  `${sum.lines} lines: ${sum.simple} judged simple, ${sum.confirmed} of them confirmed by bash, ` +
    `${sum.complete} command lists checked, ${sum.misses} misses`,
);
process.exit(sum.misses === 0 && sum.confirmed > 0 ? 0 : 1);

function report(seed: number, result: FuzzResult): void {
  const misses = [...result.simpleMisses, ...result.listMisses];
  for (const miss of misses) console.log(`seed ${seed}: ${JSON.stringify(miss)}`);
  sum.lines += result.lines;
  sum.simple += result.simple;
  sum.confirmed += result.confirmed;
  sum.complete += result.complete;
  sum.misses += misses.length;
  console.error(`seed ${seed}: ${sum.lines} lines, ${sum.misses} misses`);
}
