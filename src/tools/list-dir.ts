// list_dir: names with their kinds and sizes, sorted. Recursively it goes breadth first, so that the cap costs
// depth and not whole directories; it skips .git, node_modules and what .gitignore names.
import { readlinkSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { holdDirectory } from "../base/held-directory.ts";
import { errnoOf } from "../base/storage-error.ts";
import { byteNameNote } from "./byte-name.ts";
import { type DirectoryEntry, readEntries } from "./directory-entries.ts";
import { createIgnoreRules, type IgnoreRules } from "./ignore-rules.ts";
import { capText } from "./output-cap.ts";
import { formatBytes } from "./output-spill.ts";
import { defineTool, type Tool, type ToolContext } from "./tool.ts";
import { ToolFailure, toResult } from "./tool-failure.ts";
import { resolveJudgedPath, resolveWorkspacePath, showPath } from "./workspace-path.ts";

/** A model needs the shape of a tree, not all of it. */
const maxEntries = 1000;
/** Never worth listing, ignored or not. */
const skippedNames = new Set([".git", "node_modules"]);

export function createListDirTool(): Tool {
  return defineTool({
    name: "list_dir",
    description: "List a directory.",
    parameters: z.object({ path: z.string().optional(), recursive: z.boolean().optional() }),
    readOnly: true,
    effects: async ({ path }, workspace) => [
      { kind: "read", path: await resolveWorkspacePath(path ?? ".", workspace) },
    ],
    run: ({ path, recursive }, context) =>
      toResult(context, async () => {
        const root = await resolveJudgedPath(path ?? ".", "read", context);
        const top = readDirectory(root, showPath(root, context.workspace));
        const rules = recursive ? createIgnoreRules(root, context.workspace) : undefined;
        const { lines, isCut } = await listTree(root, { top, rules, context });
        if (lines.length === 0) return "(empty directory)";
        const note = isCut ? `\n(stopped after ${maxEntries} entries; list a subdirectory)` : "";
        return capText(lines.toSorted().join("\n") + note, { context, name: "list_dir" });
      }),
  });
}

interface Walk {
  readonly top: readonly Entry[];
  /** Undefined: only the directory itself. */
  readonly rules: IgnoreRules | undefined;
  readonly context: Pick<ToolContext, "signal" | "mayList">;
}

async function listTree(root: string, { top, rules, context }: Walk) {
  const lines: string[] = [];
  // Directories to read, as paths below root; grows while it is walked.
  const queue: { readonly below: string; readonly entries: readonly Entry[] }[] = [
    { below: "", entries: top },
  ];
  for (const { below, entries } of queue) {
    context.signal.throwIfAborted();
    for (const entry of entries) {
      const path = below + entry.name;
      if (!context.mayList(join(root, path))) continue;
      const { isDirectory } = entry;
      if (rules && (skippedNames.has(entry.name) || (await rules.isIgnored(path, isDirectory)))) {
        continue;
      }
      if (lines.length === maxEntries) return { lines, isCut: true };
      lines.push(`${path}${entry.suffix}`);
      if (rules && isDirectory) {
        queue.push({ below: `${path}/`, entries: readSubdirectory(`${root}/${path}`) });
      }
    }
  }
  return { lines, isCut: false };
}

interface Entry {
  readonly name: string;
  /** And one that can be listed in turn. */
  readonly isDirectory: boolean;
  /** "/", "@ -> target", " 1.5 KB". */
  readonly suffix: string;
}

/** @throws ToolFailure when it is no directory, or cannot be read */
function readDirectory(path: string, shown: string): readonly Entry[] {
  try {
    const directory = holdDirectory(path);
    try {
      if (directory.currentPath() !== path) {
        throw new ToolFailure(`${shown} was moved or replaced by a link just now`);
      }
      return readEntries(directory).map(toEntry);
    } finally {
      directory.close();
    }
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT") throw new ToolFailure(`${shown} does not exist`);
    if (errno === "ENOTDIR") throw new ToolFailure(`${shown} is not a directory; use read_file`);
    if (errno !== undefined) throw new ToolFailure(`cannot list ${shown}: ${errno}`);
    throw error;
  }
}

/** A subdirectory that vanished or is closed to us is listed, but has nothing below it. */
function readSubdirectory(path: string): readonly Entry[] {
  try {
    return readDirectory(path, path);
  } catch (error) {
    if (error instanceof ToolFailure) return [];
    throw error;
  }
}

function toEntry(entry: DirectoryEntry): Entry {
  const { name, isUtf8, stat } = entry;
  return {
    name,
    isDirectory: isUtf8 && stat.isDirectory(),
    suffix: isUtf8 ? suffixOf(entry) : byteNameNote,
  };
}

function suffixOf({ stat, path }: DirectoryEntry): string {
  if (stat.isDirectory()) return "/";
  if (stat.isSymbolicLink()) return `@ -> ${readlinkSync(path)}`;
  if (stat.isFile()) return ` ${formatBytes(stat.size)}`;
  return stat.isFIFO() ? " (FIFO)" : stat.isSocket() ? " (socket)" : " (device)";
}
