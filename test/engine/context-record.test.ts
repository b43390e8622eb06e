import { describe, expect, test } from "bun:test";
import {
  readContextRecord,
  readPromptCount,
  updateContextRecord,
} from "../../src/engine/context-record.ts";
import { newSessionFile } from "../../src/engine/session.ts";
import type { Message } from "../../src/protocol/message.ts";

const file = () =>
  newSessionFile({
    workspace: "/w",
    path: undefined,
    model: "m",
    title: "t",
    messages: [],
    now: new Date(0),
  });

describe("the record in the session file", () => {
  test("starts with defaults, and what is changed is found again", () => {
    const session = file();
    expect(readContextRecord(session)).toEqual({ ratio: 1, trimTold: false, compactions: 0 });
    updateContextRecord(session, { ratio: 1.2 });
    updateContextRecord(session, { compactions: 1 });
    const saved = JSON.parse(JSON.stringify(session));
    expect(readContextRecord(saved)).toEqual({ ratio: 1.2, trimTold: false, compactions: 1 });
  });
  test.each([17, "x", null, { ratio: "much", compactions: -1 }, { ratio: 99 }])(
    "%j, written by somebody else, is read as defaults",
    (value) => {
      const found = readContextRecord({ ...file(), optaContext: value });
      expect(found).toEqual({ ratio: 1, trimTold: false, compactions: 0 });
    },
  );
});

describe("what usage.prompt_tokens says", () => {
  const messages: readonly Message[] = [
    { role: "system", content: "s".repeat(4000) },
    { role: "user", content: "u".repeat(12_000) },
  ];
  const tools = [
    {
      type: "function" as const,
      function: { name: "f", description: "d".repeat(3000), parameters: {} },
    },
  ];
  const read = (promptTokens: number) => readPromptCount({ messages, tools, promptTokens });

  test("LMX's own characters / 4, without the tools, teaches nothing", () => {
    expect(read(4000)).toEqual({ kind: "unknown" });
    expect(read(4002)).toEqual({ kind: "unknown" });
  });
  test("a tokenizer's count gives the ratio, up and down", () => {
    expect(read(7000)).toMatchObject({ kind: "ratio", ratio: expect.closeTo(1.17, 1) });
    expect(read(4700)).toMatchObject({ kind: "ratio", ratio: expect.closeTo(0.79, 1) });
  });
  test("counts that no tokenizer makes are not believed", () => {
    expect(read(0)).toEqual({ kind: "unknown" });
    expect(read(60_000)).toEqual({ kind: "unknown" });
    expect(read(3000)).toEqual({ kind: "unknown" });
  });
  test("less than half of the least there can be means that the server trimmed", () => {
    expect(read(1900)).toEqual({ kind: "trimmed", sentTokens: 4000 });
  });
  test("in a short conversation nobody can tell", () => {
    const short: readonly Message[] = [{ role: "user", content: "u".repeat(4000) }];
    expect(readPromptCount({ messages: short, tools: [], promptTokens: 3 })).toEqual({
      kind: "unknown",
    });
  });
});
