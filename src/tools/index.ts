// The twelve built-in tools, and what of the outside each is given.
import { createAskUserTool } from "./ask-user.ts";
import { createDeleteFileTool } from "./delete-file.ts";
import { createEditFileTool } from "./edit-file.ts";
import { createFindFilesTool } from "./find-files.ts";
import { createListDirTool } from "./list-dir.ts";
import { createMultiEditTool } from "./multi-edit.ts";
import { createReadFileTool } from "./read-file.ts";
import { createRunCommandTool } from "./run-command.ts";
import { createSearchFilesTool } from "./search-files.ts";
import type { Tool } from "./tool.ts";
import { createWebFetchTool } from "./web-fetch.ts";
import { createWebSearchTool } from "./web-search.ts";
import { createWriteFileTool } from "./write-file.ts";

export interface BuiltinToolOptions {
  /** The variables of this process; run_command scrubs them. */
  readonly environment: Readonly<Record<string, string>>;
  /** Where programs are looked for. */
  readonly toolPath: string;
  /** For programs that opta carries inside itself. */
  readonly cacheDirectory: string;
  readonly searxngUrl: string | undefined;
  readonly allowHosts: readonly string[];
}

export function createBuiltinTools(options: BuiltinToolOptions): readonly Tool[] {
  const search = {
    environment: options.environment,
    toolPath: options.toolPath,
    cacheDirectory: options.cacheDirectory,
  };
  return [
    createReadFileTool(),
    createWriteFileTool(),
    createEditFileTool(),
    createMultiEditTool(),
    createListDirTool(),
    createSearchFilesTool(search),
    createFindFilesTool(search),
    createRunCommandTool({ environment: options.environment }),
    createAskUserTool(),
    createDeleteFileTool(),
    createWebSearchTool({ searxngUrl: options.searxngUrl }),
    createWebFetchTool({ allowHosts: options.allowHosts }),
  ];
}
