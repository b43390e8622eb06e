// `bun run bench [--runs N]`: what starting costs, as ratios to a compiled hello world measured in the same run, in
// turns, so that a slow or busy machine slows both. Medians against fixed limits; exits 1 when one is over.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { RecordedRequest } from "../src/lmx-server/request-log.ts";
import type { ScenarioInput } from "../src/lmx-server/scenario.ts";
import { buildOpta } from "./build.ts";
import { compile, hostTarget } from "./compile.ts";
import type { Measurement } from "./measure-process.ts";
import { reportPrompts, type PromptReport } from "./prompt-report.ts";
import { measureDaemon, StartedDaemon } from "./support/daemon-bench.ts";
import { measureReaderSpeed } from "./support/reader-speed.ts";

const root = join(import.meta.dir, "..");
const warmUps = 2;
const streamedChunks = 5000;
const longOutputRuns = 3;

interface Sample {
  readonly hello: Measurement;
  readonly version: Measurement;
  readonly answer: Measurement;
  readonly answerRequest: RecordedRequest;
  readonly stream: Measurement;
  /** The same `do` as `answer`, through a daemon that has done it before. */
  readonly attached: Measurement;
  readonly attachedRequest: RecordedRequest;
}

interface Row {
  readonly name: string;
  readonly value: number;
  readonly limit: number;
  readonly unit: "x" | "ms" | "bytes" | "%" | "tokens" | "ticks" | "times";
  /** The limit is the least instead of the most. */
  readonly isLeast?: true;
  /** What the ratio was made of. */
  readonly detail: string;
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Bun.argv.slice(2),
    options: { runs: { type: "string", default: "15" } },
  });
  const scratch = mkdtempSync(join(tmpdir(), "opta-bench-"));
  try {
    const rows = [
      ...toRows(await measureAll(scratch, Number(values.runs))),
      ...(await daemonRows(scratch)),
      await measureLongOutput(scratch),
      ...toPromptRows(await reportPrompts(join(root, "dist/opta"))),
      ...readerRows(),
    ];
    console.log(formatTable(rows));
    process.exitCode = rows.every(isWithin) ? 0 : 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function measureAll(scratch: string, runs: number): Promise<readonly Sample[]> {
  const target = hostTarget();
  const opta = await buildOpta({ target, dev: false });
  const hello = join(scratch, "hello");
  writeFileSync(join(scratch, "hello.ts"), `console.log("hello");\n`);
  await compile({
    entrypoints: [join(scratch, "hello.ts")],
    target,
    outfile: hello,
    bytecode: true,
  });

  await using answering = await startServer(scratch, {
    turns: [{ text: "Hello, how can I help?" }],
    loop: true,
  });
  await using streaming = await startServer(scratch, {
    turns: [{ repeat: { text: "word ", times: streamedChunks } }],
    loop: true,
  });
  await using served = await startServer(scratch, {
    turns: [{ text: "Hello, how can I help?" }],
    loop: true,
  });
  await using daemon = await StartedDaemon.start({ opta, scratch, modelPort: served.port });
  const samples: Sample[] = [];
  for (let run = -warmUps; run < runs; run += 1) {
    const place = createPlace(scratch);
    const sample: Sample = {
      hello: await measure([hello], place),
      version: await measure([opta, "--version"], place),
      answer: await measure([opta, "do", "hi"], { ...place, port: answering.port }),
      answerRequest: await lastRequest(answering.port),
      stream: await measure([opta, "do", "hi"], { ...place, port: streaming.port }),
      attached: await measureIn([opta, "do", "--attach", "hi"], daemon),
      attachedRequest: await lastRequest(served.port),
    };
    const words = sample.stream.stdout.split("word ").length - 1;
    if (words !== streamedChunks) throw new Error(`the stream printed ${words} of its chunks`);
    if (run >= 0) samples.push(sample);
  }
  return samples;
}

/** What a command that prints 1 GB adds to the peak memory of a turn, over one that prints nothing. */
async function measureLongOutput(scratch: string): Promise<Row> {
  const opta = join(root, "dist/opta");
  const peakOf = async (command: string) => {
    await using server = await startServer(scratch, {
      turns: [{ toolCalls: [{ name: "run_command", arguments: { command } }] }, { text: "done" }],
      loop: true,
    });
    const peaks: number[] = [];
    for (let run = 0; run < longOutputRuns; run += 1) {
      const place = { ...createPlace(scratch), port: server.port };
      peaks.push((await measure([opta, "do", "--dangerous", "go"], place)).rssBytes);
    }
    return median(peaks);
  };
  const quiet = await peakOf("true");
  const loud = await peakOf("head -c 1000000000 /dev/zero | tr '\\0' x");
  return {
    name: "1 GB of command output, memory",
    value: loud - quiet,
    limit: 32e6,
    unit: "bytes",
    detail: `peak ${showMb(loud)} to ${showMb(quiet)} without`,
  };
}

/** Ticks and memory are read from /proc. */
async function daemonRows(scratch: string): Promise<readonly Row[]> {
  if (process.platform !== "linux") return [];
  await using server = await startServer(scratch, {
    turns: [{ text: "Hello, how can I help?" }],
    loop: true,
  });
  const opta = join(root, "dist/opta");
  const cost = await measureDaemon({ opta, scratch, modelPort: server.port });
  const ticks = { limit: 0, unit: "ticks", detail: "of 10 ms, in 15 s" } as const;
  // One a second would be a timer.
  const wakeUps = { limit: 4, unit: "times", detail: "of the main thread, in 15 s" } as const;
  const bytes = { unit: "bytes", detail: "" } as const;
  return [
    { name: "daemon start, to ready", value: cost.startMs, limit: 150, unit: "ms", detail: "" },
    { name: "daemon at rest, CPU", value: cost.idleTicks, ...ticks },
    { name: "daemon at rest, wake-ups", value: cost.idleWakeUps, ...wakeUps },
    { name: "daemon at rest, RSS", value: cost.idleRssBytes, limit: 45e6, ...bytes },
    { name: "after 100 turns, CPU", value: cost.ticksAfterTurns, ...ticks },
    { name: "after 100 turns, wake-ups", value: cost.wakeUpsAfterTurns, ...wakeUps },
    { name: "after 100 turns, RSS", value: cost.rssAfterTurnsBytes, limit: 60e6, ...bytes },
  ];
}

/** The reader of text tool calls, in this process: at least 50 MB a second. */
function readerRows(): readonly Row[] {
  const { mbPerSecond, ratio: timesPassingThrough } = measureReaderSpeed();
  return [
    {
      name: "50 MB of plain text, reader",
      value: 50_000 / mbPerSecond,
      limit: 1_000,
      unit: "ms",
      detail: `${Math.round(mbPerSecond)} MB/s in chunks of 5 characters`,
    },
    {
      name: "frames with the reader",
      value: timesPassingThrough,
      limit: 1.3,
      unit: "x",
      detail: "to the same loop without it",
    },
  ];
}

function toRows(samples: readonly Sample[]): readonly Row[] {
  const typical = (pick: (sample: Sample) => number) => median(samples.map(pick));
  const helloCpuMs = typical(({ hello }) => hello.cpuMs);
  const helloRss = typical(({ hello }) => hello.rssBytes);
  const helloWallMs = typical(({ hello }) => hello.exitedAtMs - hello.startedAtMs);
  const floor = typical(({ hello }) => hello.rssFloorBytes);
  if (floor >= helloRss)
    throw new Error("this machine cannot measure peak memory: spawning costs more than hello");

  const versionCpuMs = typical(({ version }) => version.cpuMs);
  const versionRss = typical(({ version }) => version.rssBytes);
  const answerCpuMs = typical(({ answer }) => answer.cpuMs);
  const answerRss = typical(({ answer }) => answer.rssBytes);
  const requestMs = typical(
    ({ answer, answerRequest }) => answerRequest.receivedAtMs - answer.startedAtMs,
  );
  const exitMs = typical(
    ({ answer, answerRequest }) => answer.exitedAtMs - (answerRequest.lastFrameAtMs ?? Number.NaN),
  );
  const streamCpuMs = typical(({ stream }) => stream.cpuMs);
  const requestBytes = typical(({ answerRequest }) => Buffer.byteLength(answerRequest.body));
  return [
    ratio("--version, CPU", { value: versionCpuMs, hello: helloCpuMs, limit: 1.3, show: showMs }),
    ratio("--version, peak RSS", { value: versionRss, hello: helloRss, limit: 1.2, show: showMb }),
    {
      name: 'do "hi", start to chat request',
      value: requestMs,
      limit: helloWallMs + 60,
      unit: "ms",
      detail: `hello's wall ${showMs(helloWallMs)} + 60 ms`,
    },
    ratio('do "hi", CPU', { value: answerCpuMs, hello: helloCpuMs, limit: 10, show: showMs }),
    ratio('do "hi", peak RSS', { value: answerRss, hello: helloRss, limit: 2.5, show: showMb }),
    {
      name: "through a warm daemon, request",
      value: typical(
        ({ attached, attachedRequest }) => attachedRequest.receivedAtMs - attached.startedAtMs,
      ),
      limit: helloWallMs + 30,
      unit: "ms",
      detail: `start to chat request; hello's wall ${showMs(helloWallMs)} + 30 ms`,
    },
    { name: 'do "hi", last frame to exit', value: exitMs, limit: 10, unit: "ms", detail: "" },
    {
      name: `${streamedChunks} streamed chunks, CPU`,
      value: streamCpuMs,
      limit: 300,
      unit: "ms",
      detail: "the whole process",
    },
    { name: "first request", value: requestBytes, limit: 8192, unit: "bytes", detail: "" },
  ];
}

interface Ratio {
  readonly value: number;
  readonly hello: number;
  readonly limit: number;
  readonly show: (value: number) => string;
}

function ratio(name: string, { value, hello, limit, show }: Ratio): Row {
  const detail = `${show(value)} to hello's ${show(hello)}`;
  return { name, value: value / hello, limit, unit: "x", detail };
}

function toPromptRows(report: PromptReport): readonly Row[] {
  const stable = Object.entries(report.stablePercent).map(([name, value]) => ({
    name: `prefix: ${name}`,
    value,
    limit: 100,
    isLeast: true as const,
    unit: "%" as const,
    detail: "",
  }));
  const tokens = {
    name: "first request, BPE tokens",
    value: report.firstRequestTokens,
    limit: 2000,
    unit: "tokens" as const,
    detail: "o200k_base over its JSON",
  };
  return [...stable, tokens];
}

/** NaN (nothing measured) is over. */
function isWithin({ value, limit, isLeast }: Row): boolean {
  return isLeast ? value >= limit : value <= limit;
}

function formatTable(rows: readonly Row[]): string {
  const show = (value: number, unit: Row["unit"]) =>
    unit === "bytes" || unit === "tokens" || unit === "ticks"
      ? `${Math.round(value)} ${unit}`
      : `${value.toFixed(unit === "x" ? 2 : 1)} ${unit}`;
  return rows
    .map((row) =>
      [
        row.name.padEnd(32),
        show(row.value, row.unit).padStart(12),
        `${row.isLeast ? ">=" : "<="} ${show(row.limit, row.unit)}`.padEnd(16),
        (isWithin(row) ? "PASS" : "OVER").padEnd(6),
        row.detail,
      ]
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

interface Place {
  readonly cwd: string;
  readonly home: string;
  readonly port?: number;
}

/** An empty directory and an empty HOME for one round. */
function createPlace(scratch: string): Place {
  const round = mkdtempSync(join(scratch, "round-"));
  for (const name of ["cwd", "home"]) mkdirSync(join(round, name));
  return { cwd: join(round, "cwd"), home: join(round, "home") };
}

async function measure(
  command: readonly string[],
  { cwd, home, port }: Place,
): Promise<Measurement> {
  const env = {
    HOME: home,
    PATH: "/usr/bin:/bin",
    OPTA_CONFIG_DIR: join(home, "opta"),
    ...(port === undefined ? {} : { OPTA_HOST: "127.0.0.1", OPTA_PORT: String(port) }),
  };
  return measureIn(command, { cwd, env });
}

async function measureIn(
  command: readonly string[],
  { cwd, env }: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Promise<Measurement> {
  const child = Bun.spawn(
    [
      process.execPath,
      join(root, "scripts/measure-process.ts"),
      JSON.stringify({ command, cwd, env }),
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
  );
  const measurement: Measurement = JSON.parse(await new Response(child.stdout).text());
  if (measurement.exitCode !== 0) {
    throw new Error(`${command.join(" ")}: exit ${measurement.exitCode}\n${measurement.stderr}`);
  }
  return measurement;
}

interface Server extends AsyncDisposable {
  readonly port: number;
}

async function startServer(scratch: string, scenario: ScenarioInput): Promise<Server> {
  const file = join(mkdtempSync(join(scratch, "scenario-")), "scenario.json");
  writeFileSync(file, JSON.stringify(scenario));
  const child = Bun.spawn([process.execPath, join(root, "scripts/scripted-server.ts"), file], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  for await (const line of child.stdout.pipeThrough(new TextDecoderStream())) {
    const { port }: { port: number } = JSON.parse(line);
    return {
      port,
      async [Symbol.asyncDispose]() {
        child.kill();
        await child.exited;
      },
    };
  }
  throw new Error("the scripted server did not start");
}

async function lastRequest(port: number): Promise<RecordedRequest> {
  const response = await fetch(`http://127.0.0.1:${port}/__requests`);
  const { requests } = (await response.json()) as { requests: readonly RecordedRequest[] };
  const last = requests.at(-1);
  if (last === undefined) throw new Error("no model request arrived");
  return last;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function showMs(value: number): string {
  return `${value.toFixed(1)} ms`;
}

function showMb(value: number): string {
  return `${(value / 1e6).toFixed(1)} MB`;
}
