// The task of `opta do`: the words of the command line, what was piped in, or both. An open pipe that says
// nothing must not hang the command (an editor's shell task leaves one), so it is waited for only when there
// is no other task.
import { fstatSync } from "node:fs";
import { OptaError } from "../protocol/error.ts";
import type { Io } from "./output/io.ts";

/** How long a pipe beside a task on the command line may take to show its first byte or its end. */
const silentPipeMs = 500;
/** Characters of piped input: far above any window, below what would exhaust the machine. */
const inputLimitBytes = 16 * 1024 * 1024;

export interface TaskInput {
  /** Undefined: nothing was said, where that is allowed. */
  readonly task: string | undefined;
  /** True when a pipe was open but silent, and so was not read. */
  readonly ignoredPipe: boolean;
}

/**
 * @param words the positional arguments; a lone "-" stands for stdin
 * @param options.optional no task is no mistake, so that stdin is not waited for either
 * @throws OptaError usage when there is no task
 */
export async function readTask(
  words: readonly string[],
  io: Io,
  options: { readonly optional: boolean },
): Promise<TaskInput> {
  const typed = words.filter((word) => word !== "-").join(" ");
  const wantsStdin = words.includes("-") || (typed.trim() === "" && !options.optional);
  const piped = isPiped();
  if (words.length === 0 && !options.optional && !piped && io.isTerminal(0)) throw noTask();
  const input = wantsStdin
    ? await readAll(Bun.stdin.stream().getReader())
    : piped
      ? await readIfReady()
      : "";
  const task = [typed, input ?? ""].filter((part) => part.trim() !== "").join("\n\n");
  if (task.trim() === "") {
    if (!options.optional || wantsStdin) throw noTask();
    return { task: undefined, ignoredPipe: false };
  }
  return { task, ignoredPipe: input === undefined };
}

function noTask(): OptaError {
  return new OptaError("usage", "there is no task", 'opta do "fix the failing test"');
}

/** True for a pipe, a socket or a file; false for a terminal, /dev/null and a closed descriptor. */
function isPiped(): boolean {
  try {
    const stats = fstatSync(0);
    return stats.isFIFO() || stats.isSocket() || stats.isFile();
  } catch {
    return false;
  }
}

/** All of stdin when its first byte or its end comes at once; undefined when it stays silent. */
async function readIfReady(): Promise<string | undefined> {
  const reader = Bun.stdin.stream().getReader();
  const first = reader.read();
  const silent = new Promise<undefined>((resolve) =>
    setTimeout(() => resolve(undefined), silentPipeMs),
  );
  const begun = await Promise.race([first, silent]);
  if (begun === undefined) return undefined;
  return readAll(reader, begun.done ? [] : [begun.value], begun.done);
}

async function readAll(
  reader: { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> },
  chunks: Uint8Array[] = [],
  ended = false,
): Promise<string> {
  let sizeBytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  while (!ended) {
    const { done, value } = await reader.read();
    if (value) {
      chunks.push(value);
      sizeBytes += value.length;
    }
    if (sizeBytes > inputLimitBytes) {
      const message = "the piped input is longer than 16 MB";
      throw new OptaError("usage", message, "name the file in the task: opta can read it in parts");
    }
    ended = done;
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}
