// The words of a verdict: how a rule is named, what a call would do, and what to type so that it would be
// allowed. Wording only; nothing is decided here.
import { assertNever } from "../base/assert-never.ts";
import { showControls } from "../base/terminal-text.ts";
import type { Effect, PermissionRule } from "../protocol/permission.ts";

/** Longer texts are cut in sentences. */
const maxShownChars = 80;
/** A longer command is not worth a rule of its own. */
const maxRuleCommandChars = 200;

/** `deny tool=run_command prefix="rm -rf"`. */
export function describeRule(rule: PermissionRule): string {
  const fields: string[] = [rule.decision];
  if (rule.tool !== undefined) fields.push(`tool=${rule.tool}`);
  if (rule.path !== undefined) fields.push(`path="${clip(rule.path)}"`);
  if (rule.command !== undefined) fields.push(`command="${clip(rule.command)}"`);
  if (rule.prefix !== undefined) fields.push(`prefix="${clip(rule.prefix.join(" "))}"`);
  if (rule.host !== undefined) fields.push(`host="${clip(rule.host)}"`);
  return fields.join(" ");
}

/** `session: always allow edit_file`, with what limits it when that is less than the workspace. */
export function describeSessionRule(rule: PermissionRule): string {
  const { decision, tool, path, ...rest } = rule;
  const limits = { ...rest, ...(path === undefined || path === "**" ? {} : { path }) };
  const fields = describeRule({ decision, ...limits }).slice(decision.length);
  return `session: always ${decision} ${tool ?? "any tool"}${fields}`;
}

/** The call as the subject of a sentence: `Writing src/main.ts`. Paths inside the workspace are relative. */
export function describeEffect(effect: Effect, workspace: string): string {
  switch (effect.kind) {
    case "read":
      return `Reading ${shownPath(effect.path, workspace)}`;
    case "write":
      return `Writing ${shownPath(effect.path, workspace)}`;
    case "delete":
      return `Deleting ${shownPath(effect.path, workspace)}`;
    case "exec":
      return `Running \`${clip(effect.command)}\``;
    case "network":
      return `A connection to ${clip(effect.host)}`;
    case "question":
      return "A question to you";
    default:
      return assertNever(effect);
  }
}

/** The commands that would have allowed it: a rule for exactly this, or the mode that asks nothing. */
export function remedyByRule(wanted: PermissionRule): string {
  const dangerous = "opta do --dangerous …";
  if ((wanted.command?.length ?? 0) > maxRuleCommandChars) return dangerous;
  const text = JSON.stringify(wanted).replaceAll("'", String.raw`'\''`);
  return `opta config add permissions.rules '${text}', or ${dangerous}`;
}

/** For a decision that a rule of the user made. */
export const remedyByChangingRules =
  "change the rule: `opta config get permissions.rules` shows them in order";

function shownPath(path: string, workspace: string): string {
  if (path === workspace) return "the workspace";
  const inside = path.startsWith(`${workspace}/`);
  return clip(inside ? path.slice(workspace.length + 1) : path);
}

/** One line of at most maxShownChars, its control characters to be seen: a line break can begin a command. */
function clip(text: string): string {
  const line = showControls(text);
  return line.length <= maxShownChars ? line : `${line.slice(0, maxShownChars - 1)}…`;
}
