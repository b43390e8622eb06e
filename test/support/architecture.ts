// The architecture as data and one checker over sources in memory: who may import whom, who owns which package, where
// code may be loaded late, who may read the environment or print. The test feeds it the tree, then planted violations.
import { posix } from "node:path";

/** A folder of src (or a file beside them) and what it may import, ground to top: each row names only rows above it. */
export const importTable: Readonly<Record<string, readonly string[]>> = {
  base: [],
  protocol: [],
  config: ["base", "protocol"],
  secrets: ["base", "protocol"],
  store: ["base", "protocol"],
  providers: ["base", "protocol"],
  sandbox: ["base", "protocol"],
  tools: ["base", "protocol", "sandbox"],
  mcp: ["base", "protocol", "tools/tool.ts"],
  lsp: ["base", "protocol", "tools/tool.ts"],
  browser: ["base", "protocol", "tools/tool.ts"],
  engine: ["base", "protocol", "store", "providers/provider.ts", "tools/tool.ts"],
  "app.ts": [
    "base",
    "protocol",
    "config",
    "secrets",
    "store",
    "providers",
    "sandbox",
    "tools",
    "mcp",
    "lsp",
    "browser",
    "engine",
  ],
  client: ["base", "protocol", "store", "engine", "app.ts"],
  "lmx-server": ["base", "protocol"],
  tui: ["base", "protocol", "client"],
  web: ["protocol", "client/attached.ts"],
  daemon: ["base", "protocol", "config", "store", "engine", "app.ts", "lmx-server", "web"],
  cli: ["base", "protocol", "config", "secrets", "store", "client", "tui", "daemon", "lmx-server"],
  "main.ts": ["base/version.ts", "cli"],
};

/** Every package and its owners; a package without a row may not be imported. "*" is everybody but base. */
const packageOwners: Readonly<Record<string, readonly string[]>> = {
  zod: ["*"],
  "fastest-levenshtein": ["cli", "config"],
  citty: ["cli"],
  consola: ["cli"],
  diff: ["tools"],
  ignore: ["tools"],
  "html-to-text": ["tools"],
  "ipaddr.js": ["tools"],
  picomatch: ["engine"],
  unbash: ["engine"],
  ink: ["tui"],
  react: ["tui", "web"],
  "playwright-core": ["browser"],
  "@modelcontextprotocol/sdk": ["mcp"],
  "@anthropic-ai/sdk": ["providers/anthropic"],
  "@napi-rs/keyring": ["secrets"],
};

/** Cost 3-9 ms of CPU each (and 10 for process.stdin and its kin): only behind `await import()`. */
const lateModules = ["node:http", "node:https", "node:crypto", "node:tls"];

/** The borders of `await import()`: from (prefix) -> to (prefixes). Owners may also load their packages late. */
const lateBorders: readonly (readonly [from: string, to: readonly string[]])[] = [
  ["main.ts", ["cli/run.ts"]],
  ["cli/", ["cli/", "client/", "lmx-server/", "tui/", "daemon/", "secrets/", "config/"]],
  // Only the one of the two clients that a command needs; schemas only for what the model server said.
  ["client/", ["app.ts", "client/attach.ts", "client/embedded.ts", "protocol/lmx-wire.ts"]],
  // Wording of what is wrong with a configuration: most runs have nothing to say.
  ["config/", ["config/problems.ts"]],
  ["app.ts", ["providers/anthropic/", "mcp/", "lsp/", "browser/", "secrets/"]],
  // A daemon that only waits stays small: the engine and what few clients ask for come when they are asked for.
  [
    "daemon/",
    [
      "web/",
      "app.ts",
      "daemon/service.ts",
      "daemon/settle.ts",
      "daemon/client-operations.ts",
      "protocol/openapi.ts",
    ],
  ],
];

const maxLines = 400;
const environmentReaders = ["config/"];
const printers = ["cli/", "tui/", "main.ts"];

export interface Violation {
  readonly rule:
    | "folder"
    | "import"
    | "package"
    | "late import"
    | "cycle"
    | "environment"
    | "printing"
    | "file name"
    | "length"
    | "header";
  readonly file: string;
  readonly detail: string;
}

/** Path below src -> source text. */
export type Sources = ReadonlyMap<string, string>;

/** Every breach of the architecture, in the order of the files. */
export function checkArchitecture(sources: Sources): readonly Violation[] {
  return [...[...sources].flatMap(([file, text]) => checkFile(file, text)), ...findCycles(sources)];
}

/** The sources below src, tests of the scan included in nothing else. */
export async function readSources(directory: string): Promise<Sources> {
  const paths = [...new Bun.Glob("**/*.{ts,tsx}").scanSync({ cwd: directory })].toSorted();
  const texts = await Promise.all(paths.map((path) => Bun.file(`${directory}/${path}`).text()));
  return new Map(paths.map((path, index) => [path, texts[index] ?? ""]));
}

export interface Import {
  /** A path below src (or above it, "../x"), a package, or a `node:` or `bun:` module. */
  readonly target: string;
  readonly isFile: boolean;
  readonly late: boolean;
}

