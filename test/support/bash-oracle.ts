// What bash itself does with a line: every program it tries to start, with its words. No program exists for
// it (PATH leads nowhere), nothing can be written (file size limit 0), it runs in a directory of its own, and
// many lines share one process. Needs bash 4 or later for command_not_found_handle.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { analyseCommand } from "../../src/engine/command-analysis.ts";
import type { CommandAnalysis, CommandWords } from "../../src/engine/command-analysis.ts";
import { isWrapper } from "../../src/engine/command-wrappers.ts";
import { createLine, createRandom } from "./command-lines.ts";

/** Attempted commands of each line, in the order of `lines`. */
type Attempts = readonly (readonly (readonly string[])[])[];

const program = String.raw`
trap '' XFSZ
set +m
ulimit -c 0
export PATH=/nonexistent
FUNCNEST=5
oracle_status=$2
command_not_found_handle() { printf '%s\0' $'\035'"$oracle_line" "$#" "$@" >&97; return "$oracle_status"; }
oracle_line=0
while IFS= read -r -d '' oracle_text <&96; do
  ( ulimit -t 1 -f 0; set --; eval "$oracle_text" ) 96<&- </dev/null >/dev/null 2>&1
  oracle_line=$((oracle_line + 1))
done
`;

/** Runs the lines in bash; `status` is what every attempted program ends with. */
async function runInBash(lines: readonly string[], status: 0 | 127): Promise<Attempts> {
  const directory = mkdtempSync(join(tmpdir(), "opta-bash-oracle-"));
  const input = join(directory, "lines");
  try {
    writeFileSync(input, lines.map((text) => text + "\0").join(""));
    const script = `exec 96<"$1" 97>&1; ${program}`;
    const shell = Bun.spawn({
      cmd: ["bash", "--noprofile", "--norc", "-c", script, "oracle", input, String(status)],
      cwd: directory,
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C.UTF-8" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
      detached: true,
    });
    const deadline = setTimeout(() => process.kill(-shell.pid, "SIGKILL"), 120_000);
    const log = await new Response(shell.stdout).text();
    await shell.exited;
    clearTimeout(deadline);
    return readLog(log, lines.length);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * A record is \x1d, line number, word count and words, each ended by NUL. A background process that was cut
 * off in its record costs that record only.
 */
function readLog(log: string, lineCount: number): Attempts {
  const attempts = Array.from({ length: lineCount }, (): (readonly string[])[] => []);
  for (const record of log.split("\x1d").slice(1)) {
    const [line, count, ...words] = record.split("\0").slice(0, -1);
    if (words.length === Number(count)) attempts[Number(line)]?.push(words);
  }
  return attempts;
}

export interface Miss {
  readonly line: string;
  readonly analysis: CommandAnalysis;
  readonly attempts: readonly (readonly string[])[];
}

export interface FuzzResult {
  readonly lines: number;
  /** Lines with simpleArgv; those of them for which bash tried exactly that. */
  readonly simple: number;
  readonly confirmed: number;
  /** Lines whose list of commands claims to be complete. */
  readonly complete: number;
  /** bash tried another argument vector than simpleArgv. */
  readonly simpleMisses: readonly Miss[];
  /** bash tried a command that a complete list does not name. */
  readonly listMisses: readonly Miss[];
}

/** Compares the analysis (or a mutant of it) with bash over generated lines. */
export async function fuzzAgainstBash(options: {
  readonly seed: number;
  readonly lines: number;
  readonly status: 0 | 127;
  /** Of the lines that are not simple, bash sees one in so many; a fork costs more than all the parsing. */
  readonly listEvery: number;
  readonly analyse?: (line: string) => CommandAnalysis;
}): Promise<FuzzResult> {
  const analyse = options.analyse ?? analyseCommand;
  const random = createRandom(options.seed);
  const claims = Array.from({ length: options.lines }, () => createLine(random))
    .map((line) => ({ line, analysis: analyse(line) }))
    .filter(
      ({ analysis }, index) =>
        analysis.simpleArgv !== undefined || (analysis.complete && index % options.listEvery === 0),
    );
  const attempts = await runInBash(
    claims.map(({ line }) => line),
    options.status,
  );
  const seen = claims.map((claim, index): Miss => ({ ...claim, attempts: attempts[index] ?? [] }));
  const simple = seen.filter(({ analysis }) => analysis.simpleArgv !== undefined);
  return {
    lines: options.lines,
    simple: simple.length,
    confirmed: simple.filter((one) => one.attempts.length === 1 && !isSimpleMiss(one)).length,
    complete: seen.filter(({ analysis }) => analysis.complete).length,
    simpleMisses: simple.filter(isSimpleMiss),
    listMisses: seen.filter(isListMiss),
  };
}

function isSimpleMiss({ analysis, attempts }: Miss): boolean {
  const argv = analysis.simpleArgv;
  // What a wrapper starts is the policy's business: no short prefix ever allows one.
  if (argv === undefined || isWrapper(argv[0] ?? "")) return false;
  return attempts.length > 1 || attempts.some((attempt) => !Bun.deepEquals(attempt, argv));
}

function isListMiss({ analysis, attempts }: Miss): boolean {
  if (!analysis.complete) return false;
  // bash 5.2 puts the name COPROC before the words of a simple coprocess.
  return attempts.some(
    (attempt) =>
      attempt[0] !== "COPROC" && !analysis.commands.some((words) => mayBecome(words, attempt)),
  );
}

/**
 * True when the words agree as far as both go: an unknown word may become any number of words, and bash loses
 * a newline behind a heredoc in a nested substitution, so that a command swallows the next one's words.
 */
function mayBecome(words: CommandWords, attempt: readonly string[]): boolean {
  const unknown = words.indexOf(undefined);
  const known = unknown === -1 ? words : words.slice(0, unknown);
  return known.every((word, index) => index >= attempt.length || word === attempt[index]);
}
