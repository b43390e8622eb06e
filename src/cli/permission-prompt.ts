// Questions to the person at the terminal, on stderr: what would happen, then yes, no, or always for this
// session. What was typed before the question appeared does not count as an answer.
import { showControls } from "../base/terminal-text.ts";
import type { EventPayload } from "../protocol/event.ts";
import type { OperationParams } from "../protocol/operations.ts";
import type { Io } from "./output/io.ts";
import { callSubject } from "./turn-surface.ts";

type Request = EventPayload<"permission.request">;
/** The part of permission.resolve that the person decides. */
export type Answer = Pick<
  OperationParams<"permission.resolve">,
  "decision" | "always" | "answer" | "reason" | "unattended"
>;

/** Lines of a diff that fit a question; `v` shows the rest. */
const previewLines = 60;
/** Time in which typed-ahead lines arrive and are thrown away. */
const typedAheadMs = 30;

export interface PermissionPrompt {
  /** Undefined once `signal` takes the question back. */
  ask(request: Request, signal: AbortSignal): Promise<Answer | undefined>;
}

/** @param input where the person types: the terminal, whatever stdin is */
export function createPermissionPrompt(
  io: Io,
  input: () => AsyncIterable<Uint8Array>,
): PermissionPrompt {
  const lines = createLineReader(input);
  const style = io.style(2);

  async function askQuestion(question: string, signal: AbortSignal): Promise<Answer | undefined> {
    const shown = question.split("\n").map(showLine).join("\n");
    io.stderr.write(`\n${style.bold("opta asks:")} ${shown}\n${style.dim("answer:")} `);
    const answer = (await lines.next(signal))?.trim();
    if (signal.aborted) return undefined;
    if (answer) return { decision: "allow", answer };
    return {
      decision: "deny",
      reason: "the user gave no answer; decide yourself or say what you need",
    };
  }

  return {
    async ask(request, signal) {
      await lines.discardTypedAhead();
      if (request.question !== undefined) return askQuestion(request.question, signal);
      const diff = (request.preview ?? "").trimEnd().split("\n");
      const clipped = diff.length > previewLines;
      io.stderr.write(describe(request, { diff, io }));
      const choices = `[y]es  [n]o  [a]lways in this session${clipped ? "  [v]iew all" : ""}`;
      for (;;) {
        io.stderr.write(`${style.bold("Allow?")} ${choices}, then Enter: `);
        const line = await lines.next(signal);
        if (signal.aborted) return undefined;
        if (line === undefined)
          return { decision: "deny", reason: "the terminal was closed", unattended: true };
        switch (line.trim().toLowerCase()) {
          case "y":
          case "yes":
            return { decision: "allow" };
          case "a":
          case "always":
            return { decision: "allow", always: true };
          case "n":
          case "no":
            return { decision: "deny" };
          case "v":
          case "view":
            io.stderr.write(showDiff(diff, io));
            break;
          default:
            break;
        }
      }
    },
  };
}

/** All that would happen, with nothing left out or hidden: what is not seen is not approved (promises G3). */
function describe(
  request: Request,
  { diff, io }: { readonly diff: readonly string[]; readonly io: Io },
): string {
  const style = io.style(2);
  const subject = callSubject(request.args).split("\n").map(showLine);
  const oneLine = subject.length === 1;
  const heading = oneLine
    ? `${style.bold(request.toolName)} ${subject[0]}`
    : style.bold(request.toolName);
  const shown = diff.slice(0, previewLines);
  const hidden = diff.length - shown.length;
  return [
    "",
    heading,
    ...(oneLine ? [] : subject.map((line) => `  ${line}`)),
    ...(request.preview === undefined ? [] : [showDiff(shown, io).trimEnd()]),
    ...(hidden > 0 ? [style.dim(`… ${hidden} more lines`)] : []),
    style.dim(showControls(request.reason)),
    "",
  ].join("\n");
}

function showDiff(lines: readonly string[], io: Io): string {
  const style = io.style(2);
  const shown = lines.map(showLine).map((line) => {
    if (line.startsWith("+")) return style.green(line);
    if (line.startsWith("-")) return style.red(line);
    return line;
  });
  return `${shown.join("\n")}\n`;
}

/** Every character that acts or hides as an escape; tabs stay, since code is full of them. */
function showLine(line: string): string {
  return line.split("\t").map(showControls).join("\t");
}

/** Lines of the input, read from the first call on. */
function createLineReader(input: () => AsyncIterable<Uint8Array>) {
  const waiting: string[] = [];
  let reading: Promise<void> | undefined;
  let wake: (() => void) | undefined;
  let ended = false;

  async function read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of input()) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      waiting.push(...parts);
      wake?.();
    }
    ended = true;
    wake?.();
  }

  return {
    async discardTypedAhead(): Promise<void> {
      reading ??= read();
      await Bun.sleep(typedAheadMs);
      waiting.length = 0;
    },
    /** Undefined at the end of input, and when `signal` ends the wait. */
    async next(signal: AbortSignal): Promise<string | undefined> {
      const stop = () => wake?.();
      signal.addEventListener("abort", stop, { once: true });
      while (waiting.length === 0 && !ended && !signal.aborted) {
        await new Promise<void>((resolve) => (wake = resolve));
      }
      signal.removeEventListener("abort", stop);
      return signal.aborted ? undefined : waiting.shift();
    },
  };
}
