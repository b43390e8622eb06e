// How a failure ends a command: one line on stderr, the hint under it, the exit code of its kind. Never a
// stack trace, unless OPTA_DEBUG=1 asks for it.
import { exitCodeOf, exitCodes, toOptaError } from "../protocol/error.ts";
import { stripTerminalText } from "../base/terminal-text.ts";
import { OutputClosed, type Io } from "./output/io.ts";

/** Prints what was thrown and returns the exit code. A reader that left (OutputClosed) is no failure. */
export function reportError(thrown: unknown, io: Io, options: { readonly trace: boolean }): number {
  if (thrown instanceof OutputClosed) return exitCodes.done.exit;
  const error = toOptaError(thrown);
  const own = error.code !== "internal";
  const line = stripTerminalText(own ? error.message : `internal error: ${error.message}`);
  const hint = own ? error.hint : internalHint;
  const hintLines = (hint ?? "").split("\n").filter((each) => each.trim() !== "");
  const style = io.style(2);
  io.stderr.write(`${style.red("opta:")} ${line.trimEnd()}\n`);
  for (const each of hintLines) io.stderr.write(`  ${stripTerminalText(each)}\n`);
  if (options.trace && thrown instanceof Error) io.stderr.write(`${thrown.stack ?? ""}\n`);
  return exitCodeOf(error.code);
}

const internalHint =
  "this is a defect of opta: please report it, with `opta version` and what OPTA_DEBUG=1 prints";
