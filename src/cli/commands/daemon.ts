// `opta daemon`: start, stop and look at the process that serves many clients. It runs by itself (daemon-run.ts);
// these commands only talk to it. They load late what `opta daemon run` does not need, so that it stays small.
import { stripTerminalText } from "../../base/terminal-text.ts";
import { OptaError } from "../../protocol/error.ts";
import {
  daemonPaths,
  makeDaemonDirectory,
  usualPort,
  usualPorts,
} from "../../store/daemon-place.ts";
import type { DaemonState } from "../../store/daemon-state.ts";
import { type CommandContext, type CommandGroup, defineCommand, type Flags } from "../command.ts";
import { toJsonText } from "../output/json.ts";
import { formatCount, formatSeconds } from "../output/quantity.ts";
import { events } from "./daemon-events.ts";
import { install, uninstall } from "./daemon-install.ts";
import { logs } from "./daemon-logs.ts";
import { portFlag, run } from "./daemon-run.ts";

const json = { type: "boolean", description: "print one JSON document" } as const;

/** It may be busy, and a person looks at it. */
const statusLimitMs = 2_000;

const start = defineCommand({
  name: "start",
  summary: "start the daemon, if it does not run yet",
  args: { port: portFlag, json },
  examples: ["opta daemon start", "opta daemon start --port 9999"],
  run: (context) => startAndTell(context, context.args),
});

const stop = defineCommand({
  name: "stop",
  summary: "stop the daemon; its sessions and events stay",
  args: { json },
  examples: ["opta daemon stop"],
  async run({ args, io, loadDirectory }) {
    const { stopDaemonProcess } = await import("../../client/daemon-process.ts");
    const outcome = await stopDaemonProcess(loadDirectory());
    if (args.json) io.stdout.write(toJsonText({ outcome }));
    else io.stdout.write(stopLines[outcome]);
    return 0;
  },
});

/** Existing clients look for the words "not running" (contracts/daemon-v3.md section 1). */
const stopLines = {
  stopped: "daemon stopped\n",
  killed: "daemon killed: it did not stop by itself; opta daemon logs may say why\n",
  "not running": "daemon not running\n",
} as const;

const restart = defineCommand({
  name: "restart",
  summary: "stop the daemon and start it again, with the environment of now",
  args: { port: portFlag, json },
  examples: ["opta daemon restart"],
  async run(context) {
    const { assertPortFree, stopDaemonProcess } = await import("../../client/daemon-process.ts");
    const { findDaemon } = await import("../../client/daemon-address.ts");
    const root = context.loadDirectory();
    // What would keep the new one from starting is found before the old one goes.
    await context.loadConfig();
    makeDaemonDirectory(root);
    if (context.args.port !== undefined) assertPortFree(root, context.args.port);
    // One that it can only have been given stays; one that it may have found by itself is looked for anew.
    const current = findDaemon(root)?.port;
    const isChosen = current !== undefined && !usualPorts.includes(current);
    const port = context.args.port ?? (isChosen ? current : undefined);
    await stopDaemonProcess(root);
    return startAndTell(context, { ...context.args, port });
  },
});

const status = defineCommand({
  name: "status",
  summary: "show whether the daemon runs, where, and what it does",
  args: { json },
  examples: ["opta daemon status", "opta daemon status --json | jq .state.port"],
  async run({ args, io, loadDirectory }) {
    const { askDaemon, findDaemon, hasDaemon } = await import("../../client/daemon-address.ts");
    const root = loadDirectory();
    const found = findDaemon(root);
    const answer = found && (await askDaemon(found, { limitMs: statusLimitMs }));
    const trouble = answer instanceof OptaError ? answer : undefined;
    const health = answer instanceof OptaError ? undefined : answer;
    const state = found && health ? withoutToken(found) : null;
    const logsPath = daemonPaths(root).log;
    if (args.json) {
      const runtime = health?.runtime ?? null;
      io.stdout.write(toJsonText({ running: state !== null, state, runtime, logsPath }));
      return 0;
    }
    if (state === null || health === undefined) {
      const isThere = found !== undefined || hasDaemon(root);
      io.stdout.write(`daemon ${isThere ? "not answering" : "not running"}\n`);
      if (trouble !== undefined && trouble.code !== "daemon-unreachable") {
        io.stderr.write(`opta: ${stripTerminalText(trouble.message)}\n`);
      }
      io.stderr.write(`  ${isThere ? "opta daemon restart" : "opta daemon start"}\n`);
      return 0;
    }
    const { activeTurnCount, queuedTurnCount, subscriberCount } = health.runtime;
    const rows = [
      ["daemon", `running, ${state.host}:${state.port}`],
      ["pid", String(state.pid)],
      ["version", health.version],
      ["since", `${state.startedAt} (${formatSeconds(Date.now() - Date.parse(state.startedAt))})`],
      ["turns", `${formatCount(activeTurnCount)} running, ${formatCount(queuedTurnCount)} waiting`],
      ["readers", formatCount(subscriberCount)],
      ["log", logsPath],
    ] as const;
    const style = io.style(1);
    for (const [name, value] of rows) io.stdout.write(`${style.dim(name.padEnd(8))} ${value}\n`);
    return 0;
  },
});

export const command: CommandGroup = {
  name: "daemon",
  summary: "serve many clients from one process: start, stop, status, logs, events",
  subcommands: [start, run, stop, restart, status, logs, events, install, uninstall],
  defaultSubcommand: "status",
  examples: [
    "opta daemon start",
    "opta daemon status",
    "opta daemon events V1StGXR8_Z5j -f",
    "opta daemon install",
  ],
};

async function startAndTell(
  { io, environment, loadConfig, loadDirectory }: CommandContext<Flags>,
  args: { readonly port: number | undefined; readonly json: boolean },
): Promise<number> {
  // A daemon reads its settings when it first needs them: what is wrong with them is said here, to a person.
  await loadConfig();
  const { startDaemonProcess } = await import("../../client/daemon-process.ts");
  const { state, wasRunning } = await startDaemonProcess({
    root: loadDirectory(),
    command: ownCommand(),
    environment: environment.variables,
    port: args.port,
  });
  if (args.json) {
    io.stdout.write(toJsonText(withoutToken(state)));
    return 0;
  }
  const where = `http://${state.host}:${state.port} (pid ${state.pid})`;
  io.stdout.write(`daemon ${wasRunning ? "already running" : "started"}, ${where}\n`);
  if (!wasRunning && args.port === undefined && state.port !== usualPort) {
    io.stderr.write(`  port ${usualPort} is in use by another program\n`);
  }
  if (args.port !== undefined && args.port !== state.port) {
    io.stderr.write(`  it keeps its port; to change it: opta daemon restart --port ${args.port}\n`);
  }
  return 0;
}

/** The token stays in state.json (promises S1). */
function withoutToken(state: DaemonState): Omit<DaemonState, "token"> {
  const { token: _, ...shown } = state;
  return shown;
}

/** The words that run this program: the executable alone, or Bun with the script while developing. */
function ownCommand(): readonly string[] {
  return Bun.main.startsWith("/$bunfs/") ? [process.execPath] : [process.execPath, Bun.main];
}
