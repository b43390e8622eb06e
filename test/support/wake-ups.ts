// How often a process wakes up, by /proc (Linux only): a timer that fires once a second costs no tick of CPU that could be
// counted, but each time its thread goes to sleep again. The main thread's alone: that is where timers of ours fire; the
// runtime's threads have their own (its HTTP client looks at idle connections every four seconds).
import { readFileSync } from "node:fs";

export async function countWakeUps(pid: number, ms: number): Promise<number> {
  const before = switchesOf(pid);
  await Bun.sleep(ms);
  return switchesOf(pid) - before;
}

/** Voluntary context switches since its start; proc_pid_status(5). */
function switchesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1]);
}
