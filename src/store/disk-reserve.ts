// A megabyte kept back for the day the disk is full (promises O1): given up then, so that the events that end what
// runs can still be stored, and taken again when there is space.
import { closeSync, fsyncSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { errnoOf } from "../base/storage-error.ts";

/** Far more than the last events of every session need. */
const reserveBytes = 1024 * 1024;

export interface DiskReserve {
  /** True after `spend`, until `fill` has worked. */
  isSpent(): boolean;
  /** Gives the space up. @returns false when it was given up before */
  spend(): boolean;
  /** Takes the space. @returns whether it is there now */
  fill(): boolean;
}

export function createDiskReserve(path: string): DiskReserve {
  let spent = false;
  return {
    isSpent: () => spent,
    spend() {
      if (spent) return false;
      spent = true;
      rmSync(path, { force: true });
      return true;
    },
    fill() {
      spent = !occupy(path);
      return !spent;
    },
  };
}

function occupy(path: string): boolean {
  if (statSync(path, { throwIfNoEntry: false })?.size === reserveBytes) return true;
  try {
    const fd = openSync(path, "w", 0o600);
    try {
      // Bytes, not a hole: a sparse file would reserve nothing.
      const written = writeSync(fd, new Uint8Array(reserveBytes).fill(0xff));
      fsyncSync(fd);
      if (written === reserveBytes) return true;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
  rmSync(path, { force: true });
  return false;
}
