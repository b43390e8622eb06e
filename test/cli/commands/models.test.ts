import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LoadResult, ModelList } from "../../../src/protocol/model.ts";
import { createCapturedIo, createFakeClient, runWords } from "../../support/command-line.ts";

const list: ModelList = {
  server: "studio:1234",
  models: [
    {
      modelId: "mlx-community/Qwen3-8B-4bit",
      state: "loaded",
      sizeBytes: 4_724_464_025,
      contextLength: 40_960,
    },
    { modelId: "lab/GLM-4-9B", state: "on-disk", sizeBytes: 10_200_547_328, contextLength: null },
    { modelId: "other/GLM-4-9B", state: "on-disk", sizeBytes: null, contextLength: null },
  ],
};

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

describe("list", () => {
  test("shows state, size and context; unknown ones as a dash", async () => {
    const client = createFakeClient({ "lmx.models": () => list });
    const { exitCode, stdout } = await runWords(["models"], { client });
    expect(exitCode).toBe(0);
    expect(stdout).toBe(`MODEL                        STATE       SIZE  CONTEXT
mlx-community/Qwen3-8B-4bit  loaded   4.4 GiB   40,960
lab/GLM-4-9B                 on disk  9.5 GiB        -
other/GLM-4-9B               on disk        -        -
`);
  });

  test("--json is the server's list as it is, without naming the subcommand", async () => {
    const client = createFakeClient({ "lmx.models": () => list });
    expect(JSON.parse((await runWords(["models", "--json"], { client })).stdout)).toEqual(list);
  });

  test("an empty server says so", async () => {
    const client = createFakeClient({ "lmx.models": () => ({ server: "h:1", models: [] }) });
    expect((await runWords(["models", "list"], { client })).stdout).toBe("h:1 has no models\n");
  });
});

describe("load", () => {
  function loading(result: LoadResult) {
    const asked: string[] = [];
    const client = createFakeClient({
      "lmx.models": () => list,
      "lmx.load": ({ modelId }: { modelId: string }) => {
        asked.push(modelId);
        return result;
      },
    });
    return { client, asked };
  }

  const loaded: LoadResult = {
    status: "loaded",
    modelId: "mlx-community/Qwen3-8B-4bit",
    memoryBytes: 5 * 2 ** 30,
    loadTimeMs: 185_000,
  };

  test("finds the model by its tail, in any case, and tells memory and time", async () => {
    const { client, asked } = loading(loaded);
    const result = await runWords(["models", "load", "qwen3-8b-4bit"], { client });
    expect(asked).toEqual(["mlx-community/Qwen3-8B-4bit"]);
    expect(result).toMatchObject({
      exitCode: 0,
      stdout: "loaded mlx-community/Qwen3-8B-4bit (5.0 GiB, 3 min 5 s)\n",
      stderr: "",
    });
  });

  test("a tail that fits two models is refused and both are named", async () => {
    const { client, asked } = loading(loaded);
    const { exitCode, stderr } = await runWords(["models", "load", "GLM-4-9B"], { client });
    expect({ exitCode, asked }).toEqual({ exitCode: 2, asked: [] });
    expect(stderr).toBe(
      'opta: "GLM-4-9B" fits several models\n  name one in full:\n  lab/GLM-4-9B\n  other/GLM-4-9B\n',
    );
  });

  test("a name the server does not list is passed on as typed", async () => {
    const { client, asked } = loading({ ...loaded, modelId: "new/model" });
    await runWords(["models", "load", "new/model"], { client });
    expect(asked).toEqual(["new/model"]);
  });

  test("a model that would have to be downloaded is not, with nobody to ask: exit 1, how much, what to type", async () => {
    const { client } = loading({
      status: "download-required",
      modelId: "new/model",
      sizeBytes: 24_696_061_952,
      confirmationToken: "dl-1",
    });
    const { exitCode, stdout, stderr } = await runWords(["models", "load", "new/model"], {
      client,
    });
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr)
      .toBe(`opta: new/model is not on the disk of studio:1234; loading it downloads it (23.0 GiB)
  opta models load new/model --yes
`);
  });

  test("on a terminal the seconds are counted on stderr and the line is taken away", async () => {
    const io = createCapturedIo({ terminal: true });
    const { client } = loading(loaded);
    const { stderr } = await runWords(["models", "load", "qwen3-8b-4bit"], { client, io });
    expect(stderr).toBe(
      "\r\u001b[Kloading mlx-community/Qwen3-8B-4bit on studio:1234, 0 s\r\u001b[K",
    );
  });

  test("--json is the server's answer", async () => {
    const { client } = loading(loaded);
    const { stdout } = await runWords(["models", "load", "qwen3-8b-4bit", "--json"], { client });
    expect(JSON.parse(stdout)).toEqual(loaded);
  });
});

describe("unload", () => {
  test("tells what was freed", async () => {
    const client = createFakeClient({
      "lmx.models": () => list,
      "lmx.unload": ({ modelId }: { modelId: string }) => ({ modelId, freedBytes: 2 ** 30 }),
    });
    const { stdout } = await runWords(["models", "unload", "Qwen3-8B-4bit"], { client });
    expect(stdout).toBe("unloaded mlx-community/Qwen3-8B-4bit, 1.0 GiB freed\n");
  });

  test("an unknown name exits 3 with the nearest one", async () => {
    const client = createFakeClient({ "lmx.models": () => list });
    expect(await runWords(["models", "unload", "Qwen3-8B-8bit"], { client })).toMatchObject({
      exitCode: 3,
      stderr:
        'opta: studio:1234 has no model "Qwen3-8B-8bit"; did you mean mlx-community/Qwen3-8B-4bit?\n  opta models list\n',
    });
  });
});

describe("use", () => {
  function configDirectory(): string {
    const directory = mkdtempSync(join(tmpdir(), "opta-models-"));
    directories.push(directory);
    return directory;
  }

  test("writes the whole id to model.default and says when it is not loaded", async () => {
    const directory = configDirectory();
    const client = createFakeClient({ "lmx.models": () => list });
    const variables = { OPTA_CONFIG_DIR: directory };
    const result = await runWords(["models", "use", "lab/glm-4-9b"], { client, variables });
    expect(result).toMatchObject({
      exitCode: 0,
      stdout: "default model: lab/GLM-4-9B\n",
      stderr: "it is not loaded yet: opta models load lab/GLM-4-9B\n",
    });
    const written = JSON.parse(readFileSync(join(directory, "config.json"), "utf8"));
    expect(written).toEqual({ model: { default: "lab/GLM-4-9B" } });
  });

  test("warns when OPTA_MODEL still wins", async () => {
    const client = createFakeClient({ "lmx.models": () => list });
    const variables = { OPTA_CONFIG_DIR: configDirectory(), OPTA_MODEL: "x" };
    const { stderr } = await runWords(["models", "use", "Qwen3-8B-4bit"], { client, variables });
    expect(stderr).toBe("OPTA_MODEL=x is set and still wins in this shell\n");
  });

  test("an unknown model changes nothing", async () => {
    const directory = configDirectory();
    const client = createFakeClient({ "lmx.models": () => list });
    const variables = { OPTA_CONFIG_DIR: directory };
    const { exitCode } = await runWords(["models", "use", "nothing-like-it"], {
      client,
      variables,
    });
    expect(exitCode).toBe(3);
    expect(() => readFileSync(join(directory, "config.json"))).toThrow("ENOENT");
  });
});
