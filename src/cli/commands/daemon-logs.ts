// `opta daemon logs`: what the daemon wrote about itself. Reads the files, so that it works without a daemon.
import { dirname } from "node:path";
import { stripTerminalText } from "../../base/terminal-text.ts";
import { daemonPaths } from "../../store/daemon-place.ts";
import { defineCommand } from "../command.ts";
import { onInterrupt } from "../interrupt.ts";
import type { Io } from "../output/io.ts";

interface Entry {
  readonly ts: string;
  readonly level: string;
  readonly msg: string;
  readonly data?: unknown;
}

export const logs = defineCommand({
  name: "logs",
  summary: "show what the daemon wrote about itself",
  args: {
    follow: {
      type: "boolean",
      alias: "f",
      description: "go on with what is written, until Ctrl+C",
    },
    lines: {
      type: "integer",
      alias: "n",
      valueHint: "N",
      minimum: 1,
      maximum: 10_000,
      default: 50,
      description: "the newest lines",
    },
    json: { type: "boolean", description: "print JSON lines" },
  },
  examples: ["opta daemon logs", "opta daemon logs -f", "opta daemon logs --json | jq .msg"],
  async run({ args, io, loadDirectory }) {
    const { followLog, readLogTail } = await import("../../daemon/log-reader.ts");
    const { log } = daemonPaths(loadDirectory());
    const stopFollowing = new AbortController();
    const stop = onInterrupt(() => stopFollowing.abort());
    try {
      // Begun before the tail is read, so that no line falls between the two.
      const following = args.follow ? followLog(log, stopFollowing.signal) : undefined;
      const entries = readLogTail({ directory: dirname(log), lines: args.lines });
      if (entries.length === 0 && following === undefined) {
        io.stderr.write("no log yet: opta daemon start\n");
      }
      for (const entry of entries) io.stdout.write(toLine(entry, args.json, io));
      if (following === undefined) return 0;
      for await (const entry of following) io.stdout.write(toLine(entry, args.json, io));
      return 0;
    } finally {
      stop();
      stopFollowing.abort();
    }
  },
});

function toLine(entry: Entry, asJson: boolean, io: Io): string {
  if (asJson) return `${JSON.stringify(entry)}\n`;
  const style = io.style(1);
  const { ts, level, msg, data } = entry;
  const colour = level === "error" ? style.red : level === "warn" ? style.yellow : style.dim;
  const details = data === undefined ? "" : ` ${style.dim(JSON.stringify(data))}`;
  return `${style.dim(ts)} ${colour(level.padEnd(5))} ${stripTerminalText(msg)}${details}\n`;
}
