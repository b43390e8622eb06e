// Operations about the daemon itself: its state, its log, and whether all that it needs is there.
import * as z from "zod";
import { runDoctor } from "../doctor.ts";
import { type ClientOperation, count, defineClientOperation, noInput } from "./client-operation.ts";

const status = defineClientOperation({
  id: "daemon.status",
  title: "Daemon status",
  description: "The daemon's process, port and version; never its token.",
  safety: "read",
  input: noInput,
  async run(_input, { daemon }) {
    const { pid, port, version, startedAt, logsPath, installedAs } = daemon.status();
    const uptimeMs = Math.max(0, Date.now() - Date.parse(startedAt));
    return {
      state: "running",
      running: true,
      pid,
      port,
      version,
      startedAt,
      /** Seconds. */
      uptime: Math.round(uptimeMs / 1000),
      logPath: logsPath,
      installedAs,
    };
  },
});

/** What is told when nobody says how much: a few screens. */
const defaultLines = 200;
/** The answer stays below the client's limit for one message, and a log holds at most 5 MB. */
const maxLines = 5_000;

const logs = defineClientOperation({
  id: "daemon.logs",
  title: "Daemon log",
  description: "The newest lines of the daemon's log, oldest first.",
  safety: "read",
  input: z.lazy(() => z.object({ lines: count.default(defaultLines) })),
  async run({ lines }, { daemon }) {
    const newest = daemon.logs(Math.min(lines, maxLines));
    return {
      logs: newest.map(({ ts, level, msg, raw }) => ({ timestamp: ts, level, message: msg, raw })),
    };
  },
});

const doctor = defineClientOperation({
  id: "doctor",
  title: "Doctor",
  description:
    "Checks settings, disk, model server and programs, and says how to mend what is wrong.",
  safety: "read",
  input: noInput,
  async run(_input, { call, loadConfig, home, signal, daemon }) {
    return runDoctor({ call, loadConfig, home, signal, daemon: daemon.status() });
  },
});

export const daemonOperations: readonly ClientOperation[] = [status, logs, doctor];
