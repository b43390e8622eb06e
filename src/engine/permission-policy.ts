// The permission policy: may this call run, must someone be asked, or not at all? One pure function over what
// the tool declared, the user's rules, this session's answers and the mode; the only place that decides.
// It touches no disk: effects arrive with every symbolic link resolved.
import { assertNever } from "../base/assert-never.ts";
import type { Effect, PermissionMode, PermissionRule, Verdict } from "../protocol/permission.ts";
import { isSecretPath } from "../protocol/secret-files.ts";
import { escapeGlob, isInside } from "./path-globs.ts";
import type { MatchPath } from "./path-globs.ts";
import { matchRule } from "./permission-match.ts";
import type { Match } from "./permission-match.ts";
import {
  describeEffect,
  describeRule,
  describeSessionRule,
  remedyByChangingRules,
  remedyByRule,
} from "./permission-words.ts";
import { isProtectedPath } from "./protected-paths.ts";

export interface JudgedCall {
  readonly tool: string;
  readonly effects: readonly Effect[];
  readonly mode: PermissionMode;
  /** The user's, in the order of the configuration. */
  readonly rules: readonly PermissionRule[];
  /** What "always for this session" added (alwaysRuleFor). */
  readonly sessionRules: readonly PermissionRule[];
  /** What the globs of the rules cover, links in them resolved (path-globs.ts). */
  readonly matchesPath: MatchPath;
  /** Absolute, symbolic links resolved; so are settingsDirectory and readableDirectories. */
  readonly workspace: string;
  /** Where opta itself keeps its settings and sessions, under whatever name: a write there lifts every rule. */
  readonly settingsDirectory: string;
  /** Directories outside the workspace that may be read like it: the session's own output. */
  readonly readableDirectories: readonly string[];
}

/** What a tool that was permitted to read a directory may show of what is below it. */
export interface ReadScope {
  /** True when the content of this file may be shown. The path is absolute, links resolved. */
  mayRead(path: string): boolean;
  /** True when the name may be shown: unless a rule of the user is about it. */
  mayList(path: string): boolean;
}

type PathEffect = Extract<Effect, { path: string }>;

/** The verdict over all effects of a call: the strongest (deny beats ask beats allow), the first of its kind. */
export function judge(call: JudgedCall): Verdict {
  if (call.effects.length === 0) return judgeWithoutEffects(call);
  const verdicts = call.effects.map((effect) => judgeEffect(effect, call));
  for (const decision of ["deny", "ask", "allow"] as const) {
    const verdict = verdicts.find((candidate) => candidate.decision === decision);
    if (verdict !== undefined) return verdict;
  }
  throw new Error("unreachable: a verdict has one of three decisions");
}

/**
 * What the permission for `call` covers below the directories that it reads: what is allowed by itself, and what
 * would ask for the very reason for which the call was asked about, because that question has been answered.
 */
export function createReadScope(call: JudgedCall): ReadScope {
  const roots = call.effects.filter(({ kind }) => kind === "read");
  // A rule that allows the root answers for the mode too.
  const answered = new Set(
    roots.flatMap((root) => [judgeEffect(root, call).rule, judgeByMode(root, call).rule]),
  );
  const isGranted = ({ decision, rule }: Verdict) =>
    decision === "allow" || (decision === "ask" && answered.has(rule));
  const ruledAs = (path: string) => judgeByRules({ kind: "read", path }, call);
  return {
    mayRead: (path) => {
      const ruled = ruledAs(path);
      if (ruled?.decision === "allow") return true;
      // A yes to what a rule asks about is none to the secrets there.
      const byMode = judgeByMode({ kind: "read", path }, call);
      return (ruled === undefined || isGranted(ruled)) && isGranted(byMode);
    },
    mayList: (path) => {
      const ruled = ruledAs(path);
      return ruled === undefined || isGranted(ruled);
    },
  };
}

/**
 * What "always for this session" adds: for commands that very line, for the network that host, for files this
 * tool everywhere in the workspace; outside it and for protected files only that file.
 */
