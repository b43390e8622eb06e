// A streamed answer as one whole, for requests with `"stream": false`.
import type { EngineEvent, EngineToolCall } from "./engine.ts";

export interface CollectedAnswer {
  readonly text: string;
  readonly thinking: string;
  readonly calls: readonly EngineToolCall[];
  /** The event that ended it, or undefined when none did (an abort). */
  readonly end: EngineEvent | undefined;
}

export async function collectAnswer(
  batches: AsyncIterable<readonly EngineEvent[]>,
): Promise<CollectedAnswer> {
  let text = "";
  let thinking = "";
  let end: EngineEvent | undefined;
  const calls: EngineToolCall[] = [];
  for await (const batch of batches) {
    for (const event of batch) {
      if (event.type === "text") text += event.text;
      else if (event.type === "thinking") thinking += event.text;
      else if (event.type === "tool_call") addCall(calls, event.call);
      else if (event.type !== "raw") end = event;
    }
  }
  return { text, thinking, calls, end };
}

/** A call that bears no name continues the one before it. */
function addCall(calls: EngineToolCall[], call: EngineToolCall): void {
  const before = calls.at(-1);
  if (call.name !== undefined || !before) calls.push(call);
  else
    calls[calls.length - 1] = {
      ...before,
      arguments: `${String(before.arguments)}${String(call.arguments)}`,
    };
}
