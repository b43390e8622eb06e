// The system calls of a daemon by strace, and a kill at one of them. The method is that of turn-crash-run.ts: calls are
// named by their kind and number in an undisturbed run; the numbers of one run fit the next only nearly, which does no
// harm: wherever a kill strikes, the same must hold.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { CrashPlace } from "./crash-daemon.ts";

const tracedCalls = (
  "openat write pwrite64 writev pwritev fsync fdatasync ftruncate rename renameat renameat2 link linkat " +
  "unlink unlinkat rmdir mkdir mkdirat fchmod fchown"
).split(" ");

export interface CallPoint {
  readonly name: string;
  readonly occurrence: number;
}

const traceOf = ({ home }: CrashPlace) => join(home, "trace");

export function traceWords(place: CrashPlace, point?: CallPoint): readonly string[] {
  const file = traceOf(place);
  if (existsSync(file)) rmSync(file);
  const inject =
    point === undefined ? [] : ["-e", `inject=${point.name}:signal=KILL:when=${point.occurrence}`];
  const strace = ["strace", "-f", "-qq", "-o", file];
  return [...strace, "-e", `trace=${tracedCalls.join(",")}`, ...inject];
}

/**
 * The calls of the main thread from its first look into opta's directory on; before that only the runtime acts. A look
 * at the running processes is none of them: a busy machine takes thousands, and none touches a file.
 */
export function readPoints(place: CrashPlace): readonly CallPoint[] {
  const counts = new Map<string, number>();
  const points: CallPoint[] = [];
  let mainThread: string | undefined;
  for (const line of readFileSync(traceOf(place), "utf8").split("\n")) {
    const [, thread, name] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread === undefined || name === undefined) continue;
    mainThread ??= thread;
    if (thread !== mainThread) continue;
    const occurrence = (counts.get(name) ?? 0) + 1;
    counts.set(name, occurrence);
    const hasStarted = points.length > 0 || line.includes(place.directory);
    if (hasStarted && !line.includes('"/proc/')) points.push({ name, occurrence });
  }
  return points;
}
