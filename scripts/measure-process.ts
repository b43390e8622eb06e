// Runs one program and prints what it cost as a JSON line. A process of its own, as small as possible: Linux counts the
// memory of whoever spawns into the child's peak, so a large parent would hide the difference.
// `bun scripts/measure-process.ts '{"command":["dist/opta","--version"],"cwd":"/tmp","env":{}}'`

export interface Measurement {
  readonly exitCode: number;
  /** Milliseconds since the epoch, with fractions; comparable between processes of one machine. */
  readonly startedAtMs: number;
  readonly exitedAtMs: number;
  /** User and system. */
  readonly cpuMs: number;
  /** Peak resident memory. */
  readonly rssBytes: number;
  /** What a program that needs nothing would show: readings near it say only that. */
  readonly rssFloorBytes: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Measured {
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

if (import.meta.main) {
  const measured: Measured = JSON.parse(Bun.argv[2] ?? "");
  const idle = Bun.spawn(["/bin/sh", "-c", ":"], { stdin: "ignore", stdout: "ignore" });
  await idle.exited;
  const startedAtMs = performance.timeOrigin + performance.now();
  const child = Bun.spawn([...measured.command], {
    cwd: measured.cwd,
    env: measured.env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const exited = child.exited.then((exitCode) => ({
    exitCode,
    exitedAtMs: performance.timeOrigin + performance.now(),
  }));
  const stdout = await new Response(child.stdout).text();
  const stderr = await new Response(child.stderr).text();
  const { exitCode, exitedAtMs } = await exited;
  const usage = child.resourceUsage();
  const measurement: Measurement = {
    exitCode,
    startedAtMs,
    exitedAtMs,
    cpuMs: Number(usage?.cpuTime.total ?? 0) / 1000,
    rssBytes: usage?.maxRSS ?? 0,
    rssFloorBytes: idle.resourceUsage()?.maxRSS ?? 0,
    stdout,
    stderr,
  };
  console.log(JSON.stringify(measurement));
}
