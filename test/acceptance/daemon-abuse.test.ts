// The short form of scripts/abuse.ts: every attack that waits for no time limit, once, on the built binary.
import { beforeAll, describe, expect, test } from "bun:test";
import { type AbuseReport, runAbuse } from "../../scripts/support/abuse-run.ts";

const seed = 1;
/** How much longer than usual a request may take after an attack, on a machine that does other things, too. */
const healthRatio = 200;

describe(`a daemon under attack (seed ${seed})`, () => {
  let report: AbuseReport;
  beforeAll(async () => {
    report = await runAbuse({ seed, withSlow: false });
  }, 240_000);

  test("refuses each attack, keeps its sessions and files, and goes on as the same process", () => {
    const failed = report.results.filter(({ problems }) => problems.length > 0);
    expect(failed.map(({ name, problems }) => ({ name, problems }))).toEqual([]);
    expect(report.results.length).toBeGreaterThan(400);
  });

  test("serves who asks afterwards about as fast as ever", () => {
    const times = report.results.map(({ healthMs }) => healthMs).toSorted((a, b) => a - b);
    const median = times[Math.floor(times.length / 2)] ?? 0;
    const slow = report.results.filter(({ healthMs }) => healthMs > median * healthRatio);
    expect(slow.map(({ name, healthMs }) => ({ name, healthMs, median }))).toEqual([]);
  });

  test("says nothing on stderr, logs JSON lines without defects, gives its memory back, ends well", () => {
    expect(report.problems).toEqual([]);
  });
});
