// A conversation with all that shows it to people has to cope with: calls, fences, escape sequences, images.
import type { Message } from "../../src/protocol/message.ts";
import type { SessionFile } from "../../src/protocol/session.ts";

export const messages: readonly Message[] = [
  { role: "system", content: "You are opta." },
  { role: "user", content: "why does it\nfail?" },
  {
    role: "assistant",
    content: null,
    tool_calls: [
      { id: "c1", type: "function", function: { name: "read_file", arguments: '{"path":"a.ts"}' } },
    ],
  },
  { role: "tool", content: "```\nlet a\n```", tool_call_id: "c1" },
  { role: "assistant", content: "\u001b]0;owned\u0007A \u001b[31mtypo\u001b[0m.\n" },
  {
    role: "user",
    content: [
      { type: "text", text: "and this?" },
      { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } },
    ],
  },
];

export function sessionOf(list: readonly Message[]): SessionFile {
  return {
    id: "abc",
    title: "why\u001b[2J does it",
    messages: [...list],
    metadata: { workspace: "/w", model: "", createdAt: "2026-01-01", updatedAt: "2026-01-02" },
  } as unknown as SessionFile;
}
