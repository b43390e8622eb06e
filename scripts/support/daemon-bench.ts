// What the daemon costs: at rest, after a hundred turns, and on the way of `opta do` through it. Linux only: ticks and
// memory are read from /proc.
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { countWakeUps } from "../../test/support/wake-ups.ts";

export interface DaemonPlace {
  readonly opta: string;
  readonly scratch: string;
  /** Port of a scripted model server that answers every turn. */
  readonly modelPort: number;
}

export interface DaemonCost {
  /** From the start of `opta daemon start` to its end; medians. */
  readonly startMs: number;
  readonly idleRssBytes: number;
  /** Of 10 ms, in 15 s, with nothing opened. */
  readonly idleTicks: number;
  /** How often its main thread woke up in that time: a timer costs less than a tick. */
  readonly idleWakeUps: number;
  readonly rssAfterTurnsBytes: number;
  /** The same after them. */
  readonly ticksAfterTurns: number;
  readonly wakeUpsAfterTurns: number;
}

const idleMs = 15_000;
const turns = 100;
const starts = 5;
/** What a start or a turn set going is over by then: the runtime's one collection comes three seconds behind. */
const settleMs = 5_000;

/** One daemon, its environment and directory; `run` gives the command's stdout. */
export class StartedDaemon implements AsyncDisposable {
  private constructor(
    readonly env: Readonly<Record<string, string>>,
    readonly cwd: string,
    private readonly opta: string,
  ) {}

  static async start({ opta, scratch, modelPort }: DaemonPlace): Promise<StartedDaemon> {
    const root = mkdtempSync(join(scratch, "daemon-"));
    const [home, cwd] = [join(root, "home"), join(root, "cwd")];
    for (const path of [home, cwd]) mkdirSync(path);
    const env = {
      HOME: home,
      PATH: "/usr/bin:/bin",
      OPTA_CONFIG_DIR: join(home, "opta"),
      OPTA_HOST: "127.0.0.1",
      OPTA_PORT: String(modelPort),
    };
    const daemon = new StartedDaemon(env, cwd, opta);
    await daemon.run("daemon", "start");
    return daemon;
  }

  async run(...words: readonly string[]): Promise<string> {
    const child = Bun.spawn([this.opta, ...words], {
      cwd: this.cwd,
      env: this.env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    if ((await child.exited) !== 0) throw new Error(`opta ${words.join(" ")}: ${stderr}`);
    return stdout;
  }

  pid(): number {
    const file = join(this.env["OPTA_CONFIG_DIR"]!, "daemon/state.json");
    return (JSON.parse(readFileSync(file, "utf8")) as { pid: number }).pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run("daemon", "stop");
  }
}

export async function measureDaemon(place: DaemonPlace): Promise<DaemonCost> {
  await using daemon = await StartedDaemon.start(place);
  await Bun.sleep(settleMs);
  const idle = await rest(daemon.pid());
  for (let turn = 0; turn < turns; turn += 1) await daemon.run("do", "--attach", "hi");
  await Bun.sleep(settleMs);
  const after = await rest(daemon.pid());
  const startsMs: number[] = [];
  for (let start = 0; start < starts; start += 1) {
    await daemon.run("daemon", "stop");
    const beginMs = performance.now();
    await daemon.run("daemon", "start");
    startsMs.push(performance.now() - beginMs);
  }
  return {
    startMs: startsMs.toSorted((one, other) => one - other)[Math.floor(starts / 2)] ?? Number.NaN,
    idleRssBytes: idle.rssBytes,
    idleTicks: idle.ticks,
    idleWakeUps: idle.wakeUps,
    rssAfterTurnsBytes: after.rssBytes,
    ticksAfterTurns: after.ticks,
    wakeUpsAfterTurns: after.wakeUps,
  };
}

async function rest(pid: number) {
  const before = ticksOf(pid);
  const wakeUps = await countWakeUps(pid, idleMs);
  const [, kibibytes] =
    /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return { ticks: ticksOf(pid) - before, wakeUps, rssBytes: Number(kibibytes) * 1024 };
}

/** User and system, of all threads; proc_pid_stat(5). */
function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}
