// PATH as tools may see it: absolute entries alone. Relative and empty ones would find programs in whatever
// repository is current.
import { isAbsolute } from "node:path";

/** Where package managers and the system keep programs; a daemon started by launchd sees only the last four. */
const usualDirectories = [
  "/opt/homebrew/bin",
  "/usr/local/bin",
  "/usr/bin",
  "/bin",
  "/usr/sbin",
  "/sbin",
];

/** The absolute entries of `path`, each once, then the usual directories that it lacks. */
export function absoluteSearchPath(path: string): string {
  const directories = path.split(":").filter((directory) => isAbsolute(directory));
  return [...new Set([...directories, ...usualDirectories])].join(":");
}
