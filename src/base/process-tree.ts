// Ending everything a command started (promises C1): its process group and session, its descendants, and those
// that left both (setsid, nohup, double fork) but still carry the marker it put into their environment. It is
// looked at from time to time while it runs: a descendant seen once is known after its parents are gone. What
// is never seen below them, because it left at once and without its environment, is the sandbox's work.
import { existsSync, readdirSync, readFileSync } from "node:fs";

export interface ProcessTree {
  /** Leader of its own session and group. */
  readonly rootPid: number;
  /** `NAME=value` as set in the root's environment; unique to this tree. */
  readonly marker: string;
  /** Do not count: they only watch over the tree, and are ended by whoever started it. May grow meanwhile. */
  readonly spared?: ReadonlySet<number>;
  /** The longest wait between two looks; default a second. */
  readonly maxLookMs?: number | undefined;
}

export interface TreeEnding {
  /** Processes that were alive. */
  readonly found: number;
  /** Processes that are still there: stuck in the kernel, or not ours to signal. */
  readonly left: number;
}

/** The first look at a running tree; each later one takes twice as long to come, up to the second. */
const firstLookMs = 50;
/** A look costs milliseconds. */
const maxLookMs = 1_000;
/** How often a dying tree is looked at. */
const pollMs = 20;
/** SIGKILL takes effect at once but for processes stuck in the kernel; more waiting would not help those. */
const killRounds = 20;
/** What is blurred is looked at again, a moment later and for so long: a busy machine is never quite still. */
const blurredMs = 2;
const blurredLimitMs = 40;
/** The looks a process gets to finish exiting. */
const exitingMs = [2, 8];

export interface WatchedTree {
  /**
   * Sends SIGTERM to the tree, SIGKILL to what is left after `graceMs`, and resolves when nothing of it runs,
   * at the latest about half a second after that. Does nothing when nothing is left of the tree.
   */
  end(options: { readonly graceMs: number }): Promise<TreeEnding>;
}

/** Looks at the tree until `end`, which has to be called once. */
export function watchProcessTree(tree: ProcessTree): WatchedTree {
  const known: KnownProcesses = new Map();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isEnding = false;
  const lookAfter = (waitMs: number) => {
    timer = setTimeout(async () => {
      // A look that fails (no more processes for ps) costs what it would have seen; the end tells.
      await look(tree, known).catch(() => undefined);
      if (!isEnding) lookAfter(Math.min(waitMs * 2, tree.maxLookMs ?? maxLookMs));
    }, waitMs);
  };
  lookAfter(firstLookMs);
  return {
    end({ graceMs }) {
      isEnding = true;
      clearTimeout(timer);
      return endTree(tree, { known, graceMs });
    },
  };
}

/** Pid -> when it started, of every process that was ever seen in the tree. */
type KnownProcesses = Map<number, string>;

async function endTree(
  tree: ProcessTree,
  { known, graceMs }: { readonly known: KnownProcesses; readonly graceMs: number },
): Promise<TreeEnding> {
  let alive = await findClearly(tree, known);
  // A process that is just exiting still looks alive: only what stays is told and signalled.
  for (const waitMs of exitingMs) {
    if (alive.length === 0) break;
    await Bun.sleep(waitMs);
    alive = await findClearly(tree, known);
  }
  const found = alive.length;
  if (found === 0) return { found, left: 0 };

  // The group in one call first: the kernel does that at once, so that nothing can fork away meanwhile.
  sendSignal(-tree.rootPid, "SIGTERM");
  // Once each: to many programs a second SIGTERM means to drop everything.
  const told = new Set(alive.filter(({ group }) => group === tree.rootPid).map(({ pid }) => pid));
  const deadline = performance.now() + graceMs;
  while (alive.length > 0 && performance.now() < deadline) {
    // Also those that were forked meanwhile.
    for (const { pid } of alive.filter((each) => !told.has(each.pid))) {
      told.add(pid);
      sendSignal(pid, "SIGTERM");
    }
    await Bun.sleep(pollMs);
    alive = await findClearly(tree, known);
  }
  for (let round = 0; alive.length > 0 && round < killRounds; round++) {
    sendSignal(-tree.rootPid, "SIGKILL");
    for (const { pid } of alive) sendSignal(pid, "SIGKILL");
    await Bun.sleep(pollMs);
    alive = await findClearly(tree, known);
  }
  return { found, left: alive.length };
}

/** One process as /proc or ps tell of it. */
export interface ProcessRow {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** When it started, in whatever unit: with the pid an identity that is never used again. */
  readonly started: string;
  /** Its variables, among whatever else; "" where they cannot be read. */
  readonly environment: string;
}

/** Those of `rows` that belong to the tree; `known` remembers those whose parents die later. */
export function selectTree(
  rows: readonly ProcessRow[],
  { rootPid, isMarked }: { readonly rootPid: number; isMarked(row: ProcessRow): boolean },
  known: KnownProcesses,
): ProcessRow[] {
  const children = Map.groupBy(rows, (row) => row.parent);
  const selected = new Set<ProcessRow>();
  const take = (row: ProcessRow) => {
    if (selected.has(row) || row.pid === process.pid || row.pid <= 1) return;
    selected.add(row);
    known.set(row.pid, row.started);
    children.get(row.pid)?.forEach(take);
  };
  for (const row of rows) {
    const isOwn = row.pid === rootPid || row.group === rootPid || row.session === rootPid;
    if (isOwn || isMarked(row) || known.get(row.pid) === row.started) take(row);
  }
  return [...selected];
}

