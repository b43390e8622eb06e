// The short form of scripts/swarm.ts: a small crowd around the built binary, with every check and no time limits.
import { expect, test } from "bun:test";
import { measureReplay } from "../../scripts/support/swarm-replay.ts";
import { runSwarm } from "../../scripts/support/swarm-run.ts";
import { builtOpta } from "../support/binary.ts";

test("every client gets every event once, in order and the same, and who never reads is cut", async () => {
  const report = await runSwarm({
    executable: await builtOpta(),
    clients: 60,
    churnPercent: 30,
    sessions: 3,
    eventsPerSecond: 100,
    seconds: 2,
    paused: 3,
    pausedLive: 0,
    mute: 0,
    // Whoever takes nothing for ten seconds is cut.
    stalledSeconds: 12,
    processes: 1,
    seed: 4,
  });
  const { gaps, duplicates, reorders, mismatches, refusals, samples } = report.findings;
  expect(samples).toEqual([]);
  expect([gaps, duplicates, reorders, mismatches, refusals]).toEqual([0, 0, 0, 0, 0]);
  expect(report.failures).toEqual([]);
  expect(report.cut).toBe(3);
  // It has to have seen something to mean anything.
  expect(report.reconnects).toBeGreaterThan(20);
  expect(report.delivered).toBeGreaterThan(5_000);
}, 90_000);

test("a long session is replayed whole, and a client near its head gets only what it missed", async () => {
  const report = await measureReplay({
    executable: await builtOpta(),
    eventCount: 20_000,
    sessionCount: 5,
  });
  expect(report.problems).toEqual([]);
}, 60_000);
