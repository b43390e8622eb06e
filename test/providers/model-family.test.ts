import { expect, test } from "bun:test";
import { opensInThought, reasoningPolicy } from "../../src/providers/model-family.ts";
import { createThoughtHabits } from "../../src/providers/thought-habits.ts";

test("reasoning goes back to MiniMax-M2 and GLM from 4.5 on, to nobody else", () => {
  const resent = [
    "MiniMaxAI/MiniMax-M2",
    "mlx-community/MiniMax-M2.5-4bit",
    "zai-org/GLM-4.5-Air",
    "glm-4.7",
    "GLM-5",
  ];
  expect(resent.map(reasoningPolicy)).toEqual(resent.map(() => "resend"));
  const dropped = [
    "Qwen/Qwen3-32B",
    "Qwen3.5-27B",
    "GLM-4-9B",
    "glm-4.1v",
    "MiniMax-M1",
    "llama",
    "scripted",
    "",
  ];
  expect(dropped.map(reasoningPolicy)).toEqual(dropped.map(() => "drop"));
});

test("families whose template opens the thought", () => {
  const opening = [
    "Qwen3-30B-A3B-Thinking-2507",
    "QwQ-32B",
    "deepseek-r1:8b",
    "DeepSeek-R1-0528",
    "MiniMax-M2.1",
    "GLM-4.7-Flash",
    "Qwen3.5-35B-A3B",
    "Kimi-K2.5",
  ];
  expect(opening.filter((model) => !opensInThought(model))).toEqual([]);
  const others = [
    "Qwen3-32B",
    "Qwen3-Coder-30B",
    "Qwen2.5-Coder-7B",
    "GLM-4.6",
    "Kimi-K2-Instruct",
    "DeepSeek-V3.1",
    "gpt-oss-20b",
  ];
  expect(others.filter(opensInThought)).toEqual([]);
});

test("what an answer showed counts more than the family", () => {
  const habits = createThoughtHabits();
  expect(habits.opensInThought("QwQ-32B")).toBe(true);
  habits.learn("QwQ-32B", false);
  habits.learn("mine", true);
  expect([habits.opensInThought("QwQ-32B"), habits.opensInThought("mine")]).toEqual([false, true]);
});
