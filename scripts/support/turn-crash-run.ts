// Cuts a turn of `opta do` at each of its file system calls and inspects what is left. The calls are found by
// tracing one undisturbed turn; a call is named by its kind and its number of that kind in the main thread. The
// numbers of one run fit the next only nearly, which does no harm: wherever a fault strikes, the same must hold.
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { completeHistory } from "../../src/engine/message-history.ts";
import { startScriptedServer } from "../../src/lmx-server/scripted-server.ts";
import type { ScenarioInput } from "../../src/lmx-server/scenario.ts";
import type { SessionFile } from "../../src/protocol/session.ts";

export interface TurnCrashOptions {
  readonly executable: string;
  /** KILL, or an errno name. */
  readonly fault: string;
  /** 1 = every call; 5 = every fifth. */
  readonly everyNth: number;
}

export interface TurnCrashReport {
  readonly pointCount: number;
  readonly failures: readonly string[];
}

const oldText = "old content\n";
const newText = "new content\n";
const fileMode = 0o640;
/** A turn takes a fraction of a second; one that hangs under a fault is a failure of its own. */
const turnLimitMs = 30_000;

const calls = (
  "openat write pwrite64 writev fsync fdatasync ftruncate close rename renameat renameat2 link linkat " +
  "unlink unlinkat rmdir mkdir mkdirat fchmod fchown"
).split(" ");

function turns(from: string, to: string): ScenarioInput {
  const edit = { path: "link.txt", old_text: from, new_text: to };
  return { turns: [{ toolCalls: [{ name: "edit_file", arguments: edit }] }, { text: "done" }] };
}

/** Runs one turn per system call, with the fault at that call. */
export async function crashTurn(options: TurnCrashOptions): Promise<TurnCrashReport> {
  const points = await findPoints(options);
  const chosen = points.filter((_, index) => index % options.everyNth === 0);
  const failures: string[] = [];
  for (const point of chosen) {
    const problems = await withPlace(async (place) => {
      const action = options.fault === "KILL" ? "signal=KILL" : `error=${options.fault}`;
      const inject = ["-e", `inject=${point.name}:${action}:when=${point.occurrence}`];
      const run = await runTurn(place, options, { scenario: turns(oldText, newText), inject });
      return [...(run.hung ? ["the turn hung"] : []), ...(await inspect(place, options))];
    });
    const where = `${options.fault} at ${point.name} ${point.occurrence}`;
    failures.push(...problems.map((problem) => `${where}: ${problem}`));
  }
  return { pointCount: chosen.length, failures };
}

interface Place {
  readonly root: string;
  readonly workspace: string;
  readonly home: string;
  readonly sessions: string;
}

async function withPlace<T>(work: (place: Place) => Promise<T>): Promise<T> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "opta-turn-crash-")));
  const workspace = join(root, "workspace");
  const home = join(root, "home");
  try {
    for (const directory of [workspace, home]) mkdirSync(directory);
    writeFileSync(join(workspace, "real.txt"), oldText);
    chmodSync(join(workspace, "real.txt"), fileMode);
    symlinkSync("real.txt", join(workspace, "link.txt"));
    return await work({ root, workspace, home, sessions: join(home, ".config/opta/sessions") });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function runTurn(
  place: Place,
  { executable }: TurnCrashOptions,
  turn: { readonly scenario: ScenarioInput; readonly inject?: readonly string[] },
) {
  await using server = startScriptedServer(turn.scenario);
  const log = join(place.root, "trace");
  const strace = ["strace", "-f", "-qq", "-o", log, "-e", `trace=${calls.join(",")}`];
  // The session that was cut is continued, where there is one.
  const continued = sessionNames(place).some((name) => name.endsWith(".json"));
  const words = ["do", "--auto", ...(continued ? ["--continue"] : []), "go"];
  const child = Bun.spawn([...strace, ...(turn.inject ?? []), executable, ...words], {
    cwd: place.workspace,
    env: {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: place.home,
      OPTA_HOST: "127.0.0.1",
      OPTA_PORT: String(server.port),
    },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: turnLimitMs,
    killSignal: "SIGKILL",
  });
  const startedAt = performance.now();
  const [stderr, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
  const hung = performance.now() - startedAt >= turnLimitMs;
  return { exitCode, stderr, hung, log: readFileSync(log, "utf8") };
}

interface CallPoint {
  readonly name: string;
  readonly occurrence: number;
}

/** The calls of the main thread from the moment opta looks for its settings; before that only the runtime acts. */
async function findPoints(options: TurnCrashOptions): Promise<readonly CallPoint[]> {
  return withPlace(async (place) => {
    const run = await runTurn(place, options, { scenario: turns(oldText, newText) });
    if (run.exitCode !== 0 || readFileSync(join(place.workspace, "real.txt"), "utf8") !== newText) {
      throw new Error(`the undisturbed turn failed: ${run.stderr}`);
    }
    const counts = new Map<string, number>();
    const points: CallPoint[] = [];
    let mainThread: string | undefined;
    for (const line of run.log.split("\n")) {
      const [, thread, name] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
      if (thread === undefined || name === undefined) continue;
      mainThread ??= thread;
      if (thread !== mainThread) continue;
      counts.set(name, (counts.get(name) ?? 0) + 1);
      const started = points.length > 0 || line.includes("config.json");
      if (started) points.push({ name, occurrence: counts.get(name) ?? 0 });
    }
    return points;
  });
}

/** What is wrong with what the cut turn left; then opta runs once more, and nothing temporary may remain. */
async function inspect(place: Place, options: TurnCrashOptions): Promise<readonly string[]> {
  const problems = [...inspectFile(place), ...inspectSessions(place)];
  const current = readFileSync(join(place.workspace, "real.txt"), "utf8");
  const scenario = turns(current, `${current}more\n`);
  const next = await runTurn(place, options, { scenario });
  if (next.exitCode !== 0) problems.push(`the next turn failed: ${next.stderr.trim()}`);
  const left = [...readdirSync(place.workspace), ...sessionNames(place)];
  return [
    ...problems,
    ...left.filter((name) => name.endsWith(".opta-tmp")).map((name) => `${name} is still there`),
  ];
}

function inspectFile({ workspace }: Place): readonly string[] {
  const target = join(workspace, "real.txt");
  const content = readFileSync(target, "utf8");
  const problems: string[] = [];
  if (content !== oldText && content !== newText) problems.push(`the content is ${content}`);
  if ((statSync(target).mode & 0o777) !== fileMode) problems.push("the mode changed");
  if (!lstatSync(join(workspace, "link.txt")).isSymbolicLink()) problems.push("the link is gone");
  return problems;
}

function inspectSessions(place: Place): readonly string[] {
  return sessionNames(place)
    .filter((name) => name.endsWith(".json"))
    .flatMap((name) => {
      try {
        const text = readFileSync(join(place.sessions, name), "utf8");
        const { id, messages } = JSON.parse(text) as SessionFile;
        if (`${id}.json` !== basename(name)) return [`${name} has the id ${id}`];
        // A kill leaves at most one call without its result, and the turn without its answer.
        const open = completeHistory(messages).length - messages.length;
        return open > 2 ? [`${name} has ${open} messages missing`] : [];
      } catch (error) {
        return [`${name} is broken: ${String(error)}`];
      }
    });
}

function sessionNames({ sessions }: Place): readonly string[] {
  try {
    return readdirSync(sessions);
  } catch {
    return [];
  }
}
