// The system calls of the built executable and everything it starts, as lines. Linux only.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { opta, type OptaOptions, type OptaRun } from "./binary.ts";

export interface TraceOptions extends OptaOptions {
  /** For -e trace=, such as "file" or "connect,sendto". */
  readonly calls: string;
}

export interface TracedRun extends OptaRun {
  readonly calls: readonly string[];
}

export async function traceOpta(
  args: readonly string[],
  options: TraceOptions,
): Promise<TracedRun> {
  const directory = mkdtempSync(join(tmpdir(), "opta-strace-"));
  try {
    const file = join(directory, "calls");
    const prefix = ["strace", "-f", "-s", "4096", "-e", `trace=${options.calls}`, "-o", file];
    const run = await opta(args, { ...options, prefix });
    return { ...run, calls: readFileSync(file, "utf8").split("\n") };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
