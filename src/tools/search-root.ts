// Where a search begins: the judged path, which must be there.
import { existsSync } from "node:fs";
import type { ToolContext } from "./tool.ts";
import { ToolFailure } from "./tool-failure.ts";
import { resolveJudgedPath } from "./workspace-path.ts";

/** @throws ToolFailure when nothing is there, or something else than was permitted */
export async function existingRoot(path: string, context: ToolContext): Promise<string> {
  const root = await resolveJudgedPath(path, "read", context);
  if (!existsSync(root)) throw new ToolFailure(`${path} does not exist; list_dir shows what does`);
  return root;
}
