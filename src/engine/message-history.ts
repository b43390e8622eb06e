// Rules that every list of messages must keep before it is sent: each tool call has its result, and roles
// alternate (contracts/text-tool-calls.md, "What local servers do to requests"). Pure.
import type { Message } from "../protocol/message.ts";

/** What the model reads in place of a result that never came. */
export const interruptedResult = "[interrupted: this call did not finish]";
/** Stands in for an answer that never came, so that roles still alternate. */
export const noAnswer = "[no answer]";
export const noAnswerMessage: Message = {
  role: "assistant",
  content: noAnswer,
  interrupted: true,
};

/**
 * The same messages with a result for every tool call and an answer for every user message. Only adds, and
 * only where something is missing: a healthy list comes back as it is, byte for byte.
 */
export function completeHistory(messages: readonly Message[]): Message[] {
  const complete: Message[] = [];
  for (let index = 0; index < messages.length; index++) {
    const message = messages[index] as Message;
    const previous = complete.at(-1);
    if (message.role === "user" && previous?.role === "user") {
      complete.push(noAnswerMessage);
    }
    complete.push(message);
    if (!message.tool_calls?.length) continue;
    const answered = new Set<string>();
    while (messages[index + 1]?.role === "tool") {
      const result = messages[++index] as Message;
      complete.push(result);
      if (result.tool_call_id !== undefined) answered.add(result.tool_call_id);
    }
    for (const call of message.tool_calls) {
      if (!answered.has(call.id)) complete.push(toolResultMessage(call.id, interruptedResult));
    }
  }
  // A turn that died behind its tool results, or before any answer.
  const last = complete.at(-1);
  if (last?.role === "user" || last?.role === "tool") {
    complete.push(noAnswerMessage);
  }
  return complete;
}

/** Sent once a turn to a model that answered with nothing (contracts/text-tool-calls.md rule 8); the same bytes always. */
export const nudgeMessage: Message = {
  role: "user",
  content: "[automatic] Your last answer was empty. Go on with the task: call a tool, or answer.",
  nudge: true,
};

/** True for a message that opta wrote in the user's place. */
export function isNudge(message: Message): boolean {
  return message["nudge"] === true;
}

export function toolResultMessage(callId: string, text: string): Message {
  return { role: "tool", tool_call_id: callId, content: text };
}
