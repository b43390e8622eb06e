// From the path a model wrote to the file it means: relative to the workspace, ~ expanded, every symbolic link
// resolved as far as the path exists. effects() names that path, the policy judges it, and run() resolves
// again and refuses when it has come to lead elsewhere meanwhile; opening it later with O_NOFOLLOW in a held
// directory closes the rest of the race (promises F4). Whether a path is allowed is not decided here.
import { homedir } from "node:os";
import { basename, dirname, join, relative, resolve } from "node:path";
import { resolveLinks } from "../base/resolve-links.ts";
import type { Effect } from "../protocol/permission.ts";
import type { ToolContext } from "./tool.ts";
import { ToolFailure } from "./tool-failure.ts";

/**
 * Absolute, links resolved, those that dangle included. Never throws: what cannot be resolved (a loop of
 * links, a forbidden directory) comes back as named, and opening it reports why.
 */
export function resolveWorkspacePath(path: string, workspace: string): Promise<string> {
  return Promise.resolve(resolveLinks(absolute(path, workspace)));
}

/** As resolveWorkspacePath, but a link in the last place stays: for what acts on the link itself. */
export function resolveEntryPath(path: string, workspace: string): Promise<string> {
  const whole = absolute(path, workspace);
  return Promise.resolve(join(resolveLinks(dirname(whole)), basename(whole)));
}

/**
 * The resolved path of a running call, after checking that it is one the policy judged.
 * @throws ToolFailure when the path leads elsewhere than when permission was given
 */
export async function resolveJudgedPath(
  path: string,
  kind: "read" | "write" | "delete",
  context: ToolContext,
): Promise<string> {
  const toPath = kind === "delete" ? resolveEntryPath : resolveWorkspacePath;
  const resolved = await toPath(path, context.workspace);
  if (!context.effects.some((effect) => isEffectOn(effect, kind, resolved))) {
    throw new ToolFailure(
      `${path} leads to ${resolved} now, not where it led when this was permitted; nothing was done`,
    );
  }
  return resolved;
}

/** A resolved path for people and models: relative inside the workspace, absolute elsewhere. */
export function showPath(resolved: string, workspace: string): string {
  const inside = relative(workspace, resolved);
  if (inside === "") return ".";
  return inside === ".." || inside.startsWith("../") ? resolved : inside;
}

function absolute(path: string, workspace: string): string {
  const expanded = path === "~" || path.startsWith("~/") ? homedir() + path.slice(1) : path;
  return resolve(workspace, expanded);
}

function isEffectOn(effect: Effect, kind: Effect["kind"], path: string): boolean {
  return effect.kind === kind && "path" in effect && effect.path === path;
}
