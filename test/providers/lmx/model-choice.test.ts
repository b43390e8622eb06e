import { describe, expect, test } from "bun:test";
import type { ModelInfo } from "../../../src/protocol/model.ts";
import {
  defaultModel,
  isCloudModel,
  matchModel,
  refuseCloudModel,
} from "../../../src/providers/lmx/model-choice.ts";

const model = (modelId: string, state: ModelInfo["state"] = "loaded"): ModelInfo => {
  return { modelId, state, sizeBytes: null, contextLength: null };
};
const models = ["mlx/Qwen2.5-72B", "mlx/Qwen2.5-7B", "other/Qwen2.5-7B", "solo"].map((id) =>
  model(id),
);

describe("matching a model id (row 18)", () => {
  const cases: readonly (readonly [string, string | readonly string[] | undefined])[] = [
    ["mlx/Qwen2.5-7B", "mlx/Qwen2.5-7B"],
    ["MLX/qwen2.5-7b", "mlx/Qwen2.5-7B"],
    ["qwen2.5-72b", "mlx/Qwen2.5-72B"],
    ["mlx-community/Qwen2.5-72B", "mlx/Qwen2.5-72B"],
    ["hub/solo", "solo"],
    ["Qwen2.5-7B", ["mlx/Qwen2.5-7B", "other/Qwen2.5-7B"]],
    ["Qwen2.5", undefined],
    ["72B", undefined],
    ["mlx/", undefined],
    ["", undefined],
  ];
  test.each(cases)("%p means %p", (wanted, expected) => {
    const match = matchModel(models, wanted);
    const ids =
      match.kind === "one"
        ? match.item.modelId
        : match.kind === "several"
          ? match.items.map((item) => item.modelId)
          : undefined;
    expect(ids as unknown).toEqual(expected);
  });
  test("the exact spelling wins over another one", () => {
    const both = [model("QWEN"), model("qwen")];
    expect(matchModel(both, "qwen")).toEqual({ kind: "one", item: both[1]! });
  });
});

describe("cloud ids (row 24)", () => {
  test.each(["copilot/gpt", "github-copilot/x", "gemini-cli/pro", "GitHub-Copilot/x"])(
    "%s is refused",
    (id) => {
      expect(isCloudModel(id)).toBe(true);
      expect(() => refuseCloudModel(id)).toThrow(/cloud/);
    },
  );
  test.each(["org/copilot", "mycopilot/x", "gemini"])("%s is local", (id) => {
    expect(isCloudModel(id)).toBe(false);
  });
});

describe("the model of a session that asked for none", () => {
  test("is the first routable one, else one that still serves, else one on its way", () => {
    const list = [
      model("disk", "on-disk"),
      model("a", "loading"),
      model("b", "quarantined"),
      model("c"),
      model("d"),
    ];
    expect(defaultModel(list)?.modelId).toBe("c");
    expect(defaultModel(list.slice(0, 3))?.modelId).toBe("b");
    expect(defaultModel(list.slice(0, 2))?.modelId).toBe("a");
    expect(defaultModel(list.slice(0, 1))).toBeUndefined();
  });
});
