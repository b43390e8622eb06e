import { expect, test } from "bun:test";
import type { Message } from "../../src/protocol/message.ts";
import type { SessionFile } from "../../src/protocol/session.ts";
import { findInSession } from "../../src/cli/session-search.ts";

function sessionOf(title: string, messages: readonly Message[]): SessionFile {
  return { title, messages } as SessionFile;
}

test("finds the first line that has the text, in any case, and says who said it", () => {
  const session = sessionOf("A title", [
    { role: "user", content: "look at\nthe Login test\nplease" },
    { role: "assistant", content: "the login test is fine" },
  ]);
  expect(findInSession(session, "LOGIN")).toEqual({ where: "user", line: "the Login test" });
  expect(findInSession(session, "fine")).toMatchObject({ where: "assistant" });
  expect(findInSession(session, "title")).toEqual({ where: "title", line: "A title" });
  expect(findInSession(session, "nothing")).toBeUndefined();
});

test("system messages are not searched, text parts and tool results are", () => {
  const session = sessionOf("t", [
    { role: "system", content: "secret word" },
    { role: "user", content: [{ type: "text", text: "in a part" }] },
    { role: "tool", content: "in a result", tool_call_id: "c" },
  ]);
  expect(findInSession(session, "secret word")).toBeUndefined();
  expect(findInSession(session, "in a part")).toMatchObject({ where: "user" });
  expect(findInSession(session, "in a result")).toMatchObject({ where: "tool" });
});

test("a long line is cut around the place", () => {
  const line = `${"a".repeat(200)} needle ${"b".repeat(200)}`;
  const match = findInSession(sessionOf("t", [{ role: "user", content: line }]), "needle");
  expect(match?.line).toStartWith("…aaa");
  expect(match?.line).toContain(" needle ");
  expect(match?.line).toEndWith("bbb…");
  expect(match?.line.length).toBeLessThan(110);
});

test("a text that spans lines is found and shown from its message's beginning", () => {
  const session = sessionOf("t", [{ role: "user", content: "one two\nthree four" }]);
  expect(findInSession(session, "two\nthree")?.line).toBe("one two three four");
});
