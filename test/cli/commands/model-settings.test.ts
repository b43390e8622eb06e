import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runWords } from "../../support/command-line.ts";

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

function place(settings: object = {}) {
  const directory = mkdtempSync(join(tmpdir(), "opta-model-settings-"));
  directories.push(directory);
  const file = join(directory, "config.json");
  writeFileSync(file, JSON.stringify(settings));
  return {
    opta: (...words: string[]) => runWords(words, { variables: { OPTA_CONFIG_DIR: directory } }),
    written: () => JSON.parse(readFileSync(file, "utf8")) as unknown,
  };
}

describe("opta models alias", () => {
  test("sets, shows, lists and removes; the rest of the file stays", async () => {
    const { opta, written } = place({ model: { default: "m" } });
    const set = await opta("models", "alias", "fast", "mlx-community/Qwen2.5-7B-4bit");
    expect(set).toMatchObject({ exitCode: 0, stdout: "fast = mlx-community/Qwen2.5-7B-4bit\n" });
    expect(written()).toEqual({
      model: { default: "m" },
      aliases: { fast: "mlx-community/Qwen2.5-7B-4bit" },
    });
    expect((await opta("models", "alias", "fast")).stdout).toBe(set.stdout);
    expect((await opta("models", "alias")).stdout).toBe(
      "ALIAS  MODEL\nfast   mlx-community/Qwen2.5-7B-4bit\n",
    );
    expect((await opta("models", "alias", "fast", "--remove")).stdout).toBe("alias fast removed\n");
    expect(written()).toEqual({ model: { default: "m" } });
    expect((await opta("models", "alias")).stdout).toContain("opta models alias NAME ID");
  });
  test("--json is the map", async () => {
    const { opta } = place({ aliases: { fast: "m" } });
    expect(JSON.parse((await opta("models", "alias", "--json")).stdout)).toEqual({
      aliases: { fast: "m" },
    });
  });
  test("an unknown one exits 1 with the command that makes it", async () => {
    const { opta } = place();
    expect(await opta("models", "alias", "fast")).toMatchObject({
      exitCode: 1,
      stderr: "opta: there is no alias fast\n  opta models alias fast ID\n",
    });
  });
  test("an alias of an alias is refused", async () => {
    const { opta, written } = place({ aliases: { fast: "m" } });
    expect((await opta("models", "alias", "quick", "fast")).exitCode).toBe(2);
    expect(written()).toEqual({ aliases: { fast: "m" } });
  });
});

describe("opta models settings", () => {
  const model = "mlx-community/Qwen2.5-7B-4bit";

  test("sets several at once, changes one, removes one, and the model with the last", async () => {
    const { opta, written } = place();
    const words = ["models", "settings", model];
    const set = await opta(...words, "window=32768", "reasoning=drop", "parallelTools=false");
    expect(set.stdout).toBe(`${model}  window=32768 reasoning=drop parallelTools=false\n`);
    await opta(...words, "window=16384", "temperature=0.5", "reasoning=");
    expect(written()).toEqual({
      models: { [model]: { window: 16_384, parallelTools: false, temperature: 0.5 } },
    });
    expect((await opta("models", "settings")).stdout).toBe(
      `${model}  window=16384 parallelTools=false temperature=0.5\n`,
    );
    await opta(...words, "window=", "parallelTools=", "temperature=");
    expect(written()).toEqual({});
  });
  test.each([
    ["window=12", "at least 1024"],
    ["window=lots", "a number"],
    ["reasoning=maybe", "one of resend, drop"],
    ["parallelTools=perhaps", "true or false"],
    ["temperature=3", "at most 2"],
  ])("refuses %s and changes nothing", async (change, words) => {
    const { opta, written } = place();
    const { exitCode, stderr } = await opta("models", "settings", model, change);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(words);
    expect(written()).toEqual({});
  });
  test.each(["windw=1", "window"])("refuses %s with the names there are", async (change) => {
    const { opta } = place();
    const { exitCode, stderr } = await opta("models", "settings", model, change);
    expect(exitCode).toBe(2);
    expect(stderr).toContain("window, reasoning, parallelTools, temperature");
  });
});

test("opta config set takes the whole map as JSON, and names an unknown setting's nearest", async () => {
  const { opta, written } = place();
  const done = await opta("config", "set", "models", '{"m":{"window":8192}}');
  expect(done.exitCode).toBe(0);
  expect(written()).toEqual({ models: { m: { window: 8192 } } });
  const wrong = await opta("config", "set", "models", '{"m":{"windw":8192}}');
  expect(wrong.exitCode).toBe(2);
  expect(wrong.stderr).toContain("did you mean models.m.window?");
});
