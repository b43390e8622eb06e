// `bun run check [--deep] [step...]`: everything that must hold before a change lands. Starts on a machine with nothing
// installed, so it imports nothing but Bun. The last line is `N passed, N failed`: every test counts one, and so does
// every step that is not the tests.
import { join } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dir, "..");
const bun = process.execPath;

interface Step {
  readonly name: string;
  /** Words of one command, or of several run in order until one fails. */
  readonly commands: readonly (readonly string[])[];
  /** When it fails nothing after it makes sense. */
  readonly isVital?: boolean;
  /** Its output ends with bun test's counts. */
  readonly isTests?: boolean;
  /** Added to the environment. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** The acceptance tests of `opta do`, once more with a daemon that does the work (test/support/do.ts). */
const attachedTests = [
  "do",
  "do-failures",
  "do-permissions",
  "do-cancel",
  "turn-rules",
  "text-calls",
  "server-errors",
  "cloud",
  "context",
  "search",
].map((name) => `test/acceptance/${name}.test.ts`);

const steps: readonly Step[] = [
  { name: "install", commands: [[bun, "install", "--frozen-lockfile"]], isVital: true },
  { name: "format", commands: [[bun, "fmt", "--no-script", "--check"]] },
  { name: "types", commands: [[bun, "check", "--no-script"]] },
  { name: "lint", commands: [tool("oxlint", "--deny-warnings", "src", "test", "scripts")] },
  { name: "dead-exports", commands: [tool("knip", "--no-progress")] },
  { name: "build", commands: [[bun, "scripts/build.ts"]] },
  { name: "tests", commands: [[bun, "test", "--timeout", "30000"]], isTests: true },
  {
    name: "tests-attached",
    commands: [[bun, "test", "--timeout", "60000", ...attachedTests]],
    environment: { OPTA_TEST_MODE: "attached" },
    isTests: true,
  },
];

/** Their figures take minutes (test/support/rounds.ts). */
const permissionTests = "test/acceptance/daemon-http-permissions.test.ts";
const roundsTests = [
  "test/acceptance/daemon-lifecycle.test.ts",
  permissionTests,
  "test/daemon/log-file.test.ts",
];

const deepSteps: readonly Step[] = [
  ...["darwin-arm64", "darwin-x64", "linux-arm64"].map((target) => ({
    name: `build-${target}`,
    commands: [[bun, "scripts/build.ts", "--target", target]],
  })),
  { name: "signatures", commands: [[bun, "scripts/check-signatures.ts"]] },
  { name: "file-crash", commands: [[bun, "scripts/file-crash.ts"]] },
  { name: "turn-crash", commands: [[bun, "scripts/turn-crash.ts"]] },
  { name: "crash", commands: [[bun, "scripts/crash.ts"]] },
  {
    name: "promised-rounds",
    commands: [[bun, "test", ...roundsTests]],
    environment: { OPTA_TEST_ROUNDS: "promised" },
    isTests: true,
  },
  {
    // Each case of what is no answer, fifty times (promises G1).
    name: "denials",
    commands: [[bun, "test", "--rerun-each", "50", "-t", "denie[ds]", permissionTests]],
    isTests: true,
  },
  { name: "swarm", commands: [[bun, "scripts/swarm.ts"]] },
  { name: "abuse", commands: [[bun, "scripts/abuse.ts"]] },
  { name: "fuzz-command-gate", commands: [[bun, "scripts/fuzz-command-gate.ts"]] },
  { name: "fuzz-text-calls", commands: [[bun, "scripts/fuzz-text-calls.ts"]] },
  { name: "bench", commands: [[bun, "scripts/bench.ts"]] },
];

/** Programs that tests start, and the Debian package that brings each. */
const programs = [
  { program: "strace", debianPackage: "strace" },
  { program: "git", debianPackage: "git" },
];

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    args: Bun.argv.slice(2),
    options: { deep: { type: "boolean", default: false } },
    allowPositionals: true,
  });
  const known = [...steps, ...deepSteps];
  const unknown = positionals.filter((name) => !known.some((step) => step.name === name));
  if (unknown.length > 0) {
    console.error(
      `no step ${unknown.join(", ")}; steps: ${known.map(({ name }) => name).join(" ")}`,
    );
    process.exit(2);
  }
  const wanted = values.deep ? known : steps;
  const chosen =
    positionals.length > 0 ? known.filter(({ name }) => positionals.includes(name)) : wanted;
  const counts = await runSteps(chosen);
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  process.exit(counts.failed === 0 ? 0 : 1);
}

