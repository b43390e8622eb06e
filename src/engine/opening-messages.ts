// What stands before a model's answer: the session's system message and the user's message, put together from
// their words and from what is true in the workspace. Both are written once and never changed.
import { localDate } from "../base/local-date.ts";
import type { Message } from "../protocol/message.ts";
import { userMessageText } from "../protocol/turn-facts.ts";
import { systemMessageText } from "./system-prompt.ts";
import type { TurnContext } from "./turn-context.ts";
import { readGitBranch, readProjectInstructions } from "./workspace-facts.ts";
import { preparingPhase } from "../protocol/progress.ts";

/** The prompt and the project's instructions, which are read like any file: only when the policy allows it. */
export async function readSystemMessage({
  workspace,
  judge,
}: Pick<TurnContext, "workspace" | "judge">) {
  const { found, leftOut } = await readProjectInstructions(workspace, (path) => {
    const verdict = judge("read_file", [{ kind: "read", path }]);
    return verdict.decision === "allow" ? undefined : verdict.reason;
  });
  const message: Message = { role: "system", content: systemMessageText(found) };
  return { message, leftOut };
}

/** The same for a turn, whose surface is told what was left out. */
export async function openSystemMessage(context: TurnContext): Promise<Message> {
  const { message, leftOut } = await readSystemMessage(context);
  for (const { name, reason } of leftOut) {
    context.session.emit("turn.progress", {
      turnId: context.turnId,
      phase: preparingPhase,
      message: `${name} was left out of the instructions: ${reason}`,
      provider: context.provider.id,
    });
  }
  return message;
}

/** The user's words, then what is true just now. */
export async function openUserMessage(
  content: string,
  place: { readonly workspace: string; readonly platform: string; readonly now: Date },
): Promise<Message> {
  const facts = {
    workspace: place.workspace,
    platform: place.platform,
    date: localDate(place.now),
    gitBranch: await readGitBranch(place.workspace),
  };
  return { role: "user", content: userMessageText(content, facts) };
}
