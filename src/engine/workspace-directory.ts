// Where a session works: directories as effects and permissions name them, with their links resolved.
import { realpath, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";
import { OptaError } from "../protocol/error.ts";

/**
 * Absolute, links resolved.
 * @throws OptaError usage for a relative path: this process may be in another directory than who asks (lesson 35);
 *   not-found when there is no such directory
 */
export async function resolveWorkspace(path: string): Promise<string> {
  if (!isAbsolute(path)) {
    throw new OptaError("usage", `the workspace ${path} is not an absolute path`);
  }
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return realpath(path);
  throw new OptaError(
    "not-found",
    `the workspace ${path} is not a directory`,
    "name another: opta do --cwd DIR …",
  );
}

/** The path with the links in front of its last name resolved, as effects name it; the leaf need not exist. */
export async function resolveParent(path: string): Promise<string> {
  const parent = dirname(path);
  return join(await realpath(parent).catch(() => parent), basename(path));
}
