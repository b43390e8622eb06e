import { describe, expect, test } from "bun:test";
import type { SessionFile } from "../../src/protocol/session.ts";
import { readSession, toSummary } from "../../src/store/session-shapes.ts";

const modifiedAt = "2026-03-03T00:00:00.000Z";
const messages = [
  { role: "user", content: "fix the bug" },
  {
    role: "assistant",
    content: null,
    tool_calls: [{ id: "c1", type: "function", function: { name: "read_file", arguments: "{}" } }],
  },
  { role: "tool", content: "ok", tool_call_id: "c1" },
];

function read(value: unknown): SessionFile {
  const reading = readSession(value, { id: "abc", modifiedAt });
  if (!reading.ok) throw new Error(reading.problem);
  return reading.session;
}

function problemOf(value: unknown): string | undefined {
  const reading = readSession(value, { id: "abc", modifiedAt });
  return reading.ok ? undefined : reading.problem;
}

describe("every shape of file is read", () => {
  test("ours comes back as it is, key for key", () => {
    const ours = {
      id: "abc",
      title: "Fix",
      messages,
      metadata: { workspace: "/w", model: "m", createdAt: "2026-01-01", updatedAt: "2026-01-02" },
      created: "2026-01-01",
      updated: "2026-01-02",
      model: "m",
      cwd: "/w",
      tags: ["x"],
      toolCallCount: 1,
      compacted: false,
      seq: 9,
    };
    expect(JSON.stringify(read(ours))).toBe(JSON.stringify(ours));
  });

  test("the existing CLI's, which has no metadata, also after it dropped ours", () => {
    const session = read({
      id: "abc",
      created: "2026-01-01T00:00:00Z",
      updated: "2026-01-02T00:00:00Z",
      model: "m",
      cwd: "/w",
      title: "Fix",
      messages,
      toolCallCount: 1,
      compacted: true,
    });
    expect(session.metadata).toEqual({
      workspace: "/w",
      model: "m",
      createdAt: "2026-01-01T00:00:00Z",
      updatedAt: "2026-01-02T00:00:00Z",
    });
    expect(session).toMatchObject({ tags: [], seq: 0, compacted: true });
  });

  test("the seed's, which has metadata only", () => {
    const metadata = { workspace: "/w", model: "m", createdAt: "1", updatedAt: "2" };
    expect(read({ id: "abc", title: "Fix", messages, metadata })).toMatchObject({
      created: "1",
      updated: "2",
      model: "m",
      cwd: "/w",
      toolCallCount: 1,
      compacted: false,
    });
  });

  test("the daemon's snapshot", () => {
    const session = read({
      sessionId: "abc",
      model: "m",
      title: "Fix",
      createdAt: "1",
      updatedAt: "2",
      messages,
      toolCallCount: 4,
      seq: 77,
    });
    expect(session).toMatchObject({
      id: "abc",
      created: "1",
      updated: "2",
      toolCallCount: 4,
      seq: 77,
    });
    expect(session.metadata).toEqual({ workspace: "", model: "m", createdAt: "1", updatedAt: "2" });
  });

  test("messages alone: title from the first prompt, times from the file", () => {
    expect(toSummary(read({ messages, title: null }))).toEqual({
      sessionId: "abc",
      title: "fix the bug",
      workspace: "",
      model: "",
      createdAt: modifiedAt,
      updatedAt: modifiedAt,
      tags: [],
      messageCount: 3,
    });
    expect(read({ messages: [] }).title).toBe("untitled");
  });

  test("the file's name decides the id, so that a copy never saves over its original", () => {
    expect(read({ id: "other", messages }).id).toBe("abc");
  });

  test("a message without content, beside tool calls, has null content", () => {
    const session = read({ messages: [{ role: "assistant", tool_calls: [] }] });
    expect(session.messages).toEqual([{ role: "assistant", tool_calls: [], content: null }]);
  });
});

test("unknown fields stay, in their order, at the top, in metadata, in messages and in tool calls", () => {
  const call = { index: 0, ...messages[1]?.tool_calls?.[0], extra: { deep: [1] } };
  const file = {
    zebra: 1,
    id: "abc",
    messages: [{ note: "x", role: "assistant", content: null, tool_calls: [call], pinned: true }],
    apple: { b: 1, a: 2 },
    metadata: {
      color: "red",
      updatedAt: "2",
      workspace: "/w",
      createdAt: "1",
      model: "m",
      last: 1,
    },
    title: "t",
  };
  const {
    zebra,
    id,
    messages: kept,
    apple,
    metadata,
    title,
  } = read(file) as unknown as typeof file;
  expect(JSON.stringify({ zebra, id, messages: kept, apple, metadata, title })).toBe(
    JSON.stringify(file),
  );
  expect(Object.keys(read(file)).slice(0, 6)).toEqual(Object.keys(file));
});

test.each([
  [[], "it is not a JSON object"],
  [null, "it is not a JSON object"],
  ["text", "it is not a JSON object"],
  [{}, "messages: "],
  [{ messages: {} }, "messages: "],
  [{ messages: [null] }, "messages.0: "],
  [{ messages: [{ role: "robot", content: "" }] }, "messages.0.role: "],
  [{ messages: [{ role: "user", content: 5 }] }, "messages.0.content: "],
  [{ messages: [{ role: "assistant", content: "", tool_calls: [{}] }] }, "messages.0.tool_calls.0"],
  [{ messages: [], title: 5 }, "title: "],
  [{ messages: [], metadata: [] }, "metadata: "],
  [{ messages: [], metadata: { workspace: 5 } }, "metadata.workspace: "],
  [{ messages: [], seq: "9" }, "seq: "],
])("%j is refused with its problem", (value, problem) => {
  expect(problemOf(value)).toStartWith(problem);
});
