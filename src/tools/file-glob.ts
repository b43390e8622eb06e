// What a model means by a glob: `*.ts` names files anywhere, `src/**/*.ts` paths below the workspace or below the
// searched directory, `!x` everything but x. Pure.
import { relative } from "node:path";

export interface GlobPlace {
  readonly root: string;
  readonly workspace: string;
}

/** A predicate over absolute paths. */
export function createGlobFilter(glob: string, place: GlobPlace): (path: string) => boolean {
  const isNegated = glob.startsWith("!");
  const plain = glob.slice(isNegated ? 1 : 0);
  const bases = [place.workspace, place.root];
  const inside = bases.map((base) => `${base}/`).find((base) => plain.startsWith(base));
  const pattern = inside ? plain.slice(inside.length) : plain.replace(/^(?:\.?\/)+/, "");
  // A directory means what is in it.
  const matcher = new Bun.Glob(pattern.endsWith("/") ? `${pattern}**` : pattern);
  const isMatch = pattern.includes("/")
    ? (path: string) => bases.some((base) => matcher.match(relative(base, path)))
    : (path: string) => matcher.match(path.slice(path.lastIndexOf("/") + 1));
  return isNegated ? (path) => !isMatch(path) : isMatch;
}

/** True when the glob itself names something that begins with a dot: then hidden files are asked for. */
export function namesHidden(glob: string): boolean {
  return /(?:^|[!/{,])\.[^./]/.test(glob);
}
