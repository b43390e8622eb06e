// A directory held open, so that what is done inside happens in that directory even when its path is renamed
// or swapped for a symbolic link meanwhile. On Linux names are resolved through /proc/self/fd/N, which is
// openat(2) by other means (Bun has no *at calls). macOS has no such path: there the names are plain paths,
// and `currentPath` lets the caller look again right before it acts.
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  realpathSync,
  rmdirSync,
  statSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { errnoOf } from "./storage-error.ts";

export interface HeldDirectory {
  readonly fd: number;
  /** A path by which `name` is found in this very directory. Not for people to read. */
  at(name: string): string;
  /** Where the directory is now, links resolved; undefined when its path leads elsewhere or it is gone. */
  currentPath(): string | undefined;
  close(): void;
}

/** @throws what open(2) throws: ENOENT, ENOTDIR, EACCES */
export function holdDirectory(path: string): HeldDirectory {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  const anchor = openFilePath(fd) === undefined ? path : `/proc/self/fd/${fd}`;
  return {
    fd,
    at: (name) => `${anchor}/${name}`,
    currentPath: () => pathOfOpenFile(fd, path),
    close: () => closeSync(fd),
  };
}

/** Where an open file is, links resolved; undefined when `path`, by which it was opened, leads elsewhere. */
export function pathOfOpenFile(fd: number, path: string): string | undefined {
  const real = openFilePath(fd);
  if (real !== undefined) return real;
  try {
    const opened = fstatSync(fd);
    const found = statSync(path);
    return opened.ino === found.ino && opened.dev === found.dev ? realpathSync(path) : undefined;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}

/** Linux only: undefined elsewhere, and where /proc is not mounted. */
function openFilePath(fd: number): string | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}

/**
 * Makes a directory and its missing parents (0777 less umask), never through a link that appears on the way.
 * `path` is resolved already. @returns what was made, outermost first, for removeEmptyDirectories; nothing is left after a throw
 */
export function makeDirectories(path: string): readonly string[] {
  try {
    holdDirectory(path).close();
    return [];
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" || dirname(path) === path) throw error;
  }
  const made = makeDirectories(dirname(path));
  try {
    return makeInside(dirname(path), basename(path)) ? [...made, path] : made;
  } catch (error) {
    removeEmptyDirectories(made);
    throw error;
  }
}

/** @returns false when somebody else made it first: then it is not ours to take back */
function makeInside(parentPath: string, name: string): boolean {
  const parent = holdDirectory(parentPath);
  try {
    if (parent.currentPath() !== parentPath) throw new Error(`${parentPath} was moved away`);
    mkdirSync(parent.at(name));
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  } finally {
    parent.close();
  }
}

/** Takes back what makeDirectories made, as far as nobody has put anything there. */
export function removeEmptyDirectories(made: readonly string[]): void {
  try {
    for (const directory of made.toReversed()) rmdirSync(directory);
  } catch (error) {
    // In use by somebody else already.
    if (errnoOf(error) === undefined) throw error;
  }
}
