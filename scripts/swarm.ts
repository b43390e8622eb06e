// The daemon under a crowd (promises E3-E6, D5), on the built binary: a thousand WebSocket clients of which a fifth
// leaves and comes back all the time, clients that never read or never answer beside them, and a session with a
// million events. Prints what it measured; the exit code is 1 when something was lost, differs, or took too long.
//   bun scripts/swarm.ts [--clients 1000] [--seconds 20] [--stalled-seconds 50] [--events 1000000] [--seed 1]
//   bun scripts/swarm.ts --only swarm|replay
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureReplay, type ReplayReport } from "./support/swarm-replay.ts";
import { runSwarm, type SwarmReport } from "./support/swarm-run.ts";

const limits = {
  p99Ms: 250,
  /** Beside stalled clients, as a multiple of what it is without them... */
  stalledRatio: 2,
  /** ...unless it is below this: a few milliseconds are the machine's own. */
  stalledFloorMs: 20,
  rssGrowthBytes: 64 * 1024 * 1024,
  firstFrameMs: 20,
  eventsPerSecond: 100_000,
  readyMs: 300,
  restRssBytes: 120 * 1024 * 1024,
} as const;

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "1000" },
    seconds: { type: "string", default: "20" },
    "stalled-seconds": { type: "string", default: "50" },
    events: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
  },
});
const executable = join(import.meta.dir, "../dist/opta");
const failures: string[] = [];

if (values.only !== "replay") {
  console.log(`seed ${values.seed}`);
  const report = await runSwarm({
    executable,
    clients: Number(values.clients),
    churnPercent: 20,
    sessions: 5,
    eventsPerSecond: 100,
    seconds: Number(values.seconds),
    paused: 20,
    pausedLive: 15,
    mute: 15,
    stalledSeconds: Number(values["stalled-seconds"]),
    processes: 2,
    seed: Number(values.seed),
  });
  failures.push(...report.failures, ...tellSwarm(report));
  for (const sample of report.findings.samples) console.log(`  ${sample}`);
}
if (values.only !== "swarm") {
  const report = await measureReplay({
    executable,
    eventCount: Number(values.events),
    sessionCount: 1_000,
  });
  failures.push(...report.problems, ...tellReplay(report));
}
for (const failure of failures) console.log(`FAILED ${failure}`);
process.exitCode = failures.length === 0 ? 0 : 1;

/** @returns what is beyond its limit */
function tellSwarm(report: SwarmReport): readonly string[] {
  const { findings, p50Ms, p99Ms, stalledP99Ms, stalledMaxMs } = report;
  const { gaps, duplicates, reorders, mismatches, refusals } = findings;
  const growth = report.peakRssBytes - report.restRssBytes;
  const codes = Object.entries(Object.groupBy(report.cutCodes, (code) => code));
  tell("events", `${report.events} stored, ${report.delivered} delivered`);
  tell("reconnects", String(report.reconnects));
  tell(
    "findings",
    `${gaps} gaps, ${duplicates} duplicates, ${reorders} reorders, ${mismatches} mismatches, ${refusals} refusals`,
  );
  tell("latency", `p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`);
  tell("beside stalled", `p99 ${stalledP99Ms.toFixed(1)} ms, max ${stalledMaxMs.toFixed(1)} ms`);
  tell("stalled cut", codes.map(([code, { length } = []]) => `${length} x ${code}`).join(", "));
  tell("daemon RSS", `${mb(report.restRssBytes)} before, ${mb(report.peakRssBytes)} at its peak`);
  return [
    ...above("p99", { value: p99Ms, limit: limits.p99Ms }),
    ...above("p99 beside stalled clients", {
      value: stalledP99Ms,
      limit: Math.max(limits.stalledFloorMs, limits.stalledRatio * p99Ms),
    }),
    ...above("growth of the RSS in bytes", { value: growth, limit: limits.rssGrowthBytes }),
  ];
}

/** @returns what is beyond its limit */
function tellReplay(report: ReplayReport): readonly string[] {
  const { firstFrameMs, eventsPerSecond, megabytes, readyMs, restRssBytes, replayRssBytes } =
    report;
  tell("log", `${values.events} events in one session, 1000 sessions beside it`);
  tell("ready", `${readyMs.toFixed(0)} ms, RSS ${mb(restRssBytes)}`);
  tell(
    "first frame",
    `p50 ${firstFrameMs.p50.toFixed(1)} ms, max ${firstFrameMs.max.toFixed(1)} ms, near the head`,
  );
  tell("full replay", `${eventsPerSecond.toFixed(0)} events/s, ${megabytes.toFixed(0)} MB`);
  tell("RSS after it", mb(replayRssBytes));
  return [
    ...above("first frame, ms", { value: firstFrameMs.p50, limit: limits.firstFrameMs }),
    ...above("replay, seconds per event", {
      value: 1 / eventsPerSecond,
      limit: 1 / limits.eventsPerSecond,
    }),
    ...above("ready, ms", { value: readyMs, limit: limits.readyMs }),
    ...above("RSS at rest, bytes", { value: restRssBytes, limit: limits.restRssBytes }),
  ];
}

function tell(name: string, what: string): void {
  console.log(`${name.padEnd(16)}${what}`);
}

function above(
  name: string,
  { value, limit }: { readonly value: number; readonly limit: number },
): readonly string[] {
  return value <= limit ? [] : [`${name}: ${value} is above ${limit}`];
}

function mb(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(0)} MB`;
}
