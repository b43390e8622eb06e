// One line on a terminal that counts the seconds while something takes long; silent everywhere else.
import type { Io } from "./io.ts";
import { formatSeconds } from "./quantity.ts";

/** Shows "<label>, 12 s" on stderr until the work settles, then takes the line away. */
export async function withProgress<T>(io: Io, label: string, work: Promise<T>): Promise<T> {
  if (!io.isTerminal(2)) return work;
  const startedAt = performance.now();
  const show = () => {
    const line = `${label}, ${formatSeconds(performance.now() - startedAt)}`;
    io.stderr.write(`\r\u001b[K${io.style(2).dim(line)}`);
  };
  show();
  const timer = setInterval(show, 1000);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    io.stderr.write("\r\u001b[K");
  }
}
