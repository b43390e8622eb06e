// One shell command as a process tree with one output, or with stdout and stderr apart. A small supervisor shell
// stands between us and the command, for two things Bun.spawn cannot do: real pipes, one for both outputs where
// they belong together (Bun gives a socket each, which breaks `> /dev/stderr` on Linux and the order of lines), and
// a watchdog that ends the command when we are killed (promises C2). Knows nothing of limits, results or permissions.
import { closeSync, writeSync } from "node:fs";
import { settleWithin } from "../base/clock.ts";
import { createId } from "../base/ids.ts";
import { type TreeEnding, watchProcessTree } from "../base/process-tree.ts";

/** The shell whose language the command policy models; never $SHELL (promises, "Rules for run_command"). */
const bash = ["/bin/bash", "--noprofile", "--norc", "-c"] as const;

/**
 * $1 is the command, $2 the marker, $3 "joined" or "apart". Over descriptor 3 we are told of the keeper and of the
 * command's exit code, and say `done`; it ends when we do: then `watch` kills what carries the marker (Linux) and the
 * group, until it has looked three times in vain: what is just being started has no environment for a moment. Until
 * the command's end a subshell waits for that, from then on the keeper itself, so that what a command left behind is
 * never unwatched; that we may be gone when it tells of the end must not end it (PIPE). It survives a SIGTERM, which
 * the first shell does not, so that we hear of it; but not before the keeper is told, whom we would take for a part of
 * the command. Each `cat` copies a pipe into a socket of ours until its last writer is gone, last words after SIGTERM
 * included.
 */
const supervisor = `
watch() {
  trap '' TERM INT HUP QUIT
  read -r -u 3 word
  [ "$word" = done ] && exit
  PATH=/usr/bin:/bin
  quiet=0
  for ((round = 0; round < 100 && quiet < 3; round++)); do
    let quiet++
    for file in $(grep -lsF "$1" /proc/[0-9]*/environ); do
      pid=\${file//[!0-9]/}
      [ "$pid" != "$BASHPID" ] && kill -KILL "$pid" && quiet=0
    done
    sleep 0.02
  done
  kill -KILL 0
}
keep() {
  trap '' TERM INT HUP QUIT
  watch "$2" </dev/null >/dev/null 2>&1 &
  watchdog=$!
  exec 4> >(exec /bin/cat 3<&- 2>/dev/null)
  if [ "$3" = joined ]; then
    exec 5>&4
  else
    exec 5> >(exec /bin/cat 3<&- 4>&- >&2) 2>/dev/null
  fi
  trap : TERM INT HUP QUIT
  ${bash.join(" ")} "$1" >&4 2>&5 3<&- 4>&- 5>&-
  code=$?
  exec >/dev/null 2>&1 4>&- 5>&-
  kill -KILL $watchdog
  wait $watchdog
  trap '' PIPE
  echo exit $code >&3
  watch "$2"
}
trap '' INT TERM
keep "$@" &
echo keeper $! >&3
trap - TERM
exec </dev/null >/dev/null 2>&1
wait $!
`;

export interface CommandExit {
  /** Undefined when a signal ended the supervisor itself. */
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
}

export interface CommandProcess {
  /** Leader of the command's session and process group. */
  readonly pid: number;
  readonly exited: Promise<CommandExit>;
  /** Resolves when no process holds the output any more; background children may keep it open after `exited`. */
  readonly outputEnded: Promise<void>;
  /**
   * To be called at least once. Ends whatever still runs: SIGTERM, then SIGKILL after `graceMs` (default a second).
   * Nothing of the tree outlives it.
   */
  end(options?: { readonly graceMs: number }): Promise<TreeEnding>;
  /** Stops listening and watching. To be called once, in every case, after `end`. */
  close(): Promise<void>;
}

export interface CommandProcessOptions {
  readonly command: string;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** stdout and stderr in order of arrival; the buffer is reused after the call. */
  readonly onOutput: OutputListener;
  /** Where it is given stderr comes here, in no order towards stdout. */
  readonly onErrorOutput?: OutputListener;
}

/** A promise holds up the stream, and with it what writes to it. */
type OutputListener = (bytes: Uint8Array) => Promise<void> | void;

/** What the report of the command's end may take longer than the end of the shell that started it. */
const lateReportMs = 50;

