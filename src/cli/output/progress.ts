// One line on a terminal that is written over while something takes long, and taken away at its end; silent
// everywhere else.
import type { Io, Output } from "./io.ts";
import { formatBytes, formatSeconds } from "./quantity.ts";

export interface StatusLine {
  /** Replaces what is shown. One line: what is too wide for the terminal is cut. */
  show(text: string): void;
  /** Takes the line away; nothing happens when there is none. */
  clear(): void;
}

/** @param options.output where the line goes; the caller knows that it is a terminal */
export function createStatusLine(
  io: Io,
  options: { readonly output: Output; readonly dim: (text: string) => string },
): StatusLine {
  let shown = false;
  return {
    show(text) {
      const room = Math.max(20, io.columns() - 1);
      const line = text.length > room ? `${text.slice(0, room - 1)}…` : text;
      options.output.write(`\r\u001b[K${options.dim(line)}`);
      shown = true;
    },
    clear() {
      if (shown) options.output.write("\r\u001b[K");
      shown = false;
    },
  };
}

/** Shows "<label>, 12 s" on stderr until the work settles, then takes the line away. */
export async function withProgress<T>(io: Io, label: string, work: Promise<T>): Promise<T> {
  if (!io.isTerminal(2)) return work;
  const line = createStatusLine(io, { output: io.stderr, dim: io.style(2).dim });
  const startedAt = performance.now();
  const show = () => line.show(`${label}, ${formatSeconds(performance.now() - startedAt)}`);
  show();
  const timer = setInterval(show, 1000);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    line.clear();
  }
}

const barCells = 20;

/** "████████░░░░░░░░░░░░ 42 %  9.7 GiB of 23.0 GiB  85.0 MiB/s  2 min 41 s left"; what is unknown is left out. */
export function formatTransfer(transfer: {
  readonly doneBytes: number;
  readonly totalBytes: number | null;
  /** Null until it is known. */
  readonly bytesPerSecond: number | null;
}): string {
  const { doneBytes, totalBytes, bytesPerSecond } = transfer;
  const rate = bytesPerSecond === null ? [] : [`${formatBytes(Math.round(bytesPerSecond))}/s`];
  if (totalBytes === null) return [formatBytes(doneBytes), ...rate].join("  ");
  const share = Math.min(1, doneBytes / totalBytes);
  const cells = Math.floor(share * barCells);
  const bar = "█".repeat(cells) + "░".repeat(barCells - cells);
  const amounts = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
  const restMs = bytesPerSecond ? ((totalBytes - doneBytes) / bytesPerSecond) * 1000 : null;
  const rest = restMs === null || restMs <= 0 ? [] : [`${formatSeconds(restMs)} left`];
  return [`${bar} ${Math.floor(share * 100)} %`, amounts, ...rate, ...rest].join("  ");
}
