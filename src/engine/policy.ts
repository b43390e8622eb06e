// The permission policy with what is in force in one place: a workspace, a mode, the user's rules and the session's.
import { resolveLinks } from "../base/resolve-links.ts";
import type { Effect, PermissionMode, PermissionRule } from "../protocol/permission.ts";
import type { EngineOptions } from "./engine-parts.ts";
import type { EngineSettings } from "./engine-settings.ts";
import { createPathMatcher } from "./path-globs.ts";
import { createReadScope, judge, type JudgedCall } from "./permission-policy.ts";
import type { TurnContext } from "./turn-context.ts";

export interface PolicyPlace {
  readonly workspace: string;
  readonly mode: PermissionMode;
  readonly rules: readonly PermissionRule[];
  readonly sessionRules: readonly PermissionRule[];
  readonly readableDirectories: readonly string[];
}

export function policyFor(
  { home, settingsDirectory }: Pick<EngineOptions, "home" | "settingsDirectory">,
  place: PolicyPlace,
): Pick<TurnContext, "judge" | "readScope"> {
  const matchesPath = createPathMatcher({ workspace: place.workspace, home, resolveLinks });
  const callOf = (tool: string, effects: readonly Effect[]): JudgedCall => ({
    tool,
    effects,
    matchesPath,
    settingsDirectory,
    ...place,
  });
  return {
    judge: (tool, effects) => judge(callOf(tool, effects)),
    readScope: (tool, effects) => createReadScope(callOf(tool, effects)),
  };
}

/** The same for what no session asks: by the user's settings alone. */
export function configuredPolicy(
  options: Pick<EngineOptions, "home" | "settingsDirectory">,
  place: {
    readonly workspace: string;
    readonly permissions: EngineSettings["permissions"];
    /** Instead of the configured one. */
    readonly mode?: PermissionMode | undefined;
  },
): Pick<TurnContext, "judge" | "readScope"> {
  const { workspace, permissions, mode = permissions.mode } = place;
  const { rules } = permissions;
  return policyFor(options, {
    workspace,
    mode,
    rules,
    sessionRules: [],
    readableDirectories: [],
  });
}
