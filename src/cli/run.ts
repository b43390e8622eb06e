// The process edge of the command line: real streams and environment in, exit code out. Nothing else
// calls process.exit.
import { readEnvironment } from "../config/environment.ts";
import { createContextParts } from "./context.ts";
import { runCommandLine } from "./dispatch.ts";
import { reportError } from "./errors.ts";
import { createIo } from "./output/io.ts";
import { commandTable } from "./table.ts";

/** Runs the command and ends the process. Writes are synchronous, so exiting at once loses nothing. */
export async function run(words: readonly string[]): Promise<never> {
  const environment = readEnvironment();
  const { NO_COLOR: noColor, TERM: terminal, OPTA_DEBUG: debug } = environment.variables;
  // https://no-color.org: set and not empty means none.
  const io = createIo({ colours: !noColor && terminal !== "dumb" });
  const die = (thrown: unknown) => process.exit(reportError(thrown, io, { trace: debug === "1" }));
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
  const parts = createContextParts({ io, environment });
  process.exit(await runCommandLine(words, commandTable, parts));
}
