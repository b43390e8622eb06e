import { describe, expect, test } from "bun:test";
import { sessionToText } from "../../../src/cli/output/session-text.ts";
import { createStyle } from "../../../src/cli/output/style.ts";
import type { Message } from "../../../src/protocol/message.ts";
import type { SessionFile } from "../../../src/protocol/session.ts";

const messages: readonly Message[] = [
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

function sessionOf(list: readonly Message[]): SessionFile {
  return {
    id: "abc",
    title: "why\u001b[2J does it",
    messages: [...list],
    metadata: { workspace: "/w", model: "", createdAt: "2026-01-01", updatedAt: "2026-01-02" },
  } as unknown as SessionFile;
}

describe("for a terminal", () => {
  test("shows who said what, without system messages and without terminal control", () => {
    expect(sessionToText(sessionOf(messages), createStyle(false))).toBe(`why does it
abc · /w · 2026-01-02

you
  why does it
  fail?

opta
  read_file {"path":"a.ts"}

result of read_file
  \`\`\`
  let a
  \`\`\`

opta
  A typo.

you
  and this?
  [image]
`);
  });

  test("long tool results are cut and say by how much", () => {
    const content = Array.from({ length: 40 }, (_, index) => `line ${index}`).join("\n");
    const text = sessionToText(sessionOf([{ role: "tool", content }]), createStyle(false));
    expect(text).toContain("  line 11\n  … 28 more lines\n");
    expect(text).not.toContain("line 12");
  });
});
