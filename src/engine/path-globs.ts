// The path globs of rules against paths whose links are resolved. A rule may be written through a link
// (/var on a Mac, a home directory on another volume), so the part of a glob in front of its first wildcard is
// resolved too. Compiled once for a turn: a search asks about every file it finds.
import { posix } from "node:path";
import picomatch from "picomatch";
import type { PermissionRule } from "../protocol/permission.ts";

/** Whether the glob of a rule (`rule.path`) covers an absolute path whose links are resolved. */
export type MatchPath = (rule: PathRule, path: string) => boolean;

type PathRule = Pick<PermissionRule, "decision"> & { readonly path: string };

export interface GlobPlaces {
  /** Absolute, symbolic links resolved; so is home. */
  readonly workspace: string;
  readonly home: string;
  /** Follows the links of an absolute path as far as it exists (base/resolve-links.ts). */
  readonly resolveLinks: (path: string) => string;
}

/**
 * Relative globs start in the workspace and match only inside it, unless they begin with `../`. Deny and ask
 * rules match generously: in any letter case, and through whatever links lie in the glob. For an allow rule a
 * link inside the workspace is not followed: what it points to is the repository's word and not the user's.
 */
export function createPathMatcher(places: GlobPlaces): MatchPath {
  const compiled = new Map<string, (path: string) => boolean>();
  return ({ decision, path: glob }, path) => {
    const isStrict = decision === "allow";
    const key = `${isStrict ? "strict" : "generous"} ${glob}`;
    const matches = compiled.get(key) ?? compileGlob(glob, isStrict, places);
    compiled.set(key, matches);
    return matches(path);
  };
}

/** A path as a glob that matches nothing else. */
export function escapeGlob(path: string): string {
  return path.replace(/[\\*?[\]{}()!+@|$^#,"']/g, "\\$&");
}

/** True for the directory itself and everything below it; relative or unclean paths are never inside. */
export function isInside(path: string, directory: string): boolean {
  if (!path.startsWith("/") || posix.normalize(path) !== path) return false;
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}

function compileGlob(
  glob: string,
  isStrict: boolean,
  places: GlobPlaces,
): (path: string) => boolean {
  const written = toAbsoluteGlob(glob, places);
  const resolved = resolveLiteralPart(written, isStrict, places);
  const flags = isStrict ? "s" : "si";
  const matchers = [...new Set([written, resolved])].map((pattern) => {
    const matches = picomatch(pattern, { dot: true, nonegate: true, flags });
    // A glob that is one escaped path: picomatch misreads runs of backslashes.
    const plain = pattern.replace(/\\(.)/gs, "$1");
    const exact = escapeGlob(plain) === pattern ? plain : undefined;
    return (path: string) => path === exact || matches(posix.normalize(path));
  });
  const isWorkspace = glob === "**" ? places.workspace : undefined;
  return (path) => path === isWorkspace || matchers.some((matches) => matches(path));
}

function toAbsoluteGlob(glob: string, { workspace, home }: GlobPlaces): string {
  const folder = workspace === "/" ? "" : workspace;
  const pattern = glob.endsWith("/") && glob !== "/" ? `${glob}**` : glob;
  if (pattern === "~" || pattern.startsWith("~/")) return escapeGlob(home) + pattern.slice(1);
  if (pattern.startsWith("/")) return pattern;
  return posix.normalize(`${escapeGlob(folder)}/${pattern}`);
}

/** The glob with the links in the names before its first wildcard followed. */
function resolveLiteralPart(pattern: string, isStrict: boolean, places: GlobPlaces): string {
  const parts = pattern.split("/").slice(1);
  const wild = parts.findIndex((part) => /[*?[\]{}()|!"']/.test(part.replace(/\\./g, "")));
  const end = wild === -1 ? parts.length : wild;
  const names = parts.slice(0, end).map((part) => part.replace(/\\(.)/g, "$1"));
  const real = isStrict
    ? resolveUpToWorkspace(names, places)
    : places.resolveLinks(`/${names.join("/")}`);
  return posix.join(escapeGlob(real), ...parts.slice(end));
}

/** Follows the links on the way into the workspace, and none in it. */
function resolveUpToWorkspace(
  names: readonly string[],
  { workspace, resolveLinks }: GlobPlaces,
): string {
  let real = "/";
  for (const [index, name] of names.entries()) {
    if (isInside(real, workspace)) return posix.join(real, ...names.slice(index));
    real = resolveLinks(posix.join(real, name));
  }
  return real;
}
