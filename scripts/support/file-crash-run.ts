// Cuts a file operation at every system call it makes: strace finds the calls in one undisturbed run, then
// each is hit in a run of its own, by SIGKILL on entry or by an error in its place, and what is left on disk
// is inspected. A run whose fault hit something else (start-up is not fully repeatable) is done again.
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeFileAtomic } from "../../src/base/atomic-file.ts";
import {
  crashContents,
  type CrashOperation,
  crashMarkers,
  inspect,
  layOut,
  leftDirectories,
  litter,
  writtenDirectories,
} from "./file-crash-fixture.ts";

export interface CrashReport {
  readonly operation: CrashOperation;
  readonly fault: string;
  /** System calls of the operation that this fault was tried at. */
  readonly pointCount: number;
  readonly failures: readonly string[];
}

export interface CrashOptions {
  /** The command that takes an operation and a directory. */
  readonly driver: readonly string[];
  /** KILL, or an errno name. */
  readonly fault: string;
  /** 1 = every call; 3 = every third, with a start that depends on the fault. */
  readonly everyNth: number;
}

const changingCalls = (
  "openat write pwrite64 writev fsync fdatasync ftruncate close rename renameat renameat2 link linkat " +
  "symlink symlinkat unlink unlinkat rmdir mkdir mkdirat chmod fchmod fchmodat fchown fchownat"
).split(" ");
const lookingCalls = (
  "stat lstat newfstatat statx access faccessat faccessat2 " +
  "read pread64 getdents64 readlink readlinkat"
).split(" ");
const tracedCalls = [...changingCalls, ...lookingCalls].join(",");
const attempts = 5;

/** One call of the operation: the k-th of its name in its thread since the start of the process. */
interface CallPoint {
  readonly name: string;
  readonly occurrence: number;
}

/** The driver as one file: fewer system calls at start-up, and always the same ones. @returns its command */
export async function buildDriver(directory: string): Promise<readonly string[]> {
  const entry = join(import.meta.dir, "file-crash-driver.ts");
  const built = await Bun.build({ entrypoints: [entry], target: "bun", outdir: directory });
  if (!built.success) throw new Error(built.logs.join("\n"));
  return [process.execPath, join(directory, "file-crash-driver.js")];
}

/** Runs one operation with one fault at its calls, one after another. */
export async function crashOperation(
  operation: CrashOperation,
  { fault, everyNth, driver }: CrashOptions,
): Promise<CrashReport> {
  const points = (await findPoints(operation, driver)).filter(
    ({ name }) => fault === "KILL" || changingCalls.includes(name),
  );
  const chosen = points.filter((_, index) => (index + fault.length) % everyNth === 0);
  const failures: string[] = [];
  for (const point of chosen) {
    const problems = await crashAt({ operation, point, fault, driver });
    const where = `${operation}: ${fault} at ${point.name} ${point.occurrence}`;
    failures.push(...problems.map((problem) => `${where}: ${problem}`));
  }
  return { operation, fault, pointCount: chosen.length, failures };
}

async function findPoints(
  operation: CrashOperation,
  driver: readonly string[],
): Promise<readonly CallPoint[]> {
  return withDirectory(async (root) => {
    const directory = join(root, "work");
    layOut(operation, directory);
    const run = await trace([...driver, operation], root, []);
    const { states } = inspect(operation, directory);
    if (run.exitCode !== 0 || states.some((state) => state !== "new")) {
      throw new Error(`the undisturbed ${operation} failed: ${run.output}`);
    }
    return run.points;
  });
}

interface CrashPoint {
  readonly operation: CrashOperation;
  readonly point: CallPoint;
  readonly fault: string;
  readonly driver: readonly string[];
}

async function crashAt({
  operation,
  point,
  fault,
  driver,
}: CrashPoint): Promise<readonly string[]> {
  const action = fault === "KILL" ? "signal=KILL" : `error=${fault}`;
  const inject = ["-e", `inject=${point.name}:${action}:when=${point.occurrence}`];
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const problems = await withDirectory(async (root) => {
      const directory = join(root, "work");
      layOut(operation, directory);
      const run = await trace([...driver, operation], root, inject);
      if (!run.hit) return undefined;
      return fault === "KILL"
        ? findingsAfterKill(operation, directory)
        : findingsAfterError(operation, directory, run.output);
    });
    if (problems) return problems;
  }
  return [`the fault did not hit the operation in ${attempts} runs`];
}

async function findingsAfterKill(
  operation: CrashOperation,
  directory: string,
): Promise<readonly string[]> {
  const { problems } = inspect(operation, directory);
  const odd = litter(operation, directory).filter((name) => !name.endsWith(".opta-tmp"));
  for (const place of writtenDirectories(operation, directory)) {
    // The next write into the directory, by another process than the killed one: it sweeps.
    await writeFileAtomic(join(place, "session.json"), crashContents.after, { mode: 0o600 });
  }
  const left = litter(operation, directory).filter((name) => !name.endsWith("session.json"));
  return [
    ...problems,
    ...odd.map((name) => `unknown litter ${name}`),
    ...left.map((name) => `${name} is there after the next write`),
  ];
}

function findingsAfterError(
  operation: CrashOperation,
  directory: string,
  output: string,
): readonly string[] {
  const { problems, states } = inspect(operation, directory);
  const outcome = JSON.parse(output) as { readonly ok: boolean; readonly text: string };
  const expected = outcome.ok ? "new" : "old";
  // A save whose rename is done but not confirmed has failed, with the new content in place.
  const isUnconfirmed = /^cannot confirm on disk(?!.*nothing was changed)/.test(outcome.text);
  return [
    ...problems,
    ...states
      .filter((state) => state !== expected && !isUnconfirmed)
      .map((state) => `the content is ${state} although the result says "${outcome.text}"`),
    ...litter(operation, directory).map((name) => `litter ${name}`),
    ...leftDirectories(operation, directory).map((name) => `litter ${name}/`),
  ];
}

interface TracedRun {
  readonly exitCode: number;
  readonly output: string;
  readonly points: readonly CallPoint[];
  /** The fault struck between the markers. */
  readonly hit: boolean;
}

async function trace(
  driver: readonly string[],
  root: string,
  inject: readonly string[],
): Promise<TracedRun> {
  const log = join(root, "trace");
  const strace = ["strace", "-f", "-qq", "-o", log, "-e", `trace=${tracedCalls}`];
  const command = [...strace, ...inject, ...driver, join(root, "work")];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const [output, complaint, exitCode] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { exitCode, output: output || complaint, ...readTrace(readFileSync(log, "utf8")) };
}

function readTrace(text: string): Pick<TracedRun, "points" | "hit"> {
  const counts = new Map<string, number>();
  const points: CallPoint[] = [];
  let thread: string | undefined;
  let isOver = false;
  let hit = false;
  for (const line of text.split("\n")) {
    const [, id, name] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (id === undefined || name === undefined) {
      hit ||= thread !== undefined && !isOver && line.includes("+++ killed by SIGKILL");
      continue;
    }
    const key = `${id} ${name}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    if (line.includes(crashMarkers.begin)) thread = id;
    else if (line.includes(crashMarkers.end)) isOver = true;
    else if (id === thread && !isOver) {
      points.push({ name, occurrence: counts.get(key) ?? 0 });
      hit ||= line.includes("(INJECTED)");
    }
  }
  return { points, hit };
}

async function withDirectory<T>(work: (root: string) => Promise<T>): Promise<T> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "opta-crash-")));
  try {
    return await work(root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
