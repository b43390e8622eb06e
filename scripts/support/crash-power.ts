// A simulated power cut (promise E2): a process appends to the event log and dies; what it wrote to a file after that
// file's last sync may be gone, zero, torn or garbage, and is made so. Which writes were synced is read from a trace of
// its system calls, so that a control event whose append does not sync is lost here. Needs strace.
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRandom, type Random } from "../../test/support/command-lines.ts";

export interface PowerAppend {
  readonly sessionId: string;
  readonly text: string;
  readonly isControl: boolean;
  /** The turn that it accepts, and the one that it ends; control events only. */
  readonly begins?: string | undefined;
  readonly ends?: string | undefined;
}

/** What crash-power-driver.ts is told. */
export interface PowerWork {
  readonly directory: string;
  readonly sessions: readonly string[];
  readonly appends: readonly PowerAppend[];
}

/** What it finds before its first append. */
export interface PowerFound {
  readonly texts: Readonly<Record<string, readonly string[]>>;
  readonly unended: readonly string[];
  readonly isSetAside: boolean;
}

export const eventLogIn = (directory: string) => ({
  path: join(directory, "events.sqlite"),
  reservePath: join(directory, "reserve"),
});

export interface PowerOptions {
  readonly seed: number;
  readonly rounds: number;
}

export interface PowerReport {
  readonly controls: number;
  readonly tokens: number;
  /** Tokens behind the last control event that a cut took. */
  readonly lostTokens: number;
  /** Rounds in which the write-ahead log was moved into the file. */
  readonly checkpoints: number;
  readonly problems: readonly string[];
}

/** Then a fresh log; until then its write-ahead log wraps around several times. */
const roundsPerLog = 25;
const sessions = ["a", "b"];

