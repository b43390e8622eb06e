// Runs the text reader over text cut into chunks, and gathers what came out.
import type { ToolSchema } from "../../src/providers/provider.ts";
import { createKnownTools } from "../../src/providers/text-calls/known-tools.ts";
import type { TextCall } from "../../src/providers/text-calls/text-call.ts";
import { createTextReader, type ReaderEvent } from "../../src/providers/text-calls/text-reader.ts";
import { sampleTools } from "./text-call-samples.ts";

export interface TextReading {
  readonly text: string;
  readonly thinking: string;
  readonly calls: readonly TextCall[];
  readonly wasThinking: boolean;
  readonly thought: "closed" | "open" | "presumed";
  /** Every event's text joined: what came in. */
  readonly whole: string;
  readonly events: readonly ReaderEvent[];
}

export function readText(
  chunks: string | readonly string[],
  options: { readonly tools?: readonly ToolSchema[]; readonly opensInThought?: boolean } = {},
): TextReading {
  const events: ReaderEvent[] = [];
  const { tools = sampleTools, opensInThought = false } = options;
  const reader = createTextReader({
    tools: createKnownTools(tools),
    opensInThought,
    emit: (event) => events.push(event),
  });
  for (const chunk of typeof chunks === "string" ? [chunks] : chunks) reader.push(chunk);
  const { thought } = reader.end();
  const joined = (...types: readonly string[]) =>
    events
      .map((event) => ("text" in event && types.includes(event.type) ? event.text : ""))
      .join("");
  return {
    text: joined("text"),
    thinking: joined("thinking"),
    calls: events.flatMap((event) => (event.type === "call" ? [event.call] : [])),
    wasThinking: events.some((event) => event.type === "text-was-thinking"),
    thought,
    whole: joined("text", "thinking", "dropped"),
    events,
  };
}

/** What must not depend on how the text was cut. */
export function outcomeOf({ text, thinking, calls, wasThinking, thought, events }: TextReading) {
  const dropped = events.map((event) => (event.type === "dropped" ? event.text : "")).join("");
  return { text, thinking, calls, wasThinking, thought, dropped };
}
