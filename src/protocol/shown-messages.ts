// What of a session's messages people see, wherever they are shown or exported. System messages are left out:
// they are the same in every session. Pure; making the texts harmless is up to who shows them.
import type { Message } from "./message.ts";
import { spokenText } from "./turn-facts.ts";

export function shownMessages(messages: readonly Message[]): readonly Message[] {
  return messages.filter((message) => message.role !== "system");
}

/** The name of the tool behind each call id, for results, which carry the id alone. */
export function toolNamesById(messages: readonly Message[]): ReadonlyMap<string, string> {
  const calls = messages.flatMap((message) => message.tool_calls ?? []);
  return new Map(calls.map((call) => [call.id, call.function.name]));
}

/** What was said, without the space around it; an image is "[image]". */
export function shownText(message: Message): string {
  const images = Array.isArray(message.content)
    ? message.content.filter((part) => part.type === "image_url").length
    : 0;
  return [spokenText(message).trim(), ...Array<string>(images).fill("[image]")]
    .filter((text) => text !== "")
    .join("\n");
}
