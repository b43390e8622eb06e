// delete_file: one file, or one symbolic link (the link itself, never what it leads to).
import { fsyncSync, lstatSync, type Stats, unlinkSync } from "node:fs";
import { basename, dirname } from "node:path";
import * as z from "zod";
import { type HeldDirectory, holdDirectory } from "../base/held-directory.ts";
import { errnoOf, toStorageError } from "../base/storage-error.ts";
import { assertUnchangedSinceRead, type JudgedFile, readContent } from "./file-content.ts";
import { defineTool, type FileLedger, type Tool } from "./tool.ts";
import { failureText, ToolFailure, toResult } from "./tool-failure.ts";
import { resolveEntryPath, resolveJudgedPath, showPath } from "./workspace-path.ts";

export function createDeleteFileTool(): Tool {
  return defineTool({
    name: "delete_file",
    description: "Delete a file or symbolic link.",
    parameters: z.object({ path: z.string() }),
    readOnly: false,
    effects: async ({ path }, workspace) => [
      { kind: "delete", path: await resolveEntryPath(path, workspace) },
    ],
    async preview(args, { workspace, files }) {
      const path = await resolveEntryPath(args.path, workspace);
      try {
        withEntry({ path, shown: showPath(path, workspace) }, files, () => undefined);
        return undefined;
      } catch (error) {
        return { ok: false, text: failureText(error) };
      }
    },
    run: (args, context) =>
      toResult(context, async () => {
        const path = await resolveJudgedPath(args.path, "delete", context);
        const file = { path, shown: showPath(path, context.workspace) };
        return withEntry(file, context.files, ({ directory, name, stat }) => {
          unlinkSync(name);
          fsyncSync(directory.fd);
          context.files.delete(path);
          return `deleted ${stat.isSymbolicLink() ? "the symbolic link " : ""}${file.shown}`;
        });
      }),
  });
}

interface HeldEntry {
  readonly directory: HeldDirectory;
  /** By which it is found while its directory is held. */
  readonly name: string;
  readonly stat: Stats;
}

/** @throws ToolFailure for what may not be deleted, before `work` */
function withEntry<T>(file: JudgedFile, ledger: FileLedger, work: (entry: HeldEntry) => T): T {
  const directory = holdParent(file);
  try {
    const name = directory.at(basename(file.path));
    const stat = lstatSync(name, { throwIfNoEntry: false });
    if (!stat) throw new ToolFailure(`${file.shown} does not exist`);
    if (stat.isDirectory()) {
      throw new ToolFailure(`${file.shown} is a directory; delete_file deletes single files`);
    }
    if (!stat.isFile() && !stat.isSymbolicLink()) {
      throw new ToolFailure(`${file.shown} is not a regular file; nothing was deleted`);
    }
    if (stat.isFile() && ledger.has(file.path)) assertUnchanged(file, ledger);
    return work({ directory, name, stat });
  } catch (error) {
    throw toStorageError(error, `delete ${file.shown}`);
  } finally {
    directory.close();
  }
}

function holdParent(file: JudgedFile): HeldDirectory {
  const parent = dirname(file.path);
  try {
    const directory = holdDirectory(parent);
    if (directory.currentPath() === parent) return directory;
    directory.close();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") throw new ToolFailure(`${file.shown} does not exist`);
    throw toStorageError(error, `delete ${file.shown}`);
  }
  throw new ToolFailure(`${parent} was moved or replaced by a link just now; nothing was deleted`);
}

function assertUnchanged(file: JudgedFile, ledger: FileLedger): void {
  const content = readContent(file);
  if (content) assertUnchangedSinceRead(file, content, ledger);
}
