import { expect, test } from "bun:test";
import { parseScenario } from "../../src/lmx-server/scenario.ts";
import { createScriptedModels } from "../../src/lmx-server/scripted-models.ts";

test("concurrent loads of one model share one load", async () => {
  const sleeps: number[] = [];
  const scenario = parseScenario({
    turns: [],
    models: [{ id: "small", state: "on-disk", loadMs: 100 }],
  });
  const models = createScriptedModels(scenario, {
    sleep: async (durationMs) => void sleeps.push(durationMs),
  });
  const load = () => models.load("small", { autoDownload: false });
  const loaded = { status: "loaded", memoryAfterLoadGb: 4, timeToLoadMs: 100 } as const;
  expect(await Promise.all([load(), load(), load()])).toEqual([loaded, loaded, loaded]);
  expect(sleeps).toEqual([100]);
  models.unload("small");
  await load();
  expect(sleeps).toEqual([100, 100]);
});

test("a confirmation token expires after ten minutes", async () => {
  let nowMs = 1_000_000;
  const scenario = parseScenario({
    turns: [],
    models: [{ id: "remote", state: "downloadable" }],
    server: { downloads: true },
  });
  const models = createScriptedModels(scenario, { now: () => nowMs });
  const asked = await models.load("remote", { autoDownload: false });
  if (asked.status !== "download_required") throw new Error(`unexpected ${asked.status}`);
  nowMs += 10 * 60_000 + 1;
  expect(models.confirm(asked.token)).toMatchObject({
    status: "refused",
    refusal: { code: "token_expired" },
  });
});
