// Where a path really leads: every symbolic link followed as far as the path exists, those that dangle
// included, so that a file that is still to be made is named by the place it would be made in.
import { lstatSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { errnoOf } from "./storage-error.ts";

/**
 * `path` is absolute. Never throws: what cannot be resolved (a loop of links, a forbidden directory) comes back
 * as named, and opening it reports why.
 */
export function resolveLinks(path: string): string {
  return follow(path, 0);
}

/** As many links as Linux follows before it says ELOOP. */
const maxLinks = 40;

function follow(path: string, followed: number): string {
  try {
    return realpathSync(path);
  } catch {
    // Not there, or not to be looked at: its parent may still be a link, and so may the name itself.
  }
  if (dirname(path) === path || followed > maxLinks) return path;
  const entry = join(follow(dirname(path), followed), basename(path));
  const target = linkTarget(entry);
  return target === undefined ? entry : follow(resolve(dirname(entry), target), followed + 1);
}

function linkTarget(path: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined;
  } catch (error) {
    // Missing is the usual case; a NUL byte in the path (no errno) is reported when it is opened.
    if (errnoOf(error) === undefined && !path.includes("\0")) throw error;
    return undefined;
  }
}
