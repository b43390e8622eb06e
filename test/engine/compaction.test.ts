import { describe, expect, test } from "bun:test";
import {
  joinSummary,
  maskText,
  oldResults,
  splitHistory,
  transcript,
  withMasks,
} from "../../src/engine/compaction.ts";
import { nudgeMessage } from "../../src/engine/message-history.ts";
import type { Message } from "../../src/protocol/message.ts";

const system: Message = { role: "system", content: "be good" };
const user = (content: string): Message => ({ role: "user", content });
const asks = (...ids: string[]): Message => ({
  role: "assistant",
  content: `asking ${ids.join()}`,
  reasoning: "hm",
  tool_calls: ids.map((id) => ({
    id,
    type: "function" as const,
    function: { name: "read_file", arguments: `{"path":"${id}"}` },
  })),
});
const result = (id: string, length = 1000): Message => ({
  role: "tool",
  tool_call_id: id,
  content: id.repeat(length),
});
const answer: Message = { role: "assistant", content: "done" };
const steps = (...ids: string[]) => ids.flatMap((id) => [asks(id), result(id)]);

describe("masking", () => {
  test("leaves the last four results, short ones and those of the step that was not read yet", () => {
    const history = [
      system,
      user("go"),
      ...steps("a", "b", "c", "d", "e"),
      asks("f"),
      result("f", 10),
    ];
    expect(oldResults(history).map(({ index }) => index)).toEqual([3, 5]);
    const wide = [
      system,
      user("go"),
      asks("a"),
      result("a"),
      asks(..."bcdefg"),
      ...[..."bcdefg"].map((id) => result(id)),
    ];
    expect(oldResults(wide).map(({ index }) => index)).toEqual([3]);
    expect(
      oldResults([system, user("go"), asks("a"), result("a", 20), ...steps(..."bcde")]),
    ).toEqual([]);
  });
  test("names the tool and how to get the text again", () => {
    const [first] = oldResults([user("go"), ...steps(..."abcde"), answer]);
    if (!first) throw new Error("nothing to mask");
    expect(maskText(first, undefined)).toBe(
      "[masked to save context: this result of read_file had 1,000 characters; if you need it, call it again]",
    );
    expect(maskText(first, "/s/x.txt")).toEndWith("its text is kept, read_file /s/x.txt]");
  });
  test("changes text and nothing else, drops the thoughts before it, and never masks twice", () => {
    const history = [user("go"), ...steps(..."abcde"), answer];
    const masked = withMasks(history, new Map([[2, "[masked]"]]));
    expect(masked[2]).toEqual({ ...result("a"), content: "[masked]", masked: true });
    expect(masked[1]).not.toHaveProperty("reasoning");
    expect(masked[3]).toHaveProperty("reasoning");
    expect(masked.slice(3)).toEqual(history.slice(3));
    const long = withMasks(history, new Map([[2, "x".repeat(500)]]));
    expect(oldResults(long)).toEqual([]);
  });
});

describe("splitting and joining", () => {
  const history = [
    system,
    user("one"),
    ...steps("a"),
    answer,
    user("two"),
    ...steps("b", "c", "d"),
  ];
  test("keeps the last step whatever it costs, and older ones while they fit", () => {
    const none = splitHistory(history, () => false);
    expect(none?.recent).toEqual(steps("d"));
    expect(none?.earlier).toEqual([user("one"), ...steps("a"), answer, ...steps("b", "c")]);
    expect(none?.user).toEqual(user("two"));
    const all = splitHistory(history, () => true);
    expect(all?.recent).toEqual(steps("b", "c", "d"));
    expect(all?.earlier).toEqual([user("one"), ...steps("a"), answer]);
  });
  test("a turn that just begins keeps no steps", () => {
    const parts = splitHistory([system, user("one"), answer, user("two")], () => true);
    expect(parts).toMatchObject({ recent: [], earlier: [user("one"), answer], user: user("two") });
  });
  test("an automatic message is not the user's last one, and stays with its step", () => {
    const empty: Message = { role: "assistant", content: "[no answer]" };
    const nudged = [system, user("one"), ...steps("a"), empty, nudgeMessage];
    expect(splitHistory(nudged, () => false)).toMatchObject({
      user: user("one"),
      recent: [empty, nudgeMessage],
    });
  });
  test("without a user's message there is nothing to split", () => {
    expect(splitHistory([system], () => true)).toBeUndefined();
    expect(splitHistory([], () => true)).toBeUndefined();
  });
  test("the summary stands before the user's words, and a second one replaces it", () => {
    const parts = splitHistory(history, () => false);
    if (!parts) throw new Error("no parts");
    const joined = joinSummary(parts, "FIRST");
    expect(joined.map(({ role }) => role)).toEqual(["system", "user", "assistant", "tool"]);
    expect(joined[1]?.content).toContain("FIRST");
    expect(joined[1]?.content).toEndWith("\n\ntwo");
    const again = splitHistory([...joined, ...steps("e")], () => false);
    expect(again).toMatchObject({ earlierSummary: "FIRST", user: user("two") });
    expect(again?.user).toEqual(user("two"));
    const second = joinSummary(again ?? parts, "SECOND")[1]?.content;
    expect(second).not.toContain("FIRST");
    expect(second).toEndWith("\n\ntwo");
  });
  test("a message with a picture keeps it", () => {
    const image = { type: "image_url" as const, image_url: { url: "data:x" } };
    const shown: Message = { role: "user", content: [{ type: "text", text: "look" }, image] };
    const parts = splitHistory([user("one"), answer, shown], () => true);
    if (!parts) throw new Error("no parts");
    const [joined] = joinSummary(parts, "S");
    expect(joined?.content).toHaveLength(3);
    expect(splitHistory([joined as Message], () => true)).toMatchObject({
      earlierSummary: "S",
      user: shown,
    });
  });
});

describe("the transcript", () => {
  const earlier = [user("one"), asks("a"), result("a", 5000), answer];
  test("tells who said what and what was called", () => {
    const text = transcript({ earlierSummary: "before", earlier }, 100_000);
    expect(text).toStartWith(
      "## summary of what came before\nbefore\n\n## user\none\n\n## assistant\n",
    );
    expect(text).toContain('[calls read_file {"path":"a"}]');
    expect(text).toContain(`## result\n${"a".repeat(5000)}`);
  });
  test("fits into its room: long messages lose their middle, short ones nothing", () => {
    const text = transcript({ earlierSummary: "", earlier }, 1000);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(1000);
    expect(text).toContain("## user\none");
    expect(text).toMatch(/…\[\d+ left out\]…/);
    const many = Array.from({ length: 1000 }, (_, index) => user(`message ${index}`));
    const cut = transcript({ earlierSummary: "", earlier: many }, 2000);
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(2010);
  });
});
