// edit_file: one piece of text in one file for another.
import * as z from "zod";
import { previewWrites } from "./edit-preview.ts";
import { planEdits } from "./planned-edit.ts";
import { commitWrites } from "./planned-write.ts";
import { defineTool, type Tool } from "./tool.ts";
import { toResult } from "./tool-failure.ts";
import { resolveJudgedPath, resolveWorkspacePath, showPath } from "./workspace-path.ts";

export function createEditFileTool(): Tool {
  return defineTool({
    name: "edit_file",
    description: "Replace text in a file.",
    parameters: z.object({
      path: z.string(),
      old_text: z
        .string()
        .describe("Exact text, without line numbers; must occur once unless replace_all"),
      new_text: z.string(),
      replace_all: z.boolean().optional(),
    }),
    readOnly: false,
    effects: async (args, workspace) => [
      { kind: "write", path: await resolveWorkspacePath(args.path, workspace) },
    ],
    preview: (args, { workspace, files }) =>
      previewWrites(async () => {
        const path = await resolveWorkspacePath(args.path, workspace);
        return [planEdits({ path, shown: showPath(path, workspace) }, [args], files)];
      }),
    run: (args, context) =>
      toResult(context, async () => {
        const path = await resolveJudgedPath(args.path, "write", context);
        const shown = showPath(path, context.workspace);
        const write = planEdits({ path, shown }, [args], context.files);
        commitWrites([write], context.files);
        return write.summary;
      }),
  });
}
