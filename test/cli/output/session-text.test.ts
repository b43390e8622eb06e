import { describe, expect, test } from "bun:test";
import { sessionToText } from "../../../src/cli/output/session-text.ts";
import { createStyle } from "../../../src/cli/output/style.ts";
import { messages, sessionOf } from "../../support/shown-session.ts";

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
