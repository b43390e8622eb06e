// What .gitignore files say about paths below a directory: its own, those below it, and those above it up to
// the workspace. The matching is the `ignore` package's, loaded when the first such file is found.
import { lstatSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { Ignore } from "ignore";

export interface IgnoreRules {
  /** `path` is below the root, with "/" between its parts. Ask for a directory before what is inside it. */
  isIgnored(path: string, isDirectory: boolean): Promise<boolean>;
}

/** A .gitignore larger than this is not one. */
const maxRulesBytes = 1024 * 1024;

export function createIgnoreRules(root: string, workspace: string): IgnoreRules {
  const top = relative(workspace, root).startsWith("..") ? root : workspace;
  const rulesOf = new Map<string, Promise<Ignore | undefined>>();
  const rulesIn = (directory: string) => {
    const known = rulesOf.get(directory) ?? loadRules(directory);
    rulesOf.set(directory, known);
    return known;
  };
  return {
    async isIgnored(path, isDirectory) {
      const full = join(root, path);
      // The nearest .gitignore that has an opinion decides, as in git.
      for (let directory = dirname(full); ; directory = dirname(directory)) {
        const rules = await rulesIn(directory);
        const verdict = rules?.test(relative(directory, full) + (isDirectory ? "/" : ""));
        if (verdict?.ignored) return true;
        if (verdict?.unignored || directory === top) return false;
      }
    },
  };
}

async function loadRules(directory: string): Promise<Ignore | undefined> {
  const path = join(directory, ".gitignore");
  // As git: a link is not followed. And a FIFO of that name would block.
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile() || stat.size > maxRulesBytes) return undefined;
  const { default: createIgnore } = await import("ignore");
  return createIgnore().add(readFileSync(path, "utf8"));
}
