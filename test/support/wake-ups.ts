// How often a process woke up, by /proc (Linux only): a timer that fires once a second costs no tick of CPU that could be
// counted, but each time a thread goes to sleep again.
import { readdirSync, readFileSync } from "node:fs";

/** Voluntary context switches of all threads since their start; proc_pid_status(5). */
export function wakeUpsOf(pid: number): number {
  const counts = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    return Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1] ?? 0);
  });
  return counts.reduce((sum, count) => sum + count, 0);
}
