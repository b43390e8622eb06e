// One answer while it arrives: passes text on at once and byte for byte, tells calls and reasoning written
// as text apart, gathers tool calls, and says at the end what it was: done, cut by max_tokens, or empty
// (contracts/lmx.md rows 5, 6 and 8). Knows no transport.
import { isJson } from "../../base/is-json.ts";
import { createId } from "../../base/ids.ts";
import type { ProviderEvent, ProviderToolCall, ToolSchema, Usage } from "../provider.ts";
import { createKnownTools } from "../text-calls/known-tools.ts";
import { checkArguments, type TextCall } from "../text-calls/text-call.ts";
import { createTextReader, type ReaderEvent, type TextReader } from "../text-calls/text-reader.ts";
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
  /** For an answer that broke off: emits what was held back as the possible beginning of a tag. */
  release(): void;
  /** For a complete answer: its tool calls and `done`, or the error that it is. */
  conclude(): readonly ProviderEvent[];
}

export interface AnswerOptions {
  readonly emit: (event: ProviderEvent) => void;
  readonly maxTokens: number;
  /** "host:port", for messages. */
  readonly server: string;
  /** Those that were sent; without any no text is a call. */
  readonly tools?: readonly ToolSchema[];
  /** The model's template opens a thought that only its closing tag shows. */
  readonly opensInThought?: boolean;
  /** Told when an answer showed whether it does. */
  readonly onThoughtHabit?: (opensInThought: boolean) => void;
}

export function createAnswer(options: AnswerOptions): Answer {
  const { emit, maxTokens, server } = options;
  const tools = createKnownTools(options.tools ?? []);
  const assembly = createToolCallAssembly();
  const textCalls: TextCall[] = [];
  /** Calls that a model wrote while it thought, on a channel of its own. */
  const thoughtCalls: TextCall[] = [];
  let reader: TextReader | undefined;
  let thoughtReader: TextReader | undefined;
  let thought: ReturnType<TextReader["end"]>["thought"] = "closed";
  /** What was taken for reasoning because of the model's family alone. */
  let presumed = "";
  let receivedChars = 0;
  let textChars = 0;
  let hasText = false;
  let hasThinking = false;
  let callsBegun = false;
  let finishReason: string | undefined;
  let usage: Usage | null = null;

  const emitText = (event: Extract<ReaderEvent, { type: "text" }>) => {
    textChars += event.text.length;
    hasText ||= /\S/.test(event.text);
    emit(event);
  };
  const createReader = (opensInThought: boolean, calls: TextCall[]) =>
    createTextReader({
      tools: callsBegun ? createKnownTools([]) : tools,
      opensInThought,
      emit(event) {
        switch (event.type) {
          case "text":
            emitText(event);
            break;
          case "thinking":
            if (opensInThought && !hasText) presumed += event.text;
            emit(event);
            break;
          case "call":
            calls.push(event.call);
            break;
          case "text-was-thinking":
            textChars = 0;
            hasText = false;
            options.onThoughtHabit?.(true);
            emit({ type: "text_was_thinking" });
            break;
          case "dropped":
            break;
        }
      },
    });

  /** The one place through which text passes. */
  const passText = (text: string) => {
    receivedChars += text.length;
    endThought();
    reader ??= createReader(options.opensInThought === true && !hasThinking, textCalls);
    reader.push(text);
  };
  /** Reasoning on its own channel may hold calls as well (MiniMax). */
  const passThinking = (text: string) => {
    receivedChars += text.length;
    hasThinking = true;
    thoughtReader ??= createReader(true, thoughtCalls);
    thoughtReader.push(text);
  };
  const endThought = () => {
    thoughtReader?.end();
    thoughtReader = undefined;
  };
  const endReaders = () => {
    endThought();
    thought = reader?.end().thought ?? "closed";
    reader = undefined;
  };

  /** Structured calls win over those in text (contracts/text-tool-calls.md rule 1). */
  const calls = (isCut: boolean): readonly ProviderToolCall[] => {
    const gathered = isCut ? assembly.writtenCalls() : assembly.calls();
    if (gathered.length > 0) return gathered.flatMap((call) => checkCall(call, isCut));
    const written = textCalls.length > 0 || hasText ? textCalls : thoughtCalls;
    const taken = new Set<string>();
    return written.map(({ id: ownId = "", ...call }) => {
      const id = ownId === "" || taken.has(ownId) ? `call_${createId()}` : ownId;
      taken.add(id);
      return { id, ...call };
    });
  };
  const checkCall = (call: ProviderToolCall, isCut: boolean): readonly ProviderToolCall[] => {
    const tool = tools.find(call.name);
    // The last call of a cut answer may be half a call: of an unknown one only what parses is whole.
    if (tool === undefined) return isCut && !isJson(call.arguments) ? [] : [call];
    return [{ ...call, name: tool.name, ...checkArguments(tool, call.arguments, { isCut }) }];
  };

  return {
    take(frame) {
      let carried = false;
      if (frame.thinking !== undefined && frame.thinking !== "") {
        passThinking(frame.thinking);
        carried = true;
      }
      if (frame.text !== undefined && frame.text !== "") {
        passText(frame.text);
        carried = true;
      }
      for (const fragment of frame.toolCalls ?? []) {
        assembly.add(fragment);
        if (!callsBegun) {
          reader?.stopCalls();
          thoughtReader?.stopCalls();
        }
        callsBegun = true;
        carried = true;
      }
      if (frame.finishReason !== undefined) finishReason = frame.finishReason;
      if (frame.usage !== undefined) usage = frame.usage;
      return carried;
    },
    hasBegun: () => receivedChars > 0 || callsBegun,
    hasFinishReason: () => finishReason !== undefined,
    wasCancelled: () => finishReason === "cancelled",
    extent() {
      const begun = callsBegun ? " and the beginning of a tool call" : "";
      if (textChars === 0)
        return callsBegun ? "after the beginning of a tool call" : "before any text";
      return `after ${textChars} characters${begun}`;
    },
    release: endReaders,
    conclude() {
      endReaders();
      const isCut =
        finishReason === "length" ||
        finishReason === "max_tokens" ||
        (usage !== null && usage.completionTokens >= maxTokens) ||
        thought === "open";
      const concluded = calls(isCut);
      const isNothing = !hasText && concluded.length === 0 && !isCut;
      if (
        concluded.length === 0 &&
        !isCut &&
        /^(tool_calls|function_call)$/.test(finishReason ?? "")
      ) {
        return [failed("model-server-failed", `${server} announced tool calls but sent none`)];
      }
      if (isNothing && thought === "presumed" && presumed.trim() !== "") {
        // Never closed and not cut: the family's habit is not this server's. It was the answer.
        options.onThoughtHabit?.(false);
        emitText({ type: "text", text: presumed });
      }
      const reason = isCut ? "length" : concluded.length > 0 ? "tool_calls" : "stop";
      return [
        ...concluded.map((call) => ({ type: "tool_call", call }) as const),
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
