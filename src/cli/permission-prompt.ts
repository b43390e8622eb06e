// Questions to the person at the terminal, on stderr: what would happen, then yes, no, or always for this
// session. What was typed before the question appeared does not count as an answer.
import { stripTerminalText } from "../base/terminal-text.ts";
import type { EventPayload } from "../protocol/event.ts";
import type { OperationParams } from "../protocol/operations.ts";
import type { Io } from "./output/io.ts";
import { callSummary } from "./turn-surface.ts";

type Request = EventPayload<"permission.request">;
/** The part of permission.resolve that the person decides. */
export type Answer = Pick<
  OperationParams<"permission.resolve">,
  "decision" | "always" | "answer" | "reason" | "unattended"
>;

/** Lines of a diff that fit a question; the rest is counted. */
const previewLines = 60;
/** Time in which typed-ahead lines arrive and are thrown away. */
const typedAheadMs = 30;

export interface PermissionPrompt {
  ask(request: Request): Promise<Answer>;
}

export function createPermissionPrompt(io: Io): PermissionPrompt {
  const lines = createLineReader();
  const style = io.style(2);

  async function askQuestion(question: string): Promise<Answer> {
    io.stderr.write(
      `\n${style.bold("opta asks:")} ${stripTerminalText(question)}\n${style.dim("answer:")} `,
    );
    const answer = (await lines.next())?.trim();
    if (answer) return { decision: "allow", answer };
    return {
      decision: "deny",
      reason: "the user gave no answer; decide yourself or say what you need",
    };
  }

  return {
    async ask(request) {
      await lines.discardTypedAhead();
      if (request.question !== undefined) return askQuestion(request.question);
      io.stderr.write(describe(request, io));
      for (;;) {
        io.stderr.write(`${style.bold("Allow?")} [y]es  [n]o  [a]lways in this session: `);
        const line = await lines.next();
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
          default:
            break;
        }
      }
    },
  };
}

function describe(request: Request, io: Io): string {
  const style = io.style(2);
  const subject = callSummary(JSON.stringify(request.args), 10_000);
  const preview = request.preview === undefined ? "" : `${shownPreview(request.preview, io)}\n`;
  return `\n${style.bold(request.toolName)} ${subject}\n${preview}${style.dim(request.reason)}\n`;
}

function shownPreview(preview: string, io: Io): string {
  const style = io.style(2);
  const lines = stripTerminalText(preview).trimEnd().split("\n");
  const shown = lines.slice(0, previewLines).map((line) => {
    if (line.startsWith("+")) return style.green(line);
    if (line.startsWith("-")) return style.red(line);
    return line;
  });
  const hidden = lines.length - shown.length;
  return [...shown, ...(hidden > 0 ? [style.dim(`… ${hidden} more lines`)] : [])].join("\n");
}

/** Lines of stdin, read from the first call on. */
function createLineReader() {
  const waiting: string[] = [];
  let reading: Promise<void> | undefined;
  let wake: (() => void) | undefined;
  let ended = false;

  async function read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of Bun.stdin.stream()) {
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
    /** Undefined at the end of input. */
    async next(): Promise<string | undefined> {
      while (waiting.length === 0 && !ended) await new Promise<void>((resolve) => (wake = resolve));
      return waiting.shift();
    },
  };
}
