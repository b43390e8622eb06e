// Searching with ripgrep. The user's pattern and paths never become flags, no configuration of ripgrep's is
// read, and its own glob option is not used: a glob there overrides .gitignore.
import { relative, resolve } from "node:path";
import { sendSignal } from "../base/process-tree.ts";
import type { Found, SearchRequest } from "./search-request.ts";
import { createGlobFilter } from "./file-glob.ts";
import { lineShownChars } from "./search-limits.ts";
import { ToolFailure } from "./tool-failure.ts";

export interface Ripgrep {
  /** Absolute path. */
  readonly program: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** @throws ToolFailure with ripgrep's own words when it refuses the pattern or does not run */
export async function* searchWithRipgrep(
  { program, environment }: Ripgrep,
  request: SearchRequest,
  signal: AbortSignal,
): AsyncGenerator<readonly Found[]> {
  if (signal.aborted) return;
  const child = Bun.spawn([program, ...ripgrepArguments(request)], {
    cwd: request.workspace,
    env: environment,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    // What is called rg on PATH may be a script: its own group, so that all of it can be ended.
    detached: true,
  });
  const reader = child.stdout.getReader();
  const complaint = child.stderr.text();
  const stop = () => {
    if (child.exitCode === null) sendSignal(-child.pid, "SIGKILL");
    void reader.cancel();
  };
  signal.addEventListener("abort", stop, { once: true });
  const isWanted =
    request.glob === undefined ? () => true : createGlobFilter(request.glob, request);
  let any = false;
  try {
    for await (const batch of readRecords(reader, request.pattern === undefined)) {
      const wanted = batch.filter(({ path }) => isWanted(resolve(request.workspace, path)));
      any ||= wanted.length > 0;
      if (wanted.length > 0) yield wanted;
    }
    // 0: found, 1: nothing found, 2: an error, without words when only some file could not be read.
    const code = await child.exited;
    if (code < 2 || any || signal.aborted) return;
    const words = (await complaint).trim();
    if (code > 2) throw new ToolFailure(`${program} failed (exit code ${code}): ${words}`);
    if (words !== "") throw new ToolFailure(words);
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}

function ripgrepArguments({ root, workspace, hidden, pattern, glob }: SearchRequest): string[] {
  const common = ["--no-config", "--no-messages", "--no-require-git", "--color=never", "--null"];
  const isInGit = root.split("/").includes(".git");
  const dots = hidden ? ["--hidden", ...(isInGit ? [] : ["--glob=!.git"])] : [];
  const from = relative(workspace, root);
  const place = from === "" ? "./" : from.startsWith("..") ? root : from;
  if (pattern === undefined) return [...common, ...dots, "--files", "--", place];
  return [
    ...common,
    ...dots,
    ...typeFilter(glob),
    "--line-number",
    "--no-heading",
    "--with-filename",
    "--sort=path",
    ...(needsPcre.test(pattern) ? ["--engine=auto"] : []),
    `--max-columns=${lineShownChars}`,
    "--max-columns-preview",
    "-e",
    pattern,
    "--",
    place,
  ];
}

/** Look-around and back references: beyond ripgrep's own engine, whose errors read better otherwise. */
const needsPcre = /\(\?<?[=!]|\\[1-9]/;

/**
 * A first sieve, so that ripgrep reads no file in vain: a file type of our own for the glob's last part. Unlike
 * --glob it leaves .gitignore in force. What it cannot express is left to the filter over the results.
 */
function typeFilter(glob: string | undefined): string[] {
  const name = glob?.slice(glob.lastIndexOf("/") + 1) ?? "";
  const isPlain = /^[\w.*?@+-]*(?:\{[\w.*?@+,-]*\})?[\w.*?@+-]*$/.test(name);
  if (name === "" || name === "**" || !isPlain) return [];
  return [`--type-add=optaglob:${name}`, "--type=optaglob"];
}

const [nul, lineFeed] = [0, 10];

/** `path NUL number:line LF`, or for listed files `path NUL`. */
async function* readRecords(
  reader: { read(): Promise<{ readonly value?: Uint8Array | undefined }> },
  isList: boolean,
): AsyncGenerator<Found[]> {
  let rest = Buffer.alloc(0);
  for (;;) {
    const { value } = await reader.read();
    if (value === undefined) return;
    const bytes = Buffer.concat([rest, value]);
    const batch: Found[] = [];
    let start = 0;
    for (;;) {
      const pathEnd = bytes.indexOf(nul, start);
      const end = isList ? pathEnd : pathEnd === -1 ? -1 : bytes.indexOf(lineFeed, pathEnd);
      if (end === -1) break;
      const path = decode(bytes.subarray(start, pathEnd));
      batch.push(isList ? toListed(path) : toMatch(path, decode(bytes.subarray(pathEnd + 1, end))));
      start = end + 1;
    }
    rest = bytes.subarray(start);
    if (batch.length > 0) yield batch;
  }
}

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const toListed = (path: string): Found => ({ path: path.replace(/^\.\//, "") });

function toMatch(path: string, record: string): Found {
  const colon = record.indexOf(":");
  return {
    ...toListed(path),
    line: {
      number: Number(record.slice(0, colon)),
      text: record.slice(colon + 1).replace(/\r$/, ""),
    },
  };
}
