// What a crash run starts from and what may be there afterwards. "No litter" means: after a failed write, not
// one name more than before; after kill -9, at most temporary files of the killed process, all gone once
// another process writes into that directory.
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

export const crashOperations = ["save", "edit", "multi", "create"] as const;
/** "torn" writes in place: the harness must find it out. */
export type CrashOperation = (typeof crashOperations)[number] | "torn";

export const crashMarkers = {
  begin: "/opta-file-crash-begin",
  end: "/opta-file-crash-end",
} as const;

/** Larger than a block, so that a torn write would show. */
export const crashContents = {
  before: "old line\n".repeat(1000),
  after: "new and longer line\n".repeat(1000),
} as const;

interface Fixture {
  /** File -> mode; all hold `before`. */
  readonly files: Readonly<Record<string, number>>;
  readonly links: Readonly<Record<string, string>>;
  /** Made by the operation. */
  readonly created: readonly string[];
}

const fixtures: Readonly<Record<CrashOperation, Fixture>> = {
  save: { files: { "session.json": 0o600 }, links: {}, created: [] },
  torn: { files: { "session.json": 0o600 }, links: {}, created: [] },
  edit: { files: { "target.txt": 0o751 }, links: { "link.txt": "target.txt" }, created: [] },
  multi: { files: { "one.txt": 0o600, "two.txt": 0o664 }, links: {}, created: [] },
  create: { files: {}, links: {}, created: ["new/deep/file.txt"] },
};

export function layOut(operation: CrashOperation, directory: string): void {
  const { files, links } = fixtures[operation];
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const [name, mode] of Object.entries(files)) {
    writeFileSync(join(directory, name), crashContents.before);
    chmodSync(join(directory, name), mode);
  }
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(directory, name));
}

export interface CrashFindings {
  /** What is wrong, in words; empty when all is well. */
  readonly problems: readonly string[];
  readonly states: readonly ("old" | "new")[];
}

export function inspect(operation: CrashOperation, directory: string): CrashFindings {
  const { files, links, created } = fixtures[operation];
  const problems: string[] = [];
  const states: ("old" | "new")[] = [];
  for (const [name, mode] of Object.entries(files)) {
    const path = join(directory, name);
    const content = readFileSync(path, "utf8");
    if (content === crashContents.before) states.push("old");
    else if (content === crashContents.after) states.push("new");
    else problems.push(`${name} holds neither the old nor the new bytes`);
    const found = statSync(path).mode & 0o7777;
    if (found !== mode) problems.push(`${name} has mode ${found.toString(8)}`);
  }
  for (const name of created) {
    const path = join(directory, name);
    if (!existsSync(path)) states.push("old");
    else if (readFileSync(path, "utf8") === crashContents.after) states.push("new");
    else problems.push(`${name} is there in part`);
  }
  for (const [name, target] of Object.entries(links)) {
    const path = join(directory, name);
    if (!lstatSync(path).isSymbolicLink() || readlinkSync(path) !== target) {
      problems.push(`${name} is no longer a link to ${target}`);
    }
  }
  return { problems, states };
}

/** Names that neither the fixture nor a finished operation would have left. */
export function litter(operation: CrashOperation, directory: string): readonly string[] {
  const { files, links, created } = fixtures[operation];
  const expected = new Set([...Object.keys(files), ...Object.keys(links), ...created]);
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => {
    if (expected.has(name)) return false;
    return !lstatSync(join(directory, name)).isDirectory();
  });
}

/** Directories in which the operation writes, as far as they exist. */
export function writtenDirectories(
  operation: CrashOperation,
  directory: string,
): readonly string[] {
  const places = operation === "create" ? [directory, join(directory, "new/deep")] : [directory];
  return places.filter((place) => existsSync(place));
}

/** Empty directories that a failed `create` left; after a kill they may stay. */
export function leftDirectories(operation: CrashOperation, directory: string): readonly string[] {
  const isNew = existsSync(join(directory, "new/deep/file.txt"));
  return operation === "create" && !isNew && existsSync(join(directory, "new")) ? ["new"] : [];
}
