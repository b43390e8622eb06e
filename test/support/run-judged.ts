// A tool call as the engine makes it: what it would touch is declared first, then it runs within that.
import type { Tool, ToolContext, ToolResult } from "../../src/tools/tool.ts";

export async function runJudged(
  tool: Tool,
  args: unknown,
  context: Omit<ToolContext, "effects">,
): Promise<ToolResult> {
  const effects = await tool.effects(args, context.workspace);
  return tool.run(args, { ...context, effects });
}
