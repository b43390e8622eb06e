// The pure Bun search, for a machine without any ripgrep. It runs as a worker of its own because a regular
// expression can backtrack for ever: whoever asked terminates the worker. An extra entry point of the build.
import { closeSync, fstatSync, lstatSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import type { HeldDirectory } from "../base/held-directory.ts";
import { errnoOf } from "../base/storage-error.ts";
import { type DirectoryEntry, readEntries } from "./directory-entries.ts";
import { holdInPlace, openInPlace } from "./found-in-place.ts";
import type { Found, SearchRequest } from "./search-request.ts";
import { createGlobFilter } from "./file-glob.ts";
import { createIgnoreRules, type IgnoreRules } from "./ignore-rules.ts";
import { lineShownChars, searchedFileBytes } from "./search-limits.ts";
import type { SearchMessage } from "./worker-search.ts";
import { showPath } from "./workspace-path.ts";

declare const self: {
  onmessage: (event: MessageEvent<SearchRequest>) => void;
  postMessage(message: SearchMessage): void;
};

self.onmessage = ({ data }) => {
  search(data).then(
    () => self.postMessage({ kind: "done" }),
    (thrown) =>
      self.postMessage({
        kind: "failed",
        message: thrown instanceof Error ? thrown.message : String(thrown),
      }),
  );
};

/** Paths posted at once when files are listed. */
const listBatch = 500;

async function search(request: SearchRequest): Promise<void> {
  const expression = request.pattern === undefined ? undefined : toExpression(request.pattern);
  const isWanted =
    request.glob === undefined ? () => true : createGlobFilter(request.glob, request);
  let batch: Found[] = [];
  for await (const { path: full, entry } of walk(request)) {
    if (!isWanted(full)) continue;
    const path = showPath(full, request.workspace);
    const found = entry.isUtf8 ? { path } : ({ path, hasByteName: true } as const);
    batch.push(...(expression === undefined ? [found] : matches(entry, found, expression)));
    if (batch.length === 0 || (expression === undefined && batch.length < listBatch)) continue;
    self.postMessage({ kind: "found", found: batch });
    batch = [];
  }
  self.postMessage({ kind: "found", found: batch });
}

interface WalkedFile {
  readonly path: string;
  readonly entry: DirectoryEntry;
}

/**
 * Files below the root in ripgrep's order: by name, part for part; links are not followed. Each directory is
 * held while its files are read, so that nothing swapped for a link meanwhile leads elsewhere.
 */
async function* walk({ root, workspace, hidden }: SearchRequest): AsyncGenerator<WalkedFile> {
  const rules = await rulesFor(root, workspace);
  const isSkipped = (name: string) => (hidden ? name === ".git" : name.startsWith("."));
  async function* below(path: string, directory: HeldDirectory): AsyncGenerator<WalkedFile> {
    for (const entry of sortedEntries(directory)) {
      const full = join(path, entry.name);
      if (isSkipped(entry.name)) continue;
      if (await rules.isIgnored(relative(root, full), entry.stat.isDirectory())) continue;
      if (entry.stat.isFile()) yield { path: full, entry };
      if (!entry.stat.isDirectory() || !entry.isUtf8) continue;
      const inner = holdInPlace(full);
      if (inner === undefined) continue;
      try {
        yield* below(full, inner);
      } finally {
        inner.close();
      }
    }
  }
  const directory = holdInPlace(root);
  const parent = directory ?? holdInPlace(dirname(root));
  if (parent === undefined) throw movedError(root);
  try {
    if (directory !== undefined) return yield* below(root, directory);
    const name = basename(root);
    const stat = lstatSync(parent.at(name), { throwIfNoEntry: false });
    if (stat?.isFile() !== true) throw movedError(root);
    yield { path: root, entry: { name, isUtf8: true, stat, path: Buffer.from(parent.at(name)) } };
  } finally {
    parent.close();
  }
}

const movedError = (root: string) =>
  new Error(`${root} was moved or replaced by a link just now, or cannot be read`);

/** A root that is itself ignored was asked for by name: then only what is said below it counts, as in ripgrep. */
async function rulesFor(root: string, workspace: string): Promise<IgnoreRules> {
  const below = relative(workspace, root);
  const isBelow = below !== "" && !below.startsWith("..");
  const rules = createIgnoreRules(workspace, workspace);
  const isIgnored = isBelow && (await rules.isIgnored(below, true));
  return createIgnoreRules(root, isIgnored ? root : workspace);
}

function sortedEntries(directory: HeldDirectory): readonly DirectoryEntry[] {
  try {
    return readEntries(directory).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    // Unreadable or gone meanwhile: searched like an empty one, as ripgrep does.
    if (errnoOf(error) === undefined) throw error;
    return [];
  }
}

function matches(entry: DirectoryEntry, file: Found, expression: RegExp): Found[] {
  const text = readText(entry);
  if (text === undefined) return [];
  return text.split("\n").flatMap((raw, index) => {
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    if (!expression.test(line)) return [];
    const cut = line.length > lineShownChars;
    const shown = cut ? `${line.slice(0, lineShownChars)} [...]` : line;
    return { ...file, line: { number: index + 1, text: shown } };
  });
}

/** Undefined for what is binary, too large or unreadable, or no file any more. */
function readText({ path }: DirectoryEntry): string | undefined {
  const file = openInPlace(path);
  if (file === undefined) return undefined;
  try {
    if (fstatSync(file).size > searchedFileBytes) return undefined;
    const bytes = readFileSync(file);
    return bytes.includes(0) ? undefined : bytes.toString("utf8").replace(/\n$/, "");
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  } finally {
    closeSync(file);
  }
}

/** ripgrep's flags in front, `(?i)`, become JavaScript's; the strict dialect first, then the lenient one. */
function toExpression(pattern: string): RegExp {
  const [, flags = "", source = pattern] = /^\(\?([ims]+)\)(.*)$/s.exec(pattern) ?? [];
  try {
    return new RegExp(source, `${flags}u`);
  } catch {
    return new RegExp(source, flags);
  }
}
