// Where the daemon is: daemon/state.json, which clients read, and who holds its place (contracts/daemon-v3.md section
// 1). A pid proves nothing: it may be another program's by now; the kernel's lock says whether the writer is alive.
import { readFileSync } from "node:fs";
import { readFileLockHolder } from "../base/file-lock.ts";
import { type DaemonPaths, isDaemonAlive } from "./daemon-place.ts";
import {
  asDaemonOwner,
  asDaemonState,
  type DaemonOwner,
  type DaemonState,
} from "./daemon-shapes.ts";

export type { DaemonState } from "./daemon-shapes.ts";

/** Undefined when there is none, or none that can be read: then no daemon of ours is there. */
export function readDaemonState(paths: DaemonPaths): DaemonState | undefined {
  try {
    return asDaemonState(JSON.parse(readFileSync(paths.state, "utf8")));
  } catch {
    return undefined;
  }
}

/** Who holds the daemon's place, as the holder wrote it; undefined while nobody does. */
export function daemonOwner(paths: DaemonPaths): DaemonOwner | undefined {
  if (!isDaemonAlive(paths)) return undefined;
  return asDaemonOwner(readFileLockHolder(paths.lock));
}