export async function cutPower({ seed, rounds }: PowerOptions): Promise<PowerReport> {
  const report = {
    controls: 0,
    tokens: 0,
    lostTokens: 0,
    checkpoints: 0,
    problems: [] as string[],
  };
  for (let first = 1; first <= rounds; first += roundsPerLog) {
    const directory = mkdtempSync(join(tmpdir(), "opta-power-"));
    const random = createRandom(seed * 1_000_003 + first);
    try {
      let owed = emptyDebt();
      const last = Math.min(rounds, first + roundsPerLog - 1);
      for (let round = first; round <= last; round++) {
        const appends = planAppends(random, owed, round);
        const { found, unsynced, hasCheckpoint } = await append({ directory, sessions, appends });
        if (hasCheckpoint) report.checkpoints += 1;
        const problems = compare(owed, found, report);
        report.problems.push(...problems.map((problem) => `round ${round}: ${problem}`));
        owed = debtAfter(found, appends);
        report.controls += appends.filter(({ isControl }) => isControl).length;
        report.tokens += appends.filter(({ isControl }) => !isControl).length;
        for (const { path, ranges } of unsynced) damage(path, ranges, random);
      }
      const { found } = await append({ directory, sessions, appends: [] });
      const problems = compare(owed, found, report);
      report.problems.push(...problems.map((problem) => `round ${last}: ${problem}`));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
  return report;
}

/** How often each of `appends` syncs a file, in a fresh log. */
export async function syncsPerAppend(appends: readonly PowerAppend[]): Promise<readonly number[]> {
  const directory = mkdtempSync(join(tmpdir(), "opta-power-"));
  try {
    return (await append({ directory, sessions, appends })).syncs;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Per session what was appended, and how much of it must be there. */
interface Debt {
  readonly appended: ReadonlyMap<string, readonly string[]>;
  /** Events up to the last control event of any session: one log, synced as a whole. */
  readonly owedCounts: ReadonlyMap<string, number>;
  readonly unended: readonly string[];
}

function emptyDebt(): Debt {
  return {
    appended: new Map(sessions.map((id) => [id, []])),
    owedCounts: new Map(),
    unended: [],
  };
}

function debtAfter({ texts, unended }: PowerFound, appends: readonly PowerAppend[]): Debt {
  const lastControl = appends.findLastIndex(({ isControl }) => isControl);
  const count = (id: string, list: readonly PowerAppend[]) =>
    (texts[id]?.length ?? 0) + list.filter(({ sessionId }) => sessionId === id).length;
  const ended = new Set(appends.flatMap(({ ends }) => ends ?? []));
  return {
    appended: new Map(
      sessions.map((id) => [
        id,
        [
          ...(texts[id] ?? []),
          ...appends.flatMap(({ sessionId, text }) => (sessionId === id ? [text] : [])),
        ],
      ]),
    ),
    owedCounts: new Map(sessions.map((id) => [id, count(id, appends.slice(0, lastControl + 1))])),
    unended: [...unended, ...appends.flatMap(({ begins }) => begins ?? [])].filter(
      (turnId) => !ended.has(turnId),
    ),
  };
}

function compare(owed: Debt, found: PowerFound, report: { lostTokens: number }): string[] {
  const problems: string[] = [];
  if (found.isSetAside) problems.push("the log was taken for a broken one");
  for (const [id, appended] of owed.appended) {
    const texts = found.texts[id] ?? [];
    const least = owed.owedCounts.get(id) ?? 0;
    if (texts.length < least) problems.push(`${id} has ${texts.length} of ${least} owed events`);
    const wrong = texts.findIndex((text, index) => text !== appended[index]);
    if (wrong >= 0) problems.push(`${id} has another event at seq ${wrong + 1}`);
    report.lostTokens += Math.max(0, appended.length - texts.length);
  }
  const [is, was] = [found.unended, owed.unended].map((turns) => turns.toSorted().join(" "));
  if (is !== was) problems.push(`turns without an end: ${is} instead of ${was}`);
  return problems;
}

function planAppends(random: Random, { unended }: Debt, round: number): readonly PowerAppend[] {
  const open = [...unended];
  // Now and then enough for the write-ahead log to be moved into the file and begun anew.
  const paddingBytes = random.below(4) === 0 ? 30_000 : 40;
  return Array.from({ length: 1 + random.below(60) }, (_, index) => {
    const sessionId = sessions[random.below(sessions.length)] ?? "";
    const text = `round ${round}, append ${index}: ${"x".repeat(random.below(paddingBytes))}`;
    const isControl = random.below(5) === 0;
    if (!isControl) return { sessionId, text, isControl };
    const kind = random.below(3);
    const begins = kind === 0 ? `turn-${round}-${index}` : undefined;
    const ends = kind === 1 ? open.shift() : undefined;
    if (begins !== undefined) open.push(begins);
    return { sessionId, text, isControl, begins, ends };
  });
}

interface Range {
  readonly start: number;
  readonly end: number;
}

interface Appended {
  readonly found: PowerFound;
  /** What was written to each file of the log after its last sync. */
  readonly unsynced: readonly { readonly path: string; readonly ranges: readonly Range[] }[];
  readonly syncs: readonly number[];
  /** After it was opened. */
  readonly hasCheckpoint: boolean;
}

const driver = join(import.meta.dir, "crash-power-driver.ts");

async function append(work: PowerWork): Promise<Appended> {
  const trace = join(work.directory, "trace");
  const told = join(work.directory, "work.json");
  await Bun.write(told, JSON.stringify(work));
  const calls = "write,pwrite64,pwritev,writev,ftruncate,fsync,fdatasync";
  const strace = ["strace", "-f", "--seccomp-bpf", "-y", "-s", "8", "-qq", "-o", trace];
  const child = Bun.spawn([...strace, "-e", `trace=${calls}`, process.execPath, driver, told], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  await child.exited;
  const lines = stdout.trimEnd().split("\n");
  if (lines.length !== work.appends.length + 1) throw new Error(`the driver failed: ${stderr}`);
  return { found: JSON.parse(lines[0] ?? "") as PowerFound, ...readTrace(trace, work.directory) };
}

function readTrace(trace: string, directory: string): Omit<Appended, "found"> {
  const ranges = new Map<string, Range[]>();
  const syncs: number[] = [];
  let syncsNow = 0;
  let hasOpened = false;
  let hasCheckpoint = false;
  for (const line of readFileSync(trace, "utf8").split("\n")) {
    const [, name = "", fd, path = "", rest = ""] =
      /^\d+ +(\w+)\((\d+)<([^>]*)>(.*)$/.exec(line) ?? [];
    if (name === "write" && fd === "1") {
      // The first line tells what was found; each one after it follows an append.
      if (hasOpened) syncs.push(syncsNow);
      hasOpened = true;
      syncsNow = 0;
    }
    if (!path.startsWith(join(directory, "events.sqlite"))) continue;
    const ofFile = ranges.get(path) ?? [];
    ranges.set(path, ofFile);
    if (name === "fsync" || name === "fdatasync") {
      ofFile.length = 0;
      syncsNow += 1;
    } else if (name === "pwrite64") {
      const [, size, offset] = /, (\d+), (\d+)(?:\) += \d+| <unfinished)/.exec(rest) ?? [];
      if (offset === undefined) throw new Error(`cannot read ${line}`);
      const start = Number(offset);
      ofFile.push({ start, end: start + Number(size) });
      hasCheckpoint ||= hasOpened && path.endsWith("events.sqlite");
    } else if (name !== "ftruncate") throw new Error(`did not expect ${line}`);
  }
  const unsynced = [...ranges].map(([path, ofFile]) => ({ path, ranges: ofFile }));
  return { unsynced, syncs, hasCheckpoint };
}

const sectorBytes = 512;

/** Each unsynced sector reaches the disk, or not, or as garbage; or nothing does from some byte on. */
function damage(path: string, ranges: readonly Range[], random: Random): void {
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  const [first] = ranges;
  if (size === undefined || first === undefined) return;
  const start = Math.min(...ranges.map((range) => range.start));
  const end = Math.max(...ranges.map((range) => range.end));
  const way = random.below(4);
  // Only where what was written last is the end of the file, can it end sooner.
  if (way === 0 && end >= size) return truncateSync(path, start + random.below(size - start + 1));
  const file = openSync(path, "r+");
  for (const range of ranges) {
    for (let at = range.start; at < range.end; at += sectorBytes) {
      const bytes = new Uint8Array(Math.min(sectorBytes, range.end - at));
      const fate = way === 1 ? "lost" : (["kept", "lost", "garbage"] as const)[random.below(3)];
      if (fate === "kept") readSync(file, bytes, 0, bytes.length, at);
      if (fate === "garbage") for (const index of bytes.keys()) bytes[index] = random.below(256);
      writeSync(file, bytes, 0, bytes.length, at);
    }
  }
  closeSync(file);
}
