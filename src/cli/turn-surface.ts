// What a turn looks like from outside: the answer on stdout as it comes, or with `-f json` every event as a
// line; what opta is doing on stderr, and only when somebody watches. A surface is fed events and asks
// nothing of the engine.
import { escapeForTerminal } from "../base/terminal-json.ts";
import {
  createTerminalTextStripper,
  showControls,
  stripTerminalText,
} from "../base/terminal-text.ts";
import type { OptaEvent } from "../protocol/event.ts";
import { toldPhases } from "../protocol/progress.ts";
import type { Io } from "./output/io.ts";
import { formatCount } from "./output/quantity.ts";
import { createStatusLine } from "./output/progress.ts";

export interface TurnSurface {
  show(event: OptaEvent): void;
  /** Ends an unfinished line, so that what is printed next begins on its own. */
  finishLine(): void;
}

/** One envelope per line, byte for byte what happened. */
export function createJsonSurface(io: Io): TurnSurface {
  return {
    show(event) {
      io.stdout.write(`${escapeForTerminal(JSON.stringify(event))}\n`);
    },
    finishLine: () => undefined,
  };
}

/** The answer as text; tool calls as short lines on stderr unless `quiet`. */
export function createTextSurface(
  io: Io,
  options: {
    readonly quiet: boolean;
    /** Tells on stdout what opta is doing, whoever watches (the demo is about that). */
    readonly narrate?: boolean;
  },
): TurnSurface {
  const watched = options.narrate === true || (io.isTerminal(2) && !options.quiet);
  const notes = options.narrate ? io.stdout : io.stderr;
  const style = io.style(options.narrate ? 1 : 2);
  // To a pipe or a file text goes byte for byte; on a terminal a model must not move the cursor.
  const stripper = io.isTerminal(1) ? createTerminalTextStripper() : undefined;
  // Seconds that count up are for somebody who looks on; in a file they would be a line each.
  const waits = watched && io.isTerminal(options.narrate ? 1 : 2);
  const waiting = createStatusLine(io, { output: notes, dim: style.dim });
  let lineOpen = false;
  /** Characters of the thought that is under way, and how many of them the status line knows of. */
  const thought = { chars: 0, shownChars: 0 };

  /** Reasoning is folded: a line that counts while it lasts, one that remains when it ends. */
  function showThought(text: string): void {
    thought.chars += text.length;
    if (!waits || thought.chars - thought.shownChars < thoughtStepChars) return;
    thought.shownChars = thought.chars;
    finishLine();
    waiting.show(`  thinking, ${formatCount(thought.chars)} characters`);
  }
  function foldThought(): void {
    if (thought.chars > 0) note(style.dim(`  thought, ${formatCount(thought.chars)} characters`));
    thought.chars = thought.shownChars = 0;
  }

  function writeAnswer(text: string): void {
    const shown = stripper ? stripper.push(text) : text;
    if (shown === "") return;
    io.stdout.write(shown);
    lineOpen = !shown.endsWith("\n");
  }
  function finishLine(): void {
    if (lineOpen) io.stdout.write("\n");
    lineOpen = false;
  }
  function note(text: string): void {
    if (!watched) return;
    finishLine();
    notes.write(`${text}\n`);
  }

  return {
    show(event) {
      if (event.event === "turn.progress" && event.payload.phase === "reading") {
        finishLine();
        if (waits) waiting.show(`  ${stripTerminalText(event.payload.message ?? "")}`);
        return;
      }
      if (event.event === "turn.thinking") {
        showThought(event.payload.text);
        return;
      }
      waiting.clear();
      foldThought();
      switch (event.event) {
        case "turn.token":
          writeAnswer(event.payload.text);
          break;
        case "turn.progress":
          // Told by run-turn.ts, whoever watches.
          if (toldPhases.has(event.payload.phase)) break;
          note(style.dim(`  ${stripTerminalText(event.payload.message ?? event.payload.phase)}`));
          break;
        case "tool.start":
          finishLine();
          note(
            `${style.dim("·")} ${showControls(event.payload.name)} ${style.dim(callSummary(event.payload.args, io.columns()))}`,
          );
          break;
        case "tool.result":
          if (!event.payload.ok)
            note(style.red(`  ${lastLine(event.payload.result, io.columns())}`));
          break;
        case "turn.done":
        case "turn.error":
          finishLine();
          break;
        default:
          break;
      }
    },
    finishLine,
  };
}

/** How often the status line of a thought is drawn anew. */
const thoughtStepChars = 80;

/** What a call is about, in one line that hides nothing but its end. */
function callSummary(args: string, columns: number): string {
  return cut(showControls(callSubject(parseObject(args))), columns);
}

/** The arguments that say what a call is about, the most telling first; the model's own order says nothing. */
const subjectKeys = ["command", "pattern", "path", "url", "query", "question"];

/** The argument that says what a call is about, whole: the command, the path; "" where there is none. */
export function callSubject(args: Readonly<Record<string, unknown>>): string {
  if (Array.isArray(args["edits"])) {
    const paths = args["edits"].map((edit: { readonly path?: unknown } | null) =>
      String(edit?.path),
    );
    return [...new Set(paths)].join(", ");
  }
  const subject = subjectKeys.map((key) => args[key]).find((value) => value !== undefined);
  return typeof subject === "string" || subject === undefined
    ? (subject ?? "")
    : JSON.stringify(subject);
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** A failed command says how at its end; the reason of a refused call is its only line. */
function lastLine(result: string, columns: number): string {
  return cut(stripTerminalText(result).trim().split("\n").at(-1) ?? "", columns);
}

function cut(text: string, columns: number): string {
  const room = Math.max(20, columns - 20);
  return text.length <= room ? text : `${text.slice(0, room - 1)}…`;
}
