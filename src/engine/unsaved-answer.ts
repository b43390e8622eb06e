// The part of an answer that was told and then lost its process before the session's file had it: put together from
// the stored events, so that the transcript keeps what somebody has read.
import type { OptaEvent } from "../protocol/event.ts";
import type { Message } from "../protocol/message.ts";
import type { EventStore } from "../store/event-store.ts";
import { noAnswer } from "./message-history.ts";

const batch = 512;

/**
 * What a turn said since its last tool call; what turned out to be reasoning is left out.
 * @param afterSeq the seq of its turn.queued
 */
export function readUnsavedAnswer(
  events: Pick<EventStore, "read">,
  turn: { readonly sessionId: string; readonly turnId: string; readonly afterSeq: number },
): string {
  const { sessionId, turnId } = turn;
  let text = "";
  let cursor = turn.afterSeq;
  for (;;) {
    const stored = events.read(sessionId, cursor, batch);
    for (const each of stored) {
      const event = JSON.parse(each.text) as OptaEvent;
      if (!("turnId" in event.payload) || event.payload.turnId !== turnId) continue;
      if (event.event === "turn.token") text += event.payload.text;
      else if (event.event === "turn.thinking" && event.payload.text === text) text = "";
      else if (event.event === "tool.start") text = "";
    }
    const last = stored.at(-1);
    if (last === undefined) return text;
    cursor = last.seq;
  }
}

/** The messages with an interrupted answer where the turn has none yet; unchanged where it has it. */
export function withAnswer(
  messages: readonly Message[],
  { turnId, text }: { readonly turnId: string; readonly text: string },
): Message[] {
  const asked = messages.findIndex((message) => message["turnId"] === turnId);
  if (text === "" || asked < 0) return [...messages];
  const next = messages.findIndex(({ role }, index) => index > asked && role === "user");
  const end = next < 0 ? messages.length : next;
  const last = messages[end - 1];
  const isStandIn = last?.role === "assistant" && last.content === noAnswer;
  if (last?.role === "assistant" && !isStandIn) return [...messages];
  const answer: Message = { role: "assistant", content: text, interrupted: true };
  return [...messages.slice(0, isStandIn ? end - 1 : end), answer, ...messages.slice(end)];
}
