// The built executable for acceptance tests: builds dist/opta when it is missing or older than its sources (one
// builder at a time, however many test processes ask), and runs it alone: empty directory, empty HOME, a bare
// environment. Knows nothing of what the commands do.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const lockPath = join(root, "dist/.build-lock");
const buildPatienceMs = 300_000;
const killAfterMs = 60_000;

export interface OptaOptions {
  /** Default: a fresh empty directory, removed afterwards. */
  readonly cwd?: string;
  /** Default: a fresh empty directory, removed afterwards. OPTA_CONFIG_DIR is unset, so config lands in here. */
  readonly home?: string;
  /** Added to {PATH, HOME, TMPDIR, LANG}; nothing else of the test's own environment is passed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** Text on stdin; default none (/dev/null). */
  readonly stdin?: string;
  /** The process is killed (SIGKILL) after this; default 60,000 ms. */
  readonly timeoutMs?: number;
  /** Words put before the executable, such as ["strace", "-f"]. */
  readonly prefix?: readonly string[];
}

export interface OptaRun {
  /** -1 when a signal ended it. */
  readonly exitCode: number;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the built executable to its end. The exit code is data: it never throws for a non-zero one. */
export async function opta(args: readonly string[], options: OptaOptions = {}): Promise<OptaRun> {
  await using started = await startOpta(args, options);
  const { process: child } = started;
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  return {
    exitCode: child.exitCode ?? -1,
    signal: child.signalCode === null ? undefined : String(child.signalCode),
    stdout,
    stderr,
  };
}

export interface StartedOpta extends AsyncDisposable {
  readonly process: Bun.Subprocess<"ignore" | Blob, "pipe", "pipe">;
  readonly cwd: string;
  readonly home: string;
}

/** Starts the built executable for tests that interrupt it; disposing kills it and removes its directories. */
export async function startOpta(
  args: readonly string[],
  options: OptaOptions = {},
): Promise<StartedOpta> {
  const executable = await builtOpta();
  const scratch = mkdtempSync(join(tmpdir(), "opta-run-"));
  const cwd = options.cwd ?? makeDirectory(join(scratch, "cwd"));
  const home = options.home ?? makeDirectory(join(scratch, "home"));
  const child = Bun.spawn([...(options.prefix ?? []), executable, ...args], {
    cwd,
    env: {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: home,
      TMPDIR: makeDirectory(join(scratch, "tmp")),
      LANG: "C.UTF-8",
      ...options.env,
    },
    stdin: options.stdin === undefined ? "ignore" : new Blob([options.stdin]),
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs ?? killAfterMs,
    killSignal: "SIGKILL",
  });
  return {
    process: child,
    cwd,
    home,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(scratch, { recursive: true, force: true });
    },
  };
}

/** The path of an executable at least as new as its sources. @throws Error with the build's output. */
export async function builtOpta(): Promise<string> {
  const executable = join(root, "dist/opta");
  mkdirSync(join(root, "dist"), { recursive: true });
  const giveUpAt = Date.now() + buildPatienceMs;
  while (!isFresh(executable)) {
    if (takeLock()) {
      try {
        if (!isFresh(executable)) await build();
        return executable;
      } finally {
        rmSync(lockPath, { force: true });
      }
    }
    if (Date.now() > giveUpAt) throw new Error(`another process holds ${lockPath} for too long`);
    await Bun.sleep(100);
  }
  return executable;
}

async function build(): Promise<void> {
  const child = Bun.spawn([process.execPath, "scripts/build.ts"], {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) throw new Error(`bun run build failed:\n${stdout}${stderr}`);
}

function isFresh(executable: string): boolean {
  const builtMs = modifiedMs(executable);
  if (builtMs === undefined) return false;
  return sources().every((path) => (modifiedMs(join(root, path)) ?? 0) <= builtMs);
}

function sources(): readonly string[] {
  const scripts = ["build", "compile", "embed-ripgrep"].map((name) => `scripts/${name}.ts`);
  const files = [...new Bun.Glob("src/**/*.{ts,tsx,json,html,css}").scanSync({ cwd: root })];
  return [...files, ...scripts, "package.json", "bun.lock"];
}

function modifiedMs(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

/** A lock file that names its holder; one left by a dead process is taken over. */
function takeLock(): boolean {
  try {
    writeFileSync(lockPath, String(process.pid), { flag: "wx" });
    return true;
  } catch (thrown) {
    if (!(thrown instanceof Error) || !("code" in thrown) || thrown.code !== "EEXIST") throw thrown;
  }
  if (!isHolderAlive()) rmSync(lockPath, { force: true });
  return false;
}

function isHolderAlive(): boolean {
  try {
    const pid = Number(readFileSync(lockPath, "utf8"));
    // An empty file is a lock that is just being written.
    return pid === 0 || process.kill(pid, 0);
  } catch {
    return false;
  }
}

function makeDirectory(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}