/** Every import of a file: types, re-exports and late ones included. */
export function importsOf(file: string, text: string): readonly Import[] {
  const found = transpiler(file)
    .scanImports(withoutTypeOnly(text))
    .map(({ path, kind }) => ({ path, late: kind === "dynamic-import" }));
  // `let x: import("./y.ts").Y` vanishes with the types, wherever it stands.
  const inline = [...text.matchAll(/^(?!\s*(?:\/\/|\*)).*?\bimport\("([^"]+)"\)\./gm)]
    .flatMap(([, path]) => (path === undefined ? [] : [{ path, late: false }]))
    .filter(({ path }) => !found.some((known) => known.path === path));
  return [...found, ...inline].map(({ path, late }) => ({
    target: path.startsWith(".") ? posix.join(posix.dirname(file), path) : path,
    isFile: path.startsWith("."),
    late,
  }));
}

/** What is loaded with a file when it runs: without types and late imports. */
export function loadedWith(file: string, text: string): readonly string[] {
  const found = transpiler(file).scanImports(text);
  return found
    .filter(({ kind }) => kind !== "dynamic-import")
    .map(({ path }) => (path.startsWith(".") ? posix.join(posix.dirname(file), path) : path));
}

function checkFile(file: string, text: string): readonly Violation[] {
  const violations: Violation[] = [];
  const report = (rule: Violation["rule"], detail: string) =>
    violations.push({ rule, file, detail });
  const folder = folderOf(file);
  if (importTable[folder] === undefined) report("folder", `${folder} has no row in the table`);
  if (!/^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+(-[a-z0-9]+)*\.tsx?$/.test(file)) {
    report("file name", "names are kebab-case");
  }
  const lines = text.split("\n").length - 1;
  if (lines > maxLines) report("length", `${lines} lines, at most ${maxLines}`);
  if (!/^\/[/*]/.test(text)) report("header", "a file begins by saying what it is");
  for (const found of importsOf(file, text)) {
    for (const [rule, detail] of judgeImport(file, found)) report(rule, detail);
  }
  const code = codeOf(file, text);
  if (/\bimport\((?!["'])/.test(code)) report("late import", "the path is not a literal");
  if (!isUnder(file, environmentReaders) && readsEnvironment(code)) {
    report("environment", "only config/ reads the environment");
  }
  if (!isUnder(file, printers) && prints(code)) report("printing", "only cli/ and tui/ print");
  return violations;
}

function* judgeImport(file: string, found: Import): Generator<[Violation["rule"], string]> {
  const { target, late, isFile } = found;
  const folder = folderOf(file);
  if (target.startsWith("node:") || target.startsWith("bun:") || target === "bun") {
    if (!late && lateModules.includes(target)) yield ["late import", `${target} costs every start`];
    if (target === "node:process") yield ["environment", `${target} hides process.env`];
    return;
  }
  if (!isFile) {
    const owners = packageOwners[packageName(target)];
    if (owners === undefined) yield ["package", `${target} has no owner`];
    const isOwner = owners?.some((owner) =>
      owner === "*" ? folder !== "base" : file.startsWith(`${owner}/`),
    );
    if (isOwner === false) yield ["package", `${target} belongs to ${owners?.join(", ")}`];
    return;
  }
  const allowed = importTable[folder] ?? [];
  const fits = (row: string) => target === row || target.startsWith(`${row}/`);
  if (folderOf(target) !== folder && !allowed.some(fits)) {
    yield ["import", `${folder} may not import ${target}`];
  }
  if (late && !lateBorders.some(([from, to]) => file.startsWith(from) && isUnder(target, to))) {
    yield ["late import", `no border for ${target}`];
  }
}

/** Cycles of files over every import but late ones (help lists the table that loads help). */
function findCycles(sources: Sources): readonly Violation[] {
  const edges = new Map(
    [...sources].map(([file, text]) => [
      file,
      importsOf(file, text)
        .filter(({ target, late }) => !late && sources.has(target))
        .map(({ target }) => target),
    ]),
  );
  const done = new Set<string>();
  const violations: Violation[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) {
      violations.push({ rule: "cycle", file, detail: [...path.slice(start), file].join(" -> ") });
      return;
    }
    if (done.has(file)) return;
    for (const target of edges.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of edges.keys()) visit(file, []);
  return violations;
}

/** Bun's scanner forgets what only types need: type imports become plain ones first. */
function withoutTypeOnly(text: string): string {
  return text
    .replace(/^(import type (?=[\w{*])|export type (?=[{*]))/gm, (words) =>
      words.replace("type ", ""),
    )
    .replace(/^(import|export) \{[^}]*\} from/gm, (statement) =>
      statement.replace(/\btype (?=\w)/g, ""),
    );
}

/** The code alone: no comments, no types, quoted strings emptied (import paths apart). */
function codeOf(file: string, text: string): string {
  return transpiler(file)
    .transformSync(text)
    .replace(/(?<!import\()"(?:[^"\\\n]|\\.)*"/g, '""');
}

function readsEnvironment(code: string): boolean {
  return /\bprocess\??\.env\b|\bprocess\[|\bBun\.env\b|\bimport\.meta\.env\b|=\s*process\b(?!\.)/.test(
    code,
  );
}

function prints(code: string): boolean {
  const streams = /\bconsole\.\w|\bBun\.(stdout|stderr)\b|\bprocess\.(stdout|stderr)\b/;
  return streams.test(code) || /\bwriteSync\(\s*[12]\b/.test(code);
}

function transpiler(file: string): Bun.Transpiler {
  return new Bun.Transpiler({ loader: file.endsWith(".tsx") ? "tsx" : "ts" });
}

function folderOf(path: string): string {
  return path.split("/", 1)[0] ?? path;
}

function isUnder(path: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => path.startsWith(prefix));
}

function packageName(target: string): string {
  return target
    .split("/")
    .slice(0, target.startsWith("@") ? 2 : 1)
    .join("/");
}
