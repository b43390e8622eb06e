// multi_edit: several edits in one or more files, all or nothing.
import * as z from "zod";
import { previewWrites } from "./edit-preview.ts";
import { planEdits, type RequestedEdit } from "./planned-edit.ts";
import { commitWrites } from "./planned-write.ts";
import { defineTool, type Tool } from "./tool.ts";
import { toResult } from "./tool-failure.ts";
import { resolveJudgedPath, resolveWorkspacePath, showPath } from "./workspace-path.ts";

export function createMultiEditTool(): Tool {
  return defineTool({
    name: "multi_edit",
    description: "Make several edit_file edits, in order, all or nothing.",
    parameters: z.object({
      edits: z
        .array(z.object({ path: z.string(), old_text: z.string(), new_text: z.string() }))
        .min(1),
    }),
    readOnly: false,
    effects: async ({ edits }, workspace) => {
      const byPath = await groupByPath(edits, (path) => resolveWorkspacePath(path, workspace));
      return [...byPath.keys()].map((path) => ({ kind: "write", path }));
    },
    preview: ({ edits }, { workspace, files }) =>
      previewWrites(async () => {
        const byPath = await groupByPath(edits, (path) => resolveWorkspacePath(path, workspace));
        return [...byPath].map(([path, group]) =>
          planEdits({ path, shown: showPath(path, workspace) }, group, files),
        );
      }),
    run: ({ edits }, context) =>
      toResult(context, async () => {
        const byPath = await groupByPath(edits, (path) =>
          resolveJudgedPath(path, "write", context),
        );
        const writes = [...byPath].map(([path, group]) => {
          const file = { path, shown: showPath(path, context.workspace) };
          return planEdits(file, group, context.files);
        });
        commitWrites(writes, context.files);
        return writes.map((write) => write.summary).join("\n");
      }),
  });
}

/** Edits of one file, in order, whatever names or links they come under; files by first appearance. */
async function groupByPath<Edit extends RequestedEdit & { readonly path: string }>(
  edits: readonly Edit[],
  toPath: (path: string) => Promise<string>,
): Promise<ReadonlyMap<string, readonly Edit[]>> {
  const groups = new Map<string, Edit[]>();
  for (const edit of edits) {
    const path = await toPath(edit.path);
    const group = groups.get(path);
    if (group) group.push(edit);
    else groups.set(path, [edit]);
  }
  return groups;
}
