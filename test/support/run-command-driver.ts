// A process that runs one command through run_command in its current directory and tells the result and by how
// much its memory peak grew: what cannot be measured, or killed, inside the test process.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createRunCommandTool } from "../../src/tools/run-command.ts";

const tool = createRunCommandTool({ environment: { ...process.env, PATH: "/usr/bin:/bin" } });
const context = {
  workspace: process.cwd(),
  outputDirectory: join(process.cwd(), "driver-output"),
  callId: "driver",
  files: new Map(),
  effects: [],
  mayRead: () => true,
  mayList: () => true,
  signal: new AbortController().signal,
};

function peakBytes(): number {
  if (process.platform !== "linux") return process.resourceUsage().maxRSS;
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(line?.[1]) * 1024;
}

await tool.run({ command: "true" }, context);
const before = peakBytes();
const { text } = await tool.run({ command: process.argv[2] }, context);
process.stdout.write(JSON.stringify({ text, growthBytes: peakBytes() - before }));
