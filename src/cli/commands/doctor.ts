// `opta doctor`: whether everything that opta needs is there, and what to type where it is not.
import { stripTerminalText } from "../../base/terminal-text.ts";
import type { DoctorCheck, DoctorReport } from "../../daemon/doctor.ts";
import { exitCodes, OptaError } from "../../protocol/error.ts";
import { defineCommand } from "../command.ts";
import { toJsonText } from "../output/json.ts";
import type { Style } from "../output/style.ts";

export const command = defineCommand({
  name: "doctor",
  summary: "check settings, disk, model server and programs",
  args: { json: { type: "boolean", description: "print one JSON document" } },
  notes: "Exits 1 when a check failed, else 0. Changes nothing.",
  examples: ["opta doctor", "opta doctor --json"],
  async run({ args, io, environment, loadConfig, loadDirectory, connect }) {
    const [{ runDoctor }, { askDaemon, findDaemon, patientLimitMs }] = await Promise.all([
      import("../../daemon/doctor.ts"),
      import("../../client/daemon-address.ts"),
    ]);
    const found = findDaemon(loadDirectory());
    const health = found && (await askDaemon(found, { limitMs: patientLimitMs }));
    const problem = health instanceof OptaError ? health.message : undefined;
    const report = await runDoctor({
      loadConfig: () => loadConfig(),
      // Connecting needs valid settings: it is part of what is checked.
      call: async (operation, params) => (await connect()).call(operation, params),
      home: environment.home,
      daemon: found && { ...found, problem },
      toolPath: environment.toolPath,
      signal: new AbortController().signal,
    });
    io.stdout.write(args.json ? toJsonText(report) : describe(report, io.style(1)));
    return report.ok ? exitCodes.done.exit : exitCodes.error.exit;
  },
});

function describe({ version, checks }: DoctorReport, style: Style): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap((check) => describeCheck(check, { style, width }));
  return `${[style.dim(`opta ${version}`), ...lines].join("\n")}\n`;
}

/** The finding, its further lines and what to type below its text. */
function describeCheck(
  { name, status, message, fix = "" }: DoctorCheck,
  { style, width }: { readonly style: Style; readonly width: number },
): readonly string[] {
  const mark = {
    pass: style.green("✓"),
    warn: style.yellow("!"),
    fail: style.red("✗"),
    skip: style.dim("-"),
  }[status];
  const [first = "", ...more] = linesOf(message);
  const indent = " ".repeat(width + 4);
  return [
    `${mark} ${name.padEnd(width)}  ${status === "skip" ? style.dim(first) : first}`,
    ...more.map((line) => `${indent}${line}`),
    ...linesOf(fix).map((line) => `${indent}${style.dim("→")} ${line}`),
  ];
}

function linesOf(text: string): readonly string[] {
  return stripTerminalText(text)
    .split("\n")
    .filter((line) => line.trim() !== "");
}
