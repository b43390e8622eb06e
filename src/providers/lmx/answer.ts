// One answer while it arrives: passes text on at once and byte for byte, gathers tool calls, and says at
// the end what it was: done, cut by max_tokens, or empty (contracts/lmx.md row 8). Knows no transport.
import type { ProviderEvent, Usage } from "../provider.ts";
import type { Frame } from "./frames.ts";
import type { Fault } from "./http-errors.ts";
import { createToolCallAssembly } from "./tool-call-assembly.ts";

/** How one request over one transport ended. */
export type Ending =
  /** The server said that the answer is over. */
  | { readonly kind: "complete" }
  /** The stream broke off; `how` completes "HOST …". */
  | { readonly kind: "cut"; readonly how: string }
  | { readonly kind: "fault"; readonly fault: Fault }
  /** The server could not be reached at all, so that nothing was asked. */
  | { readonly kind: "unreachable"; readonly reason: string }
  /** Nothing came for `afterMs`. */
  | { readonly kind: "silent"; readonly afterMs: number }
  /** The caller's signal; nobody listens any more. */
  | { readonly kind: "aborted" };

export interface Answer {
  /** Takes what a frame carries. True when it carried a part of the answer. */
  take(frame: Frame): boolean;
  /** True once anything reached the reader or a tool call began: from here nothing is asked again. */
  hasBegun(): boolean;
  hasFinishReason(): boolean;
  /** True when the server ended the answer on a cancel that was not ours. */
  wasCancelled(): boolean;
  /** How far it came: "after 120 characters", for messages. */
  extent(): string;
  /** For a complete answer: its tool calls and `done`, or the error that it is. */
  conclude(): readonly ProviderEvent[];
}

export function createAnswer(options: {
  readonly emit: (event: ProviderEvent) => void;
  readonly maxTokens: number;
  /** "host:port", for messages. */
  readonly server: string;
}): Answer {
  const { emit, maxTokens, server } = options;
  const assembly = createToolCallAssembly();
  let textChars = 0;
  let thinkingChars = 0;
  let callsBegun = false;
  let finishReason: string | undefined;
  let usage: Usage | null = null;

  /** The one place through which text passes; tool calls and reasoning written as text are told apart here. */
  const passText = (text: string) => {
    textChars += text.length;
    emit({ type: "text", text });
  };

  return {
    take(frame) {
      let carried = false;
      if (frame.thinking !== undefined && frame.thinking !== "") {
        thinkingChars += frame.thinking.length;
        emit({ type: "thinking", text: frame.thinking });
        carried = true;
      }
      if (frame.text !== undefined && frame.text !== "") {
        passText(frame.text);
        carried = true;
      }
      for (const fragment of frame.toolCalls ?? []) {
        assembly.add(fragment);
        callsBegun = true;
        carried = true;
      }
      if (frame.finishReason !== undefined) finishReason = frame.finishReason;
      if (frame.usage !== undefined) usage = frame.usage;
      return carried;
    },
    hasBegun: () => textChars + thinkingChars > 0 || callsBegun,
    hasFinishReason: () => finishReason !== undefined,
    wasCancelled: () => finishReason === "cancelled",
    extent() {
      const calls = callsBegun ? " and the beginning of a tool call" : "";
      if (textChars === 0)
        return callsBegun ? "after the beginning of a tool call" : "before any text";
      return `after ${textChars} characters${calls}`;
    },
    conclude() {
      const isCut =
        finishReason === "length" ||
        finishReason === "max_tokens" ||
        (usage !== null && usage.completionTokens >= maxTokens);
      const calls = isCut ? assembly.wholeCalls() : assembly.calls();
      const lostCalls =
        calls.length === 0 && /^(tool_calls|function_call)$/.test(finishReason ?? "");
      if (lostCalls && !isCut) {
        return [failed("model-server-failed", `${server} announced tool calls but sent none`)];
      }
      const reason = isCut ? "length" : calls.length > 0 ? "tool_calls" : "stop";
      return [
        ...calls.map((call) => ({ type: "tool_call", call }) as const),
        { type: "done", finishReason: reason, usage },
      ];
    },
  };
}

function failed(code: "model-server-failed", message: string): ProviderEvent {
  return {
    type: "error",
    code,
    message,
    hint: "opta status   (then try again, or another model: opta models list)",
  };
}
