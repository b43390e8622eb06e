// Runs the attacks one after the other against one daemon of the built binary, and looks after each whether it still
// serves, is the same process, and has the sessions and files that it had.
import { createRandom } from "../../test/support/command-lines.ts";
import { accessAttacks } from "./abuse-access-attacks.ts";
import type { Attack } from "./abuse-attack.ts";
import { bodyAttacks } from "./abuse-body-attacks.ts";
import { controls } from "./abuse-controls.ts";
import { framingAttacks } from "./abuse-framing-attacks.ts";
import { idAttacks } from "./abuse-id-attacks.ts";
import { loadAttacks } from "./abuse-load-attacks.ts";
import { originAttacks } from "./abuse-origin-attacks.ts";
import { socketAttacks } from "./abuse-socket-attacks.ts";
import { startTarget, type Remains, type Target } from "./abuse-target.ts";

export interface AbuseOptions {
  readonly seed: number;
  /** Whether attacks that wait for a time limit are made, too. */
  readonly withSlow: boolean;
  /** Only attacks of these groups, or whose name has one of these words; undefined: all. */
  readonly only?: readonly string[];
  readonly onResult?: (result: AttackResult) => void;
}

export interface AttackResult {
  readonly group: string;
  readonly name: string;
  readonly seen: string;
  /** Of the request that followed; where the attack was repeated, of the faster one. */
  readonly healthMs: number;
  /** The request that followed took so long that the attack was repeated: other programs take their time, too. */
  readonly isRepeated: boolean;
  readonly tookMs: number;
  readonly problems: readonly string[];
}

export interface AbuseReport {
  readonly results: readonly AttackResult[];
  /** What went wrong over the whole run. */
  readonly problems: readonly string[];
  readonly rssGrowthBytes: number;
}

/** What a client that asks after an attack may have to wait, in milliseconds. */
export const healthLimitMs = 50;
/** After what all those megabytes of hostile bytes left. */
const rssGrowthLimitBytes = 64 * 1024 * 1024;
/** Requests before the first attack, after which the daemon has loaded all it needs. */
const warmUpRequests = 50;

interface Entry {
  readonly group: string;
  readonly attack: Attack;
}

export async function runAbuse(options: AbuseOptions): Promise<AbuseReport> {
  await using target = await startTarget();
  for (let count = 0; count < warmUpRequests; count += 1) await target.inspect();
  const entries = await entriesFor(target, options);
  const rssBefore = target.rssBytes();
  const results: AttackResult[] = [];
  const problems: string[] = [];
  const add = async (entry: Entry) => {
    if (!target.isRunning()) return;
    const result = await carryOut(target, entry);
    results.push(result);
    options.onResult?.(result);
  };
  const slow = entries.filter(({ attack }) => attack.isSlow);
  const slowOnes = Promise.all(options.withSlow ? slow.map(add) : []);
  for (const batch of batchesOf(entries.filter(({ attack }) => !attack.isSlow))) {
    await Promise.all(batch.map(add));
  }
  await slowOnes;
  if (!target.isRunning()) problems.push(`the daemon is gone after ${results.length} attacks`);
  const rssGrowthBytes = target.isRunning() ? target.rssBytes() - rssBefore : 0;
  problems.push(...inspectRemains(await target.stop(), target));
  if (rssGrowthBytes > rssGrowthLimitBytes) problems.push(`it grew by ${rssGrowthBytes} bytes`);
  return { results, problems, rssGrowthBytes };
}

async function entriesFor(target: Target, { seed, only }: AbuseOptions): Promise<readonly Entry[]> {
  const random = createRandom(seed);
  // Failures of the token are delayed once there were many: whatever makes them comes last.
  const groups = {
    control: controls,
    origin: originAttacks,
    framing: framingAttacks((limit) => random.below(limit)),
    body: bodyAttacks,
    ids: await idAttacks(target),
    socket: socketAttacks,
    load: loadAttacks,
    access: accessAttacks(),
  };
  const entries = Object.entries(groups).flatMap(([group, attacks]) =>
    attacks.map((attack) => ({ group, attack })),
  );
  if (only === undefined) return entries;
  return entries.filter(({ group, attack }) =>
    only.some((word) => word === group || attack.name.includes(word)),
  );
}

/** One by one, but for neighbours that the daemon delays. */
function batchesOf(entries: readonly Entry[]): readonly (readonly Entry[])[] {
  const batches: Entry[][] = [];
  for (const entry of entries) {
    const last = batches.at(-1);
    const isWithLast = entry.attack.isDelayed === true && last?.[0]?.attack.isDelayed === true;
    if (isWithLast) last.push(entry);
    else batches.push([entry]);
  }
  return batches;
}

async function carryOut(target: Target, entry: Entry): Promise<AttackResult> {
  const first = await tryOnce(target, entry);
  if (first.problems.length > 0 || first.healthMs <= healthLimitMs) return first;
  const second = await tryOnce(target, entry);
  const healthMs = Math.min(first.healthMs, second.healthMs);
  return { ...second, healthMs, isRepeated: true };
}

async function tryOnce(target: Target, { group, attack }: Entry): Promise<AttackResult> {
  const startedMs = performance.now();
  const { seen, problems } = await attack.run(target).catch((thrown: unknown) => ({
    seen: "failed",
    problems: [thrown instanceof Error ? thrown.message : String(thrown)],
  }));
  const tookMs = performance.now() - startedMs;
  if (attack.isTold) await target.accept();
  const after = await target.inspect();
  const { healthMs } = after;
  const all = [...problems, ...after.problems];
  const { name } = attack;
  return { group, name, seen, healthMs, isRepeated: false, tookMs, problems: all };
}

function inspectRemains({ exitCode, stderr, logLines }: Remains, { token }: Target): string[] {
  const problems: string[] = [];
  if (exitCode !== 0) problems.push(`the daemon ended with ${exitCode}`);
  if (stderr !== "") problems.push(`on stderr: ${stderr.slice(0, 500)}`);
  if (logLines.length === 0) problems.push("there is no log");
  for (const line of logLines) {
    if (!isLogEntry(line)) problems.push(`no entry of the log: ${line.slice(0, 200)}`);
    if (line.includes(token)) problems.push("the token stands in the log");
  }
  const defects = logLines.filter((line) => line.includes('"level":"error"'));
  const [first] = defects;
  if (first !== undefined) problems.push(`${defects.length} defects, first ${first.slice(0, 300)}`);
  return problems;
}

function isLogEntry(line: string): boolean {
  try {
    const { ts, level, msg } = JSON.parse(line) as Readonly<Record<string, unknown>>;
    return [ts, level, msg].every((field) => typeof field === "string");
  } catch {
    return false;
  }
}