export function alwaysRuleFor(
  tool: string,
  effects: readonly Effect[],
  places: Pick<JudgedCall, "workspace" | "settingsDirectory">,
): readonly PermissionRule[] {
  const { workspace } = places;
  const rules = effects.flatMap((effect): readonly PermissionRule[] => {
    switch (effect.kind) {
      case "read":
      case "write":
      case "delete": {
        const whole = isInside(effect.path, workspace) && !isProtected(effect.path, places);
        const path = whole ? "**" : exactGlob(effect.path, workspace);
        return [{ decision: "allow", tool, path }];
      }
      case "exec":
        return [{ decision: "allow", tool, command: effect.command }];
      case "network":
        return [{ decision: "allow", tool, host: effect.host }];
      case "question":
        return [];
      default:
        return assertNever(effect);
    }
  });
  return rules.filter(
    (rule, index) => rules.findIndex((other) => Bun.deepEquals(rule, other)) === index,
  );
}

/** A call that touches nothing needs no leave, unless a rule names its tool. */
function judgeWithoutEffects(call: JudgedCall): Verdict {
  const namesTool = ({ tool, path, command, prefix, host }: PermissionRule) =>
    (tool === undefined || tool === call.tool) && !(path ?? command ?? prefix ?? host);
  for (const decision of ["deny", "ask"] as const) {
    const index = call.rules.findIndex((rule) => rule.decision === decision && namesTool(rule));
    const rule = call.rules[index];
    if (rule === undefined) continue;
    return {
      decision,
      rule: `rule ${index + 1}: ${describeRule(rule)}`,
      reason: `${call.tool} ${decision === "deny" ? "is denied" : "needs approval"} by rule ${index + 1}.`,
      remedy: remedyByChangingRules,
    };
  }
  return { decision: "allow", rule: "no effects", reason: `${call.tool} touches nothing.` };
}

function judgeEffect(effect: Effect, call: JudgedCall): Verdict {
  const hard = judgeByReadOnlyMode(effect, call);
  if (hard !== undefined) return hard;
  const ruled = judgeByRules(effect, call);
  // Nobody can answer in advance: only a denial spares the question.
  if (effect.kind === "question") {
    return ruled?.decision === "deny" ? ruled : judgeByMode(effect, call);
  }
  return ruled ?? judgeByMode(effect, call);
}

/** plan and review: no rule and no answer lets a call change anything (lesson 6). */
function judgeByReadOnlyMode(effect: Effect, call: JudgedCall): Verdict | undefined {
  const { mode } = call;
  if (mode !== "plan" && mode !== "review") return undefined;
  if (effect.kind !== "write" && effect.kind !== "delete" && effect.kind !== "exec") {
    return undefined;
  }
  const what = { write: "writes", delete: "deletes", exec: "commands" }[effect.kind];
  return {
    decision: "deny",
    rule: `mode ${mode}: ${what} are denied`,
    reason: `${describeEffect(effect, call.workspace)} is not possible in mode ${mode}, which only reads.`,
    remedy: `run without --mode ${mode}`,
  };
}

interface MatchedRule {
  readonly rule: PermissionRule;
  readonly name: string;
  readonly match: Exclude<Match, "no">;
}

function judgeByRules(effect: Effect, call: JudgedCall): Verdict | undefined {
  const matched = matchingRules(effect, call);
  const subject = describeEffect(effect, call.workspace);
  const first = (decision: PermissionRule["decision"], match: Match = "yes") =>
    matched.find((entry) => entry.rule.decision === decision && entry.match === match);
  const remedy = remedyByChangingRules;

  const denied = first("deny");
  if (denied) {
    return {
      decision: "deny",
      rule: denied.name,
      reason: `${subject} is denied by a rule.`,
      remedy,
    };
  }
  const asked = first("ask");
  if (asked) {
    return {
      decision: "ask",
      rule: asked.name,
      reason: `${subject} needs approval by a rule.`,
      remedy,
    };
  }
  const exact = matched.find(({ rule }) => rule.decision === "allow" && rule.command !== undefined);
  const unclear = first("deny", "maybe") ?? first("ask", "maybe");
  if (unclear && !exact) {
    return {
      decision: "ask",
      rule: unclear.name,
      reason: `${subject} needs approval: it may run what this rule is about, and that shows only when it runs.`,
      remedy: remedyByRule(wantedRule(effect, call)),
    };
  }
  const allowed = exact ?? first("allow");
  if (!allowed) return undefined;
  return { decision: "allow", rule: allowed.name, reason: `${subject} is allowed by a rule.` };
}