interface Counts {
  readonly passed: number;
  readonly failed: number;
}

async function runSteps(chosen: readonly Step[]): Promise<Counts> {
  let total: Counts = { passed: 0, failed: 0 };
  for (const step of chosen) {
    if (step.isTests === true) await installPrograms();
    const startedMs = performance.now();
    const { exitCode, output } = await runStep(step);
    const counts = countStep(step, { exitCode, output });
    total = { passed: total.passed + counts.passed, failed: total.failed + counts.failed };
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    const verdict = counts.failed === 0 ? "ok    " : "FAILED";
    const sum = step.isTests === true ? `  ${counts.passed} passed, ${counts.failed} failed` : "";
    console.log(`${verdict} ${step.name}  ${seconds} s${sum}`);
    if (counts.failed > 0) console.log(output.trimEnd());
    if (counts.failed > 0 && step.isVital === true) break;
  }
  return total;
}

interface Outcome {
  readonly exitCode: number;
  readonly output: string;
}

async function runStep(step: Step): Promise<Outcome> {
  let output = "";
  for (const command of step.commands) {
    const outcome = await run(command, step.environment);
    output += outcome.output;
    if (outcome.exitCode !== 0) return { exitCode: outcome.exitCode, output };
  }
  return { exitCode: 0, output };
}

/** Real counts of bun test; a run that fails without a failed test (an error between tests) counts as one. */
function countStep(step: Step, { exitCode, output }: Outcome): Counts {
  if (step.isTests !== true)
    return exitCode === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  const passed = Number(/^ (\d+) pass$/m.exec(output)?.[1] ?? 0);
  const failed = Number(/^ (\d+) fail$/m.exec(output)?.[1] ?? 0);
  const isBroken = (exitCode !== 0 || passed === 0) && failed === 0;
  return { passed, failed: isBroken ? 1 : failed };
}

/** Runs to the end, stdout and stderr together, so that a failure reads as on a terminal. */
async function run(
  command: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const child = Bun.spawn(["/bin/sh", "-c", 'exec "$@" 2>&1', "sh", ...command], {
    cwd: root,
    env: { ...process.env, ...environment },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = await new Response(child.stdout).text();
  return { exitCode: await child.exited, output };
}

/** On Debian as root missing programs are installed; elsewhere the tests that need them say what is missing. */
async function installPrograms(): Promise<void> {
  const missing = programs.filter(({ program }) => Bun.which(program) === null);
  if (missing.length === 0 || process.platform !== "linux") return;
  const packages = missing.map(({ debianPackage }) => debianPackage);
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || Bun.which("apt-get") === null) {
    console.log(
      `missing, tests will fail: ${packages.join(" ")} (apt-get install ${packages.join(" ")})`,
    );
    return;
  }
  const install = ["apt-get", "install", "-y", "--no-install-recommends", ...packages];
  const first = await run(install);
  if (first.exitCode === 0) return;
  await run(["apt-get", "update"]);
  const second = await run(install);
  if (second.exitCode !== 0)
    console.log(`could not install ${packages.join(" ")}:\n${second.output}`);
}

/** A package's command under Bun itself, whether or not there is a Node. */
function tool(name: string, ...args: readonly string[]): readonly string[] {
  return [bun, "--bun", join("node_modules/.bin", name), ...args];
}
