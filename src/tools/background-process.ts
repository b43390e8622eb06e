// Starts the background processes of sessions: a command in the fixed shell with the scrubbed environment, its two
// outputs apart, nothing left of its tree after its end or ours. Their states, limits and events are the engine's
// (engine/background.ts, which names the shape of this starter); whether a command may run is decided elsewhere.
import { constants } from "node:os";
import { sendSignal } from "../base/process-tree.ts";
import { createCommandEnvironment } from "./command-environment.ts";
import { type CommandExit, type CommandProcess, startCommand } from "./command-process.ts";

export interface BackgroundCommandOptions {
  readonly command: string;
  /** Absolute. */
  readonly directory: string;
  /** PATH in place of our own. */
  readonly path: string | undefined;
  /** What arrives, in order within a stream; the buffer is reused after the call. */
  onOutput(stream: "stdout" | "stderr", bytes: Uint8Array): void;
}

export interface BackgroundCommand {
  readonly pid: number;
  /** Never rejects. Once ended by SIGTERM it tells that signal, whatever the command makes of it, and may come before its end. */
  readonly exited: Promise<CommandExit>;
  /** Resolves when no process holds the outputs any more, at the latest with `close`. */
  readonly outputEnded: Promise<void>;
  /**
   * Ends the whole tree: `signal`, then SIGKILL after `graceMs`. To be called at least once, also after `exited`
   * (children may be left); again in order to be quicker. Resolves when nothing runs; never rejects.
   */
  end(options: EndOptions): Promise<void>;
  /** To be called once, after `end`. */
  close(): Promise<void>;
}

interface EndOptions {
  readonly signal: "SIGTERM" | "SIGKILL" | "SIGINT";
  readonly graceMs: number;
}

/** What a command leaves running when SIGINT has ended it gets SIGTERM and so long. */
const leftoverGraceMs = 1_000;

/**
 * A command that prints without end (`yes`) would take all of our time, and nobody looks: it gets its part of it.
 * 12.8 MB a second and stream are more than any program has to say.
 */
const burstBytes = 256 * 1024;
const pauseMs = 20;
/** A read counts as so many at least: output byte by byte costs us more than its bytes, and comes together in a pause. */
const minReadBytes = 4 * 1024;

/** `environment`: the variables of this process; keys and what changes bash are taken out here. */
export function createBackgroundStarter({
  environment,
}: {
  readonly environment: Readonly<Record<string, string | undefined>>;
}): (options: BackgroundCommandOptions) => BackgroundCommand {
  /** @throws what startCommand throws */
  return ({ command, directory, path, onOutput }) => {
    const variables = path === undefined ? environment : { ...environment, PATH: path };
    const child = startCommand({
      command,
      directory,
      environment: createCommandEnvironment(variables, directory),
      onOutput: paced((bytes) => onOutput("stdout", bytes)),
      onErrorOutput: paced((bytes) => onOutput("stderr", bytes)),
    });
    return {
      pid: child.pid,
      exited: child.exited.then(withSignal),
      outputEnded: child.outputEnded,
      end: (options) => end(child, options),
      close: () => child.close(),
    };
  };
}

/** Passes on bytes, with a pause after each burst: the command waits meanwhile, once the pipe is full. */
function paced(listener: (bytes: Uint8Array) => void): (bytes: Uint8Array) => Promise<void> | void {
  let burst = 0;
  return (bytes) => {
    listener(bytes);
    burst += Math.max(bytes.length, minReadBytes);
    if (burst < burstBytes) return undefined;
    const waitMs = (burst / burstBytes) * pauseMs;
    burst = 0;
    return Bun.sleep(waitMs);
  };
}

async function end(child: CommandProcess, { signal, graceMs }: EndOptions): Promise<void> {
  try {
    if (signal === "SIGTERM") await child.end({ graceMs });
    if (signal === "SIGKILL") await child.end({ graceMs: 0 });
    if (signal === "SIGINT") {
      const isOver = await interrupt(child, graceMs);
      await child.end({ graceMs: isOver ? leftoverGraceMs : 0 });
    }
  } catch {
    // The tree could not be looked at (no descriptor left for /proc, no process for ps): its group is known.
    sendSignal(-child.pid, "SIGKILL");
  }
}

/** As Ctrl-C in a terminal: SIGINT to the group. @returns whether the command ended within `graceMs` */
async function interrupt(child: CommandProcess, graceMs: number): Promise<boolean> {
  try {
    process.kill(-child.pid, "SIGINT");
  } catch {
    // Gone meanwhile, or not ours to signal: `exited` or the grace tells.
  }
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), graceMs);
  void child.exited.then(() => resolve(true));
  const isOver = await promise;
  clearTimeout(timer);
  return isOver;
}

/**
 * The shell reports a command that a signal ended as 128 + its number; said here as what it was. A program that exits
 * with such a number of its own cannot be told apart.
 */
function withSignal(exit: CommandExit): CommandExit {
  const number = (exit.exitCode ?? 0) - 128;
  const name = Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  return name === undefined ? exit : { exitCode: undefined, signal: name };
}
