// The short form of scripts/crash.ts on the built binary: a daemon that is killed owes the next one's clients
// everything that it said (promises E1, E3, E8, E9, C2, G1, G4). What "owes" means is scripts/support/crash-inspect.ts;
// the power cut (E2) is in test/store/sqlite-event-store.test.ts.
import { expect, test } from "bun:test";
import {
  crashAtEvents,
  crashBehindAcceptance,
  crashBehindCancel,
} from "../../scripts/support/crash-moments.ts";
import { crashAtRestartCalls, crashAtTurnCalls } from "../../scripts/support/crash-points.ts";
import { crashRounds } from "../../scripts/support/crash-rounds.ts";
import { builtOpta } from "../support/binary.ts";

const limitMs = 120_000;
const seed = 1;

test(
  "kill -9 at random moments under load loses nothing that was accepted or seen",
  async () => {
    const executable = await builtOpta();
    const report = await crashRounds({ executable, seed, rounds: 24, roundsPerPlace: 12 });
    expect(report.problems).toEqual([]);
    expect(report.readyMs.length).toBe(24);
    // Or the kills struck nothing.
    const { struck } = report;
    expect(struck.observed).toBeGreaterThan(50);
    expect(struck.unfinishedTurns).toBeGreaterThan(5);
  },
  limitMs,
);

test(
  "a kill at any system call between a first start and the end of a turn leaves a whole account",
  async () => {
    const report = await crashAtTurnCalls({ executable: await builtOpta(), seed, everyNth: 40 });
    expect(report.problems).toEqual([]);
    expect(report.struckCount).toBeGreaterThan(report.pointCount / 2);
  },
  limitMs,
);

test(
  "a restart that is killed, twice, at any system call is made good by the next one",
  async () => {
    const report = await crashAtRestartCalls({ executable: await builtOpta(), seed, everyNth: 16 });
    expect(report.problems).toEqual([]);
    expect(report.struckCount).toBeGreaterThan(report.pointCount / 2);
  },
  limitMs,
);

test(
  "a kill when its client has seen the k-th event of a turn leaves that turn one end",
  async () => {
    const indexes = [1, 2, 9, 13, 14, 21, 40];
    const report = await crashAtEvents({ executable: await builtOpta(), seed, indexes });
    expect(report).toEqual({ kills: indexes.length, problems: [] });
  },
  limitMs,
);

test(
  "a kill right behind a 202 leaves its turn one end, and its key the same turn",
  async () => {
    const report = await crashBehindAcceptance({ executable: await builtOpta(), seed, count: 5 });
    expect(report).toEqual({ kills: 5, problems: [] });
  },
  limitMs,
);

test(
  "a command that was cancelled and does not heed it ends with its daemon",
  async () => {
    const report = await crashBehindCancel({ executable: await builtOpta(), seed, count: 3 });
    expect(report).toEqual({ kills: 3, problems: [] });
  },
  limitMs,
);
