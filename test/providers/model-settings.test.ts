import { expect, test } from "bun:test";
import { settingsFor } from "../../src/providers/model-settings.ts";

const table = {
  "org/Model-7B": { temperature: 1 },
  "Model-8B": { temperature: 2 },
  "other/Model-9B": { temperature: 0 },
};

test.each([
  ["org/Model-7B", 1],
  ["ORG/model-7b", 1],
  ["any/model-8b", 2],
  ["model-8b", 2],
  // Settings of one organisation's model are not those of another's.
  ["org/Model-9B", undefined],
  ["constructor", undefined],
])("the settings for %s", (modelId, temperature) => {
  expect(settingsFor(table, modelId).temperature).toBe(temperature);
});
