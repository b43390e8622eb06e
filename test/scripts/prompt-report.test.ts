import { expect, test } from "bun:test";
import { reportPrompts } from "../../scripts/prompt-report.ts";
import { builtOpta } from "../support/binary.ts";

test("prompts are byte-stable in all four situations, and the first is at most 2,000 tokens", async () => {
  const { stablePercent, firstRequestTokens } = await reportPrompts(await builtOpta());
  expect(stablePercent).toEqual({
    "same prompt, new session": 100,
    "other prompt": 100,
    "after a new untracked file": 100,
    "within a turn": 100,
  });
  expect(firstRequestTokens).toBeGreaterThan(500);
  expect(firstRequestTokens).toBeLessThanOrEqual(2000);
});
