// One turn of a scenario as engine events: what is said, in which chunks, and where the fault strikes. Lazy,
// so that an endless answer costs nothing until it is read; it knows no time and no socket.
import { estimateTokens } from "./chat-request.ts";
import type { ChatRequestBody } from "./chat-request.ts";
import type { ChatContext, EngineEvent } from "./engine.ts";
import type { ScenarioTurn } from "./scenario.ts";

type Fault = NonNullable<ScenarioTurn["fault"]>;
type PlacedFault = Extract<Fault, { readonly atChunk: number }>;

export interface PlayedTurn {
  readonly turn: ScenarioTurn;
  /** The count of the model request, from 0; makes ids of calls unique. */
  readonly requestNumber: number;
  readonly request: ChatRequestBody;
  readonly context: ChatContext;
}

/** The events in order. After a fault that ends the stream nothing follows; a raw turn has no finish. */
export function* turnEvents(played: PlayedTurn): Generator<EngineEvent> {
  const { turn, context } = played;
  const fault = turn.fault && "atChunk" in turn.fault ? turn.fault : undefined;
  const raw = rawChunks(played);
  let count = 0;
  for (const chunk of raw ?? spokenChunks(played)) {
    if (fault?.atChunk === count) {
      yield faultEvent(fault, context.transport);
      if (fault.kind !== "garbage") return;
    }
    yield chunk;
    count += 1;
  }
  if (fault && fault.atChunk >= count) {
    yield faultEvent(fault, context.transport);
    if (fault.kind !== "garbage") return;
  }
  if (!raw) yield finish(played, count);
}

function* spokenChunks({ turn, requestNumber, request }: PlayedTurn): Generator<EngineEvent> {
  const { thinking, thinkingAs, chunks, repeat } = turn;
  if (thinking !== "" && thinkingAs === "tags")
    yield* toText(split(`<think>${thinking}</think>`, chunks));
  else if (thinking !== "" && thinkingAs !== "tags")
    for (const text of split(thinking, chunks)) yield { type: "thinking", text, field: thinkingAs };
  yield* toText(typeof turn.text === "string" ? split(turn.text, chunks) : turn.text);
  if (repeat)
    for (let done = 0; done < repeat.times; done += 1) yield { type: "text", text: repeat.text };
  if (request.tool_choice === "none") return;
  for (const [position, call] of turn.toolCalls.entries())
    yield* toolCallEvents(call, { position, requestNumber });
}

function* toText(texts: readonly string[]): Generator<EngineEvent> {
  for (const text of texts) yield { type: "text", text };
}

/** Pieces that joined give the text again. */
function split(text: string, chunking: ScenarioTurn["chunks"]): readonly string[] {
  if (text === "") return [];
  if (chunking === "whole") return [text];
  if (chunking === "words") return text.match(/\s*\S+|\s+$/g) ?? [];
  const characters = [...text];
  const size = chunking.everyChars;
  const count = Math.ceil(characters.length / size);
  return Array.from({ length: count }, (_, k) =>
    characters.slice(k * size, (k + 1) * size).join(""),
  );
}

/** Characters a fragment of arguments has. */
const fragmentCharacters = 5;

function* toolCallEvents(
  call: ScenarioTurn["toolCalls"][number],
  { position, requestNumber }: { readonly position: number; readonly requestNumber: number },
): Generator<EngineEvent> {
  const madeUp = `call_${requestNumber.toString(16).padStart(16, "0")}${position.toString(16).padStart(8, "0")}`;
  const index = call.index === null ? undefined : (call.index ?? position);
  const id = call.id === null ? undefined : (call.id ?? madeUp);
  const text = typeof call.arguments === "string" ? call.arguments : JSON.stringify(call.arguments);
  if (call.as === "fragments") {
    const [first = "", ...rest] = split(text, { everyChars: fragmentCharacters });
    yield { type: "tool_call", call: { index, id, name: call.name, arguments: first } };
    for (const piece of rest) yield { type: "tool_call", call: { index, arguments: piece } };
    return;
  }
  const value = call.as === "object" ? call.arguments : text;
  yield { type: "tool_call", call: { index, id, name: call.name, arguments: value } };
}

function rawChunks({ turn, context }: PlayedTurn): readonly EngineEvent[] | undefined {
  const fill = (text: string) => text.replaceAll("$id", context.requestId);
  if (context.transport === "websocket")
    return turn.raw.ws?.map((frame) => ({
      type: "raw",
      data: fill(typeof frame === "string" ? frame : JSON.stringify(frame)),
    }));
  return turn.raw.sse?.map((piece) => ({
    type: "raw",
    data: typeof piece === "string" ? fill(piece) : Uint8Array.fromBase64(piece.base64),
  }));
}

function faultEvent(fault: PlacedFault, transport: ChatContext["transport"]): EngineEvent {
  switch (fault.kind) {
    case "drop":
      return { type: "drop" };
    case "close":
      return fault.code === 1006 ? { type: "drop" } : { type: "close", code: fault.code };
    case "error":
      return { ...fault, type: "error" };
    case "garbage":
      if (fault.binary) return { type: "raw", data: new TextEncoder().encode(fault.text) };
      return {
        type: "raw",
        data: transport === "websocket" ? fault.text : `data: ${fault.text}\n\n`,
      };
    case "silence":
      return { type: "silence" };
  }
}

function finish({ turn, request }: PlayedTurn, chunks: number): EngineEvent {
  const callsTools = turn.toolCalls.length > 0 && request.tool_choice !== "none";
  const counted = { promptTokens: estimateTokens(request.messages), completionTokens: chunks };
  return {
    type: "done",
    finishReason: turn.finishReason ?? (callsTools ? "tool_calls" : "stop"),
    usage: turn.usage === undefined ? counted : turn.usage,
    usageIn: turn.usageIn,
    endMarker: turn.fault?.kind !== "no-end-marker",
  };
}