/** Between SIGTERM and SIGKILL (promises C1: nothing is left after 2 s). */
const usualGraceMs = 1_000;

/**
 * Bun makes a new buffer for every chunk and frees them late: 1 GB of output then costs 45 MB. Collecting by
 * hand, which costs a few milliseconds each time and never happens for ordinary output, keeps it near 20 MB.
 */
const collectEveryBytes = 8 * 1024 * 1024;

/** @throws what Bun.spawn throws: ENOENT (directory or bash missing), E2BIG (command too long), NUL in the command */
export function startCommand(options: CommandProcessOptions): CommandProcess {
  const marker = `OPTA_CALL=${createId()}`;
  const { onOutput, onErrorOutput } = options;
  const streams = onErrorOutput === undefined ? "joined" : "apart";
  const child = Bun.spawn([...bash, supervisor, "bash", options.command, marker, streams], {
    cwd: options.directory,
    env: { ...options.environment, OPTA_CALL: marker.slice("OPTA_CALL=".length) },
    stdio: ["ignore", "pipe", onErrorOutput === undefined ? "ignore" : "pipe", "pipe"],
    detached: true,
  });
  const lifeline = Number(child.stdio[3]);
  const watchers = new Set<number>();
  const tree = watchProcessTree({
    rootPid: child.pid,
    spared: watchers,
    marker,
    // A process that runs for hours is looked at rarely; a command of a turn, whose end is near, often.
    maxLookMs: onErrorOutput === undefined ? undefined : 30_000,
  });
  const listeners = [listen(child.stdout, onOutput)];
  if (onErrorOutput !== undefined && child.stderr instanceof ReadableStream) {
    listeners.push(listen(child.stderr, onErrorOutput));
  }
  const outputEnded = Promise.all(listeners.map(({ ended }) => ended)).then(() => undefined);
  const told = Promise.withResolvers<CommandExit>();
  let report = "";
  const reports = listen(Bun.file(lifeline).stream(), (bytes) => {
    report += new TextDecoder().decode(bytes);
    const end = readReport(report);
    if (end === undefined) return;
    // They do nothing any more but to watch.
    watchers.add(child.pid).add(end.keeperPid);
    told.resolve({ exitCode: end.exitCode, signal: undefined });
  });
  const died = child.exited.then(async (code) => {
    // A signal to the whole group ends the first shell and, just so, the command: its own end tells more.
    await settleWithin(told.promise, lateReportMs);
    return {
      exitCode: child.signalCode === null ? code : undefined,
      signal: child.signalCode === null ? undefined : String(child.signalCode),
    };
  });
  return {
    pid: child.pid,
    exited: Promise.race([told.promise, died]),
    outputEnded,
    end: ({ graceMs } = { graceMs: usualGraceMs }) => tree.end({ graceMs }),
    async close() {
      await reports.cancel();
      dismiss(lifeline);
      await Promise.all(listeners.map(({ cancel }) => cancel()));
      await outputEnded;
    },
  };
}

/** What the supervisor told of the command's end, in either order: two processes tell. */
function readReport(text: string) {
  const keeper = /^keeper (\d+)\n/m.exec(text)?.[1];
  const code = /^exit (\d+)\n/m.exec(text)?.[1];
  if (keeper === undefined || code === undefined) return undefined;
  return { keeperPid: Number(keeper), exitCode: Number(code) };
}

/** Lets the keeper go, who would take the mere end of the lifeline for ours. */
function dismiss(lifeline: number): void {
  try {
    writeSync(lifeline, "done\n");
  } catch {
    // Gone with the rest of the tree.
  }
  closeSync(lifeline);
}

/** Passes on what arrives; `ended` resolves at the end of the stream or after `cancel`. */
function listen(stream: ReadableStream<Uint8Array>, onBytes: OutputListener) {
  const reader = stream.getReader();
  const passOn = async () => {
    let uncollectedBytes = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const pause = onBytes(value);
      if (pause !== undefined) await pause;
      uncollectedBytes += value.length;
      if (uncollectedBytes < collectEveryBytes) continue;
      Bun.gc(true);
      uncollectedBytes = 0;
    }
  };
  return { ended: passOn(), cancel: () => reader.cancel() };
}
