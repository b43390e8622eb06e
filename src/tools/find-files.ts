// find_files: the paths of files by glob, in alphabetical order. Not newest first: times change between two
// requests without any reason that a model could see, and the list is for finding, not for history.
import { resolve } from "node:path";
import * as z from "zod";
import { namesHidden } from "./file-glob.ts";
import { collectFound, createFileSearch, type FileSearchOptions } from "./file-search.ts";
import { capText } from "./output-cap.ts";
import { fileLimit } from "./search-limits.ts";
import { existingRoot } from "./search-root.ts";
import { defineTool, type Tool } from "./tool.ts";
import { ToolFailure, toResult } from "./tool-failure.ts";
import { resolveWorkspacePath } from "./workspace-path.ts";

export type FindFilesOptions = FileSearchOptions;

const parameters = z.object({
  pattern: z.string().min(1).describe("glob"),
  path: z.string().optional(),
});

export function createFindFilesTool(options: FindFilesOptions): Tool {
  const search = createFileSearch(options);
  return defineTool<z.infer<typeof parameters>>({
    name: "find_files",
    description: "Find files by name. Skips hidden and .gitignored files.",
    parameters,
    readOnly: true,
    effects: async ({ path }, workspace) => [
      { kind: "read", path: await resolveWorkspacePath(path ?? ".", workspace) },
    ],
    run: ({ pattern, path }, context) =>
      toResult(context, async () => {
        const root = await existingRoot(path ?? ".", context);
        const { found, stopped } = await collectFound(
          search,
          {
            root,
            workspace: context.workspace,
            hidden: namesHidden(pattern),
            pattern: undefined,
            glob: pattern,
          },
          {
            limit: fileLimit,
            accept: ({ path }) => context.mayList(resolve(context.workspace, path)),
            context,
          },
        );
        const paths = found.map((one) => one.path).toSorted();
        if (stopped !== undefined && paths.length === 0) throw new ToolFailure(stopped);
        if (stopped !== undefined) paths.push(`(${stopped})`);
        return paths.length === 0
          ? "no files match"
          : capText(paths.join("\n"), { context, name: "files" });
      }),
  });
}