/** Every process of the tree, also where the first look comes while one of them forks or becomes another program. */
async function findClearly(
  tree: ProcessTree,
  known: KnownProcesses,
): Promise<readonly ProcessRow[]> {
  const deadline = performance.now() + blurredLimitMs;
  let clearLooks = 0;
  for (let again = 0; ; again++) {
    const { alive, isBlurred } = await look(tree, known);
    clearLooks = isBlurred ? 0 : clearLooks + 1;
    // Where something moved, one clear look is not believed.
    const isOver = clearLooks === (again === 0 ? 1 : 2);
    if (alive.length > 0 || isOver || performance.now() > deadline) return alive;
    await Bun.sleep(blurredMs);
  }
}

interface Look {
  readonly alive: readonly ProcessRow[];
  /** Something began or ended meanwhile, so that a process may be there and not seen. */
  readonly isBlurred: boolean;
}

async function look(tree: ProcessTree, known: KnownProcesses): Promise<Look> {
  const { rows, changing, hasVanished } = await lookTogether();
  const isMarked = (row: ProcessRow) => row.environment.includes(tree.marker);
  const alive = selectTree(rows, { rootPid: tree.rootPid, isMarked }, known).filter(
    ({ pid }) => !tree.spared?.has(pid),
  );
  // What began before the root is none of the tree: kernel threads, other users' programs.
  const rootStarted = Number(known.get(tree.rootPid) ?? 0);
  return { alive, isBlurred: hasVanished || changing.some((started) => started >= rootStarted) };
}

let nextLook: Promise<ProcessList> | undefined;

/**
 * All processes as they are after this call. Whoever asks before the look begins shares it: a daemon that ends a hundred
 * trees would else look at a thousand processes a hundred times, and do nothing else meanwhile.
 */
function lookTogether(): Promise<ProcessList> {
  nextLook ??= new Promise((resolve) => setImmediate(resolve)).then(() => {
    nextLook = undefined;
    return process.platform === "linux" ? readProc() : askPs();
  });
  return nextLook;
}

/** Signals a process, or with a negative number a group, that may be gone by now. */
export function sendSignal(pid: number, signal: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(pid, signal);
  } catch (thrown) {
    // ESRCH: gone meanwhile. EPERM: it changed its user; it counts as left.
    const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
    if (code !== "ESRCH" && code !== "EPERM") throw thrown;
  }
}

interface ProcessList {
  readonly rows: readonly ProcessRow[];
  /**
   * When those began that have just ended, perhaps with a child that is not listed, and those without an environment,
   * as it is for a moment when a program takes the place of another.
   */
  readonly changing: readonly number[];
  /** One that was listed is not there any more. */
  readonly hasVanished: boolean;
}

function readProc(): ProcessList {
  const rows: ProcessRow[] = [];
  const changing: number[] = [];
  let hasVanished = false;
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const stat = readIfThere(`/proc/${name}/stat`)?.toString("latin1");
    if (stat === undefined) {
      hasVanished ||= !existsSync(`/proc/${name}`);
      continue;
    }
    // proc_pid_stat(5): the name in parentheses may hold anything, the fields after it are plain.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, parent, group, session] = fields;
    const started = Number(fields[19]);
    if (state === "Z" || state === "X") {
      changing.push(started);
      continue;
    }
    const environment = readIfThere(`/proc/${name}/environ`)?.toString("latin1") ?? "";
    if (environment === "") changing.push(started);
    rows.push({
      pid,
      parent: Number(parent),
      group: Number(group),
      session: Number(session),
      started: fields[19] ?? "",
      environment,
    });
  }
  return { rows, changing, hasVanished };
}

/** Undefined for a process that is gone or belongs to another user. */
function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** ps(1) of macOS: -E adds the environment to the command, -ww keeps it whole. */
async function askPs(): Promise<ProcessList> {
  const columns = "pid=,ppid=,pgid=,stat=,lstart=,command=";
  const ps = Bun.spawn(["/bin/ps", "-axEww", "-o", columns], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    env: { LC_ALL: "C" },
  });
  return { rows: parsePs(await ps.stdout.text()), changing: [], hasVanished: false };
}

/** Rows of `ps -axEww -o pid=,ppid=,pgid=,stat=,lstart=,command=` in the C locale. */
export function parsePs(text: string): ProcessRow[] {
  const line = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\S+ \S+ +\d+ [\d:]+ \d+)\s+(.*)$/;
  return text.split("\n").flatMap((row) => {
    const [, pid, parent, group, state, started, command] = line.exec(row) ?? [];
    if (pid === undefined || state?.startsWith("Z")) return [];
    return {
      pid: Number(pid),
      parent: Number(parent),
      group: Number(group),
      // macOS shows sessions only as kernel addresses.
      session: 0,
      started: started ?? "",
      environment: command ?? "",
    };
  });
}
