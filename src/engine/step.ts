// One model request: stream it, tell what comes, and hand back what the model said as a whole. A step never
// decides what happens next; that is the turn.
import type {
  ChatRequest,
  ProviderEvent,
  ProviderToolCall,
  ResolvedModel,
  Usage,
} from "../providers/provider.ts";
import { assertNever } from "../base/assert-never.ts";
import type { TurnContext } from "./turn-context.ts";

type ProviderFailure = Extract<ProviderEvent, { type: "error" }>;

/** What one model request came to. `text` is byte for byte what was streamed, complete or not, less what turned out to be reasoning. */
export interface StepResult {
  readonly text: string;
  readonly thinking: string;
  readonly calls: readonly ProviderToolCall[];
  /** What the provider wants to find in the message when it is sent again. */
  readonly keep: Readonly<Record<string, unknown>>;
  /** The model that answered, where it is not the one that was asked. */
  readonly answeredBy: ResolvedModel | undefined;
  readonly ending:
    | {
        readonly kind: "done";
        readonly finishReason: "stop" | "tool_calls" | "length";
        readonly usage: Usage | null;
      }
    | { readonly kind: "failed"; readonly failure: ProviderFailure }
    | { readonly kind: "aborted" };
}

export async function runStep(request: ChatRequest, turn: TurnContext): Promise<StepResult> {
  const { session, turnId, signal } = turn;
  const texts: string[] = [];
  const thoughts: string[] = [];
  const calls: ProviderToolCall[] = [];
  let keep: StepResult["keep"] = {};
  let answeredBy: StepResult["answeredBy"];
  let ending: StepResult["ending"] = { kind: "aborted" };

  for await (const event of turn.provider.stream(request, signal)) {
    switch (event.type) {
      case "text":
        turn.counters.firstTokenMs ??= performance.now();
        texts.push(event.text);
        session.emit("turn.token", { turnId, text: event.text });
        break;
      case "thinking":
        turn.counters.firstTokenMs ??= performance.now();
        thoughts.push(event.text);
        session.emit("turn.thinking", { turnId, text: event.text });
        break;
      case "text_was_thinking": {
        // Told once more on the right channel: what was shown stays shown, what is kept is right.
        const text = texts.splice(0).join("");
        thoughts.push(text);
        session.emit("turn.thinking", { turnId, text });
        break;
      }
      case "tool_call":
        calls.push(event.call);
        break;
      case "progress":
        session.emit("turn.progress", {
          turnId,
          phase: event.phase ?? "waiting",
          message: event.message,
          provider: event.provider ?? turn.provider.id,
        });
        break;
      case "model":
        answeredBy = event.resolved;
        break;
      case "done":
        countUsage(event.usage, turn);
        keep = event.keep ?? {};
        ending = { kind: "done", finishReason: event.finishReason, usage: event.usage };
        break;
      case "error":
        ending = { kind: "failed", failure: event };
        break;
      default:
        assertNever(event);
    }
  }
  if (signal.aborted) ending = { kind: "aborted" };
  return { text: texts.join(""), thinking: thoughts.join(""), calls, keep, answeredBy, ending };
}

function countUsage(usage: Usage | null, turn: TurnContext): void {
  turn.counters.promptTokens += usage?.promptTokens ?? 0;
  turn.counters.completionTokens += usage?.completionTokens ?? 0;
}
