// The pure Bun search, for a machine without any ripgrep. It runs as a worker of its own because a regular
// expression can backtrack for ever: whoever asked terminates the worker. An extra entry point of the build.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import type { Found, SearchRequest } from "./search-request.ts";
import { createGlobFilter } from "./file-glob.ts";
import { createIgnoreRules, type IgnoreRules } from "./ignore-rules.ts";
import { lineShownChars, searchedFileBytes } from "./search-limits.ts";
import type { SearchMessage } from "./worker-search.ts";

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
  for await (const file of walk(request)) {
    if (!isWanted(file)) continue;
    const path = toShown(file, request.workspace);
    batch.push(...(expression === undefined ? [{ path }] : matches(file, path, expression)));
    if (batch.length === 0 || (expression === undefined && batch.length < listBatch)) continue;
    self.postMessage({ kind: "found", found: batch });
    batch = [];
  }
  self.postMessage({ kind: "found", found: batch });
}

function toShown(path: string, workspace: string): string {
  const inside = relative(workspace, path);
  return inside.startsWith("..") ? path : inside;
}

/** Files below the root in ripgrep's order: by name, part for part; links are not followed. */
async function* walk({ root, workspace, hidden }: SearchRequest): AsyncGenerator<string> {
  if (statSync(root).isFile()) return yield root;
  const rules = await rulesFor(root, workspace);
  const isSkipped = (name: string) => (hidden ? name === ".git" : name.startsWith("."));
  async function* below(directory: string): AsyncGenerator<string> {
    for (const entry of readEntries(directory)) {
      const path = join(directory, entry.name);
      if (isSkipped(entry.name)) continue;
      if (await rules.isIgnored(relative(root, path), entry.isDirectory())) continue;
      if (entry.isDirectory()) yield* below(path);
      else if (entry.isFile()) yield path;
    }
  }
  yield* below(root);
}

/** A root that is itself ignored was asked for by name: then only what is said below it counts, as in ripgrep. */
async function rulesFor(root: string, workspace: string): Promise<IgnoreRules> {
  const below = relative(workspace, root);
  const isBelow = below !== "" && !below.startsWith("..");
  const rules = createIgnoreRules(workspace, workspace);
  const isIgnored = isBelow && (await rules.isIgnored(below, true));
  return createIgnoreRules(root, isIgnored ? root : workspace);
}

function readEntries(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true }).toSorted((a, b) =>
      a.name < b.name ? -1 : 1,
    );
  } catch {
    // Unreadable or gone meanwhile: searched like an empty one, as ripgrep does.
    return [];
  }
}

function matches(file: string, path: string, expression: RegExp): Found[] {
  const text = readText(file);
  if (text === undefined) return [];
  return text.split("\n").flatMap((raw, index) => {
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    if (!expression.test(line)) return [];
    const cut = line.length > lineShownChars;
    const shown = cut ? `${line.slice(0, lineShownChars)} [...]` : line;
    return { path, line: { number: index + 1, text: shown } };
  });
}

/** Undefined for what is binary, too large or unreadable. */
function readText(file: string): string | undefined {
  try {
    if (statSync(file).size > searchedFileBytes) return undefined;
    const bytes = readFileSync(file);
    return bytes.includes(0) ? undefined : bytes.toString("utf8").replace(/\n$/, "");
  } catch {
    return undefined;
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
