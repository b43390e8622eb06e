import { expect, test } from "bun:test";
import { sessionToMarkdown } from "../../src/store/session-markdown.ts";
import { messages, sessionOf } from "../support/shown-session.ts";

test("Markdown is whole, with fences that no content can close", () => {
  expect(sessionToMarkdown(sessionOf(messages))).toBe(`# why does it

- Session: \`abc\`
- Workspace: \`/w\`
- Created: \`2026-01-01\`
- Updated: \`2026-01-02\`

## You

why does it
fail?

## opta

### Call of \`read_file\`

\`\`\`json
{"path":"a.ts"}
\`\`\`

### Result of \`read_file\`

\`\`\`\`
\`\`\`
let a
\`\`\`
\`\`\`\`

## opta

A typo.

## You

and this?
[image]
`);
});
