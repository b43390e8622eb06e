// Keeps a file that cannot be read: renamed beside itself as <name>.corrupt-<n>, so that nothing is saved over
// it and a person can still look (promises O2).
import { existsSync, linkSync, renameSync, unlinkSync } from "node:fs";
import { errnoOf } from "../base/storage-error.ts";

/** Nobody has this many; a bound for a directory that answers strangely. */
const maxKept = 1000;

/** @returns the new path; undefined when the file could not be moved and still lies where it was */
export function setAside(path: string): string | undefined {
  for (let number = 1; number <= maxKept; number++) {
    const keptAs = `${path}.corrupt-${number}`;
    const outcome = moveWithoutReplacing(path, keptAs);
    if (outcome === "moved") return keptAs;
    if (outcome === "failed") return undefined;
  }
  return undefined;
}

/** link + unlink never replaces what is there, unlike rename; file systems without hard links get the check. */
function moveWithoutReplacing(from: string, to: string): "moved" | "taken" | "failed" {
  try {
    linkSync(from, to);
    unlinkSync(from);
    return "moved";
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST") return "taken";
    if (errno !== "EPERM" && errno !== "ENOTSUP" && errno !== "EOPNOTSUPP") return "failed";
  }
  if (existsSync(to)) return "taken";
  try {
    renameSync(from, to);
    return "moved";
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return "failed";
  }
}
