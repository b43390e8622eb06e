// One shell command as a process tree with one output. A small supervisor shell stands between us and the
// command, for two things Bun.spawn cannot do: a real pipe for stdout and stderr together (Bun gives a socket
// each, which breaks `> /dev/stderr` on Linux and the order of lines), and a watchdog that ends the command
// when we are killed (promises C2). Knows nothing of limits, results or permissions.
import { closeSync } from "node:fs";
import { createId } from "../base/ids.ts";
import { type TreeEnding, watchProcessTree } from "../base/process-tree.ts";

/** The shell whose language the command policy models; never $SHELL (promises, "Rules for run_command"). */
const bash = ["/bin/bash", "--noprofile", "--norc", "-c"] as const;

/**
 * $1 is the command, $2 the marker. Descriptor 3 ends when we do: then the watchdog kills what carries the
 * marker (Linux) and the group. `cat` copies the pipe into our socket until its last writer is gone, last words
 * after SIGTERM included. The exit code is the command's.
 */
const supervisor = `
(
  read -r -u 3 _
  for round in 1 2 3; do
    for file in $(PATH=/usr/bin:/bin grep -lsF "$2" /proc/[0-9]*/environ); do
      pid=\${file//[!0-9]/}
      [ "$pid" = "$BASHPID" ] || kill -KILL "$pid"
    done
  done
  kill -KILL 0
) </dev/null >/dev/null &
watchdog=$!
exec 4> >(trap '' TERM; exec /bin/cat 3<&-)
${bash.join(" ")} "$1" >&4 2>&1 3<&- 4>&-
code=$?
kill -KILL $watchdog
wait $watchdog
exit $code
`;

export interface CommandExit {
  /** Undefined when a signal ended the supervisor itself. */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
}

export interface CommandProcess {
  readonly exited: Promise<CommandExit>;
  /** Resolves when no process holds the output any more; background children may keep it open after `exited`. */
  readonly outputEnded: Promise<void>;
  /** To be called once. Ends whatever still runs: SIGTERM, then SIGKILL after a second. Nothing of the tree outlives it. */
  end(): Promise<TreeEnding>;
  /** Stops listening. To be called once, in every case, after `end`. */
  close(): Promise<void>;
}

export interface CommandProcessOptions {
  readonly command: string;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** stdout and stderr in order of arrival; the buffer is reused after the call. */
  readonly onOutput: (bytes: Uint8Array) => void;
}

/** Between SIGTERM and SIGKILL (promises C1: nothing is left after 2 s). */
const graceMs = 1_000;

/**
 * Bun makes a new buffer for every chunk and frees them late: 1 GB of output then costs 45 MB. Collecting by
 * hand, which costs a few milliseconds each time and never happens for ordinary output, keeps it near 20 MB.
 */
const collectEveryBytes = 8 * 1024 * 1024;

/** @throws what Bun.spawn throws: ENOENT (directory or bash missing), E2BIG (command too long), NUL in the command */
export function startCommand(options: CommandProcessOptions): CommandProcess {
  const marker = `OPTA_CALL=${createId()}`;
  const child = Bun.spawn([...bash, supervisor, "bash", options.command, marker], {
    cwd: options.directory,
    env: { ...options.environment, OPTA_CALL: marker.slice("OPTA_CALL=".length) },
    stdio: ["ignore", "pipe", "ignore", "pipe"],
    detached: true,
  });
  const tree = watchProcessTree({ rootPid: child.pid, marker });
  const lifeline = child.stdio[3];
  const reader = child.stdout.getReader();
  const listen = async () => {
    let uncollectedBytes = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      options.onOutput(value);
      uncollectedBytes += value.length;
      if (uncollectedBytes < collectEveryBytes) continue;
      Bun.gc(true);
      uncollectedBytes = 0;
    }
  };
  const outputEnded = listen();
  const exited = child.exited.then((code) => ({
    exitCode: child.signalCode === null ? code : undefined,
    signal: child.signalCode === null ? undefined : String(child.signalCode),
  }));
  return {
    exited,
    outputEnded,
    end: () => tree.end({ graceMs }),
    async close() {
      if (typeof lifeline === "number") closeSync(lifeline);
      await reader.cancel();
      await outputEnded;
    },
  };
}
