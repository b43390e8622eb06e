// Searching with ripgrep. The user's pattern and paths never become flags, no configuration of ripgrep's is
// read, and its own glob option is not used: a glob there overrides .gitignore. Nor is it told the path of the
// root, which it would follow through a link that appeared since the path was judged (promises F4): it starts
// inside a directory, and reads a single file from its stdin; and what it reports from below a directory is
// checked in place (found-in-place.ts).
import { closeSync, lstatSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { sendSignal } from "../base/process-tree.ts";
import { errnoOf } from "../base/storage-error.ts";
import { fromNameBytes } from "./byte-name.ts";
import { openFile } from "./file-content.ts";
import { createPlaceCheck } from "./found-in-place.ts";
import type { Found, SearchRequest } from "./search-request.ts";
import { createGlobFilter } from "./file-glob.ts";
import { lineShownChars } from "./search-limits.ts";
import { ToolFailure } from "./tool-failure.ts";
import { showPath } from "./workspace-path.ts";

export interface Ripgrep {
  /** Absolute path. */
  readonly program: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** @throws ToolFailure with ripgrep's own words when it refuses the pattern or does not run; when the root is gone */
export async function* searchWithRipgrep(
  ripgrep: Ripgrep,
  request: SearchRequest,
  signal: AbortSignal,
): AsyncGenerator<readonly Found[]> {
  if (signal.aborted) return;
  const { root, workspace, pattern, glob } = request;
  const isDirectory = lstatSync(root, { throwIfNoEntry: false })?.isDirectory() === true;
  const file = isDirectory ? undefined : openFile({ path: root, shown: showPath(root, workspace) });
  const isWanted = glob === undefined ? () => true : createGlobFilter(glob, request);
  const check = createPlaceCheck();
  const toFound = ({ name, line }: RipgrepRecord): readonly Found[] => {
    const { text, isUtf8 } = fromNameBytes(name);
    const path = isDirectory ? resolve(root, text) : root;
    if (!isWanted(path)) return [];
    if (isDirectory) {
      const place = { directory: dirname(path), name: baseName(name) };
      const isThere = line ? check.hasText(place, line.bytes) : check.hasFile(place);
      if (!isThere) return [];
    }
    const found = { path: showPath(path, workspace), ...(line && { line: toLine(line) }) };
    return [isUtf8 || !isDirectory ? found : { ...found, hasByteName: true }];
  };
  try {
    if (file === undefined || pattern !== undefined) {
      const batches = runRipgrep(ripgrep, request, { file, signal });
      for await (const batch of batches) yield batch.flatMap(toFound);
    } else {
      yield toFound({ name: Buffer.from(root) });
    }
  } finally {
    check.close();
    if (file !== undefined) closeSync(file);
  }
}

/**
 * Starts ripgrep only where the working directory is the judged one. The shell is in that directory already,
 * so that nothing can be swapped after it looked; without PWD it asks the kernel where it is.
 */
const startInRoot = `[ "$(pwd -P; echo .)" = "$1" ] || exit 97; shift; exec "$@"`;
const movedExitCode = 97;

/** @throws ToolFailure as searchWithRipgrep */
async function* runRipgrep(
  { program, environment }: Ripgrep,
  request: SearchRequest,
  { file, signal }: { readonly file: number | undefined; readonly signal: AbortSignal },
): AsyncGenerator<readonly RipgrepRecord[]> {
  const command = [program, ...ripgrepArguments(request), file === undefined ? "./" : "-"];
  const spawn = (words: string[], cwd: string) =>
    Bun.spawn(words, {
      cwd,
      env: { ...environment, PWD: undefined },
      stdin: file ?? "ignore",
      stdout: "pipe",
      stderr: "pipe",
      // What is called rg on PATH may be a script: its own group, so that all of it can be ended.
      detached: true,
    });
  const child =
    file === undefined
      ? inDirectory(request.root, (cwd) =>
          spawn(["/bin/sh", "-c", startInRoot, "sh", `${cwd}\n.`, ...command], cwd),
        )
      : spawn(command, "/");
  const reader = child.stdout.getReader();
  const complaint = child.stderr.text();
  const stop = () => {
    if (child.exitCode === null) sendSignal(-child.pid, "SIGKILL");
    void reader.cancel();
  };
  signal.addEventListener("abort", stop, { once: true });
  let any = false;
  try {
    for await (const batch of readRecords(reader, request.pattern === undefined)) {
      any = true;
      yield batch;
    }
    // 0: found, 1: nothing found, 2: an error, without words when only some file could not be read.
    const code = await child.exited;
    if (code < 2 || any || signal.aborted) return;
    if (code === movedExitCode) {
      throw new ToolFailure(`${request.root} was moved or replaced by a link just now`);
    }
    const words = (await complaint).trim();
    if (code > 2) throw new ToolFailure(`${program} failed (exit code ${code}): ${words}`);
    if (words !== "") throw new ToolFailure(words);
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}

/** @throws ToolFailure for a directory that is gone, or that we may not enter */
function inDirectory<T>(directory: string, start: (directory: string) => T): T {
  try {
    return start(directory);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    throw new ToolFailure(`cannot search ${directory}: ${errno}`);
  }
}

/** All but the place, which follows them. */
function ripgrepArguments({ root, hidden, pattern, glob }: SearchRequest): string[] {
  const common = ["--no-config", "--no-messages", "--no-require-git", "--color=never", "--null"];
  const isInGit = root.split("/").includes(".git");
  const dots = hidden ? ["--hidden", ...(isInGit ? [] : ["--glob=!.git"])] : [];
  if (pattern === undefined) return [...common, ...dots, "--files", "--"];
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

const [nul, lineFeed, slash] = [0, 10, 47];

interface RipgrepRecord {
  /** As ripgrep names the file: below its working directory. */
  readonly name: Uint8Array;
  readonly line?: RecordLine;
}

interface RecordLine {
  readonly number: number;
  /** As they are in the file. */
  readonly bytes: Buffer;
  /** What ripgrep says of the rest of a long line. */
  readonly omission: string;
}

/** `name NUL number:line LF`, or for listed files `name NUL`. */
async function* readRecords(
  reader: { read(): Promise<{ readonly value?: Uint8Array | undefined }> },
  isList: boolean,
): AsyncGenerator<readonly RipgrepRecord[]> {
  let rest = Buffer.alloc(0);
  for (;;) {
    const { value } = await reader.read();
    if (value === undefined) return;
    const bytes = Buffer.concat([rest, value]);
    const batch: RipgrepRecord[] = [];
    let start = 0;
    for (;;) {
      const nameEnd = bytes.indexOf(nul, start);
      const end = isList ? nameEnd : nameEnd === -1 ? -1 : bytes.indexOf(lineFeed, nameEnd);
      if (end === -1) break;
      const name = bytes.subarray(start, nameEnd);
      batch.push(
        isList
          ? { name }
          : { name: afterNotes(name), line: readLine(bytes.subarray(nameEnd + 1, end)) },
      );
      start = end + 1;
    }
    rest = bytes.subarray(start);
    if (batch.length > 0) yield batch;
  }
}

/**
 * Lines about binary files come between the records, without a NUL, and so seem to begin the next name:
 * `a.bin: WARNING: stopped searching binary file after match (found "\0" byte around offset 6)`.
 */
function afterNotes(name: Buffer): Buffer {
  const notes = /^(?:[^]*? \(found "[^"\n]*" byte around offset \d+\)\n)+/.exec(
    name.toString("latin1"),
  );
  return notes === null ? name : name.subarray(notes[0].length);
}

function readLine(record: Buffer): RecordLine {
  const colon = record.indexOf(":");
  const number = Number(record.subarray(0, colon).toString());
  const shown = record.subarray(colon + 1);
  const end = record.length > lineShownChars ? shown.lastIndexOf(" [... ") : -1;
  return end === -1
    ? { number, bytes: shown, omission: "" }
    : { number, bytes: shown.subarray(0, end), omission: shown.subarray(end).toString() };
}

function toLine({ number, bytes, omission }: RecordLine): NonNullable<Found["line"]> {
  return { number, text: bytes.toString().replace(/\r$/, "") + omission };
}

function baseName(path: Uint8Array): Uint8Array {
  return path.subarray(path.lastIndexOf(slash) + 1);
}
