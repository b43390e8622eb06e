// search_files: lines that match a regular expression, as `path:line:text`. Files that usually hold secrets are
// left out without a word unless the path names them, and so is what a rule denies: even the number of their matches would tell about them.
import { resolve } from "node:path";
import * as z from "zod";
import { namesHidden } from "./file-glob.ts";
import { collectFound, createFileSearch, type FileSearchOptions } from "./file-search.ts";
import { capText } from "./output-cap.ts";
import { matchLimit } from "./search-limits.ts";
import type { Found } from "./search-request.ts";
import { defineTool, type Tool } from "./tool.ts";
import { ToolFailure, toResult } from "./tool-failure.ts";
import { existingRoot } from "./search-root.ts";
import { resolveWorkspacePath } from "./workspace-path.ts";

export type SearchFilesOptions = FileSearchOptions;

const parameters = z.object({
  pattern: z.string().min(1).describe("regex"),
  path: z.string().optional(),
  glob: z.string().optional().describe("e.g. *.ts"),
});

/** Results are sorted by path; the same search over the same files gives the same text. */
export function createSearchFilesTool(options: SearchFilesOptions): Tool {
  const search = createFileSearch(options);
  return defineTool<z.infer<typeof parameters>>({
    name: "search_files",
    description: "Search file contents. Skips hidden and .gitignored files.",
    parameters,
    readOnly: true,
    effects: async ({ path }, workspace) => [
      { kind: "read", path: await resolveWorkspacePath(path ?? ".", workspace) },
    ],
    run: ({ pattern, path, glob }, context) =>
      toResult(context, async () => {
        const root = await existingRoot(path ?? ".", context);
        const { workspace } = context;
        const hidden = glob !== undefined && namesHidden(glob);
        const { found, stopped } = await collectFound(
          search,
          { root, workspace, hidden, pattern, glob },
          {
            limit: matchLimit,
            accept: oncePerFile((path) => context.mayRead(resolve(workspace, path))),
            context,
          },
        );
        const lines = found.map(({ path: file, line }) => `${file}:${line?.number}:${line?.text}`);
        if (stopped !== undefined && found.length === 0) throw new ToolFailure(stopped);
        if (stopped !== undefined) lines.push(`(${stopped})`);
        return lines.length === 0
          ? "no matches"
          : capText(lines.join("\n"), { context, name: "matches" });
      }),
  });
}

/** Matches of one file come one after another. */
function oncePerFile(mayRead: (path: string) => boolean): (found: Found) => boolean {
  let last: { readonly path: string; readonly answer: boolean } | undefined;
  return ({ path }) => {
    if (last?.path !== path) last = { path, answer: mayRead(path) };
    return last.answer;
  };
}
