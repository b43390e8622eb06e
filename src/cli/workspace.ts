// The directory a command works in, or why there is none.
import { resolve } from "node:path";
import { OptaError } from "../protocol/error.ts";

/**
 * Absolute; the current directory by default.
 * @throws OptaError not-found when the current directory was deleted, usage when its name cannot be written
 */
export function workspacePath(given = "."): string {
  const path = resolve(currentDirectory(), given);
  if (!path.includes("\uFFFD")) return path;
  throw new OptaError(
    "usage",
    `the name of ${path} is not UTF-8, so opta cannot work there`,
    "mv it to another name",
  );
}

function currentDirectory(): string {
  try {
    return process.cwd();
  } catch {
    throw new OptaError("not-found", "the current directory no longer exists", 'cd "$HOME"');
  }
}