function matchingRules(effect: Effect, call: JudgedCall): readonly MatchedRule[] {
  const found: MatchedRule[] = [];
  for (const [index, rule] of call.rules.entries()) {
    const match = matchRule(rule, { tool: call.tool, effect }, call.matchesPath);
    if (match === "no") continue;
    found.push({ rule, name: `rule ${index + 1}: ${describeRule(rule)}`, match });
  }
  for (const rule of call.sessionRules) {
    const match = matchRule(rule, { tool: call.tool, effect }, call.matchesPath);
    if (match === "no" || !sessionRuleCovers(rule, effect, call)) continue;
    found.push({ rule, name: describeSessionRule(rule), match });
  }
  return found;
}

/** "Always" for some file of the workspace was never said of its secrets. */
function sessionRuleCovers(rule: PermissionRule, effect: Effect, call: JudgedCall): boolean {
  if (!isPathEffect(effect) || rule.decision !== "allow") return true;
  return !isProtected(effect.path, call) || rule.path === exactGlob(effect.path, call.workspace);
}

function judgeByMode(effect: Effect, call: JudgedCall): Verdict {
  const { mode } = call;
  const subject = describeEffect(effect, call.workspace);
  const rule = (what: string) => `mode ${mode}: ${what}`;
  const allow = (what: string): Verdict => ({
    decision: "allow",
    rule: rule(what),
    reason: `${subject} is allowed in mode ${mode}.`,
  });
  const ask = (what: string, because?: string): Verdict => ({
    decision: "ask",
    rule: rule(what),
    reason: `${subject} needs approval${because === undefined ? "" : `: ${because}`}.`,
    remedy: remedyByRule(wantedRule(effect, call)),
  });

  if (effect.kind === "question") {
    return {
      decision: "ask",
      rule: "questions are answered by you",
      reason: `${subject} needs someone to answer it.`,
      remedy: "run it in a terminal, or write the answer into the task",
    };
  }
  if (mode === "dangerous") return allow("everything is allowed");
  if (effect.kind === "exec") return ask("commands ask");
  if (effect.kind === "network") return ask("network access asks");

  const inWorkspace = isInside(effect.path, call.workspace);
  const isOutput =
    effect.kind === "read" && call.readableDirectories.some((dir) => isInside(effect.path, dir));
  if (isSecretPath(effect.path)) return ask("secret files ask", "it usually holds secrets");
  if (isInside(effect.path, call.settingsDirectory) && !isOutput) {
    return ask("settings of opta ask", "opta keeps its settings and sessions there");
  }
  if (!inWorkspace && !isOutput) {
    return ask("paths outside the workspace ask", "it is outside the workspace");
  }
  if (effect.kind === "read") {
    return allow(
      isOutput ? "reads of the session's output allow" : "reads inside the workspace allow",
    );
  }
  if (isProtectedPath(effect.path)) {
    return ask(
      "protected files ask",
      "git, opta, an editor or a shell acts on this file by itself",
    );
  }
  if (effect.kind === "delete") return ask("deletes ask");
  if (mode === "auto") return allow("writes inside the workspace allow");
  const verdict = ask("writes ask");
  return mode === "safe" ? { ...verdict, remedy: "opta do --auto …" } : verdict;
}

/** The narrowest rule of a user that allows exactly this. */
function wantedRule(effect: Effect, call: JudgedCall): PermissionRule {
  const { tool, workspace } = call;
  if (isPathEffect(effect))
    return { decision: "allow", tool, path: exactGlob(effect.path, workspace) };
  if (effect.kind === "exec") return { decision: "allow", tool, command: effect.command };
  if (effect.kind === "network") return { decision: "allow", tool, host: effect.host };
  return { decision: "allow", tool };
}

/** True where a blanket "yes" for the workspace does not reach. */
function isProtected(path: string, { settingsDirectory }: Pick<JudgedCall, "settingsDirectory">) {
  return isProtectedPath(path) || isInside(path, settingsDirectory);
}

function isPathEffect(effect: Effect): effect is PathEffect {
  return effect.kind === "read" || effect.kind === "write" || effect.kind === "delete";
}

/** A rule's `path` that matches this file and no other. */
function exactGlob(path: string, workspace: string): string {
  const inside = isInside(path, workspace) && path !== workspace && workspace !== "/";
  // ./ keeps a folder that is named ~ from meaning the home directory
  return inside ? `./${escapeGlob(path.slice(workspace.length + 1))}` : escapeGlob(path);
}
