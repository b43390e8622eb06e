// A tool call as the engine makes it: what it would touch is declared first, then it runs within that, and a
// directory tool shows what the policy lets it (mode safe, and the user's rules if any).
import { createPathMatcher } from "../../src/engine/path-globs.ts";
import { createReadScope } from "../../src/engine/permission-policy.ts";
import type { PermissionRule } from "../../src/protocol/permission.ts";
import type { Tool, ToolContext, ToolResult } from "../../src/tools/tool.ts";

export async function runJudged(
  tool: Tool,
  args: unknown,
  context: Omit<ToolContext, "effects" | "mayRead" | "mayList">,
  rules: readonly PermissionRule[] = [],
): Promise<ToolResult> {
  const { workspace } = context;
  const effects = await tool.effects(args, workspace);
  const scope = createReadScope({
    tool: tool.name,
    effects,
    mode: "safe",
    rules,
    sessionRules: [],
    matchesPath: createPathMatcher({ workspace, home: "/nowhere", resolveLinks: (path) => path }),
    workspace,
    settingsDirectory: "/nowhere/opta",
    readableDirectories: [],
  });
  return tool.run(args, { ...context, ...scope, effects });
}
