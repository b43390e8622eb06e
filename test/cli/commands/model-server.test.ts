// The model commands through the real client to a server on a loopback socket, settings and all.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createContextParts } from "../../../src/cli/context.ts";
import { runCommandLine } from "../../../src/cli/dispatch.ts";
import { commandTable } from "../../../src/cli/table.ts";
import { createEnvironment } from "../../../src/config/environment.ts";
import { startScriptedServer } from "../../../src/lmx-server/scripted-server.ts";
import { createCapturedIo } from "../../support/command-line.ts";

const server = startScriptedServer({
  models: [
    { id: "lab/Small-4B", sizeGb: 2, contextLength: 8192 },
    { id: "lab/Large-70B", state: "on-disk", sizeGb: 40, loadMs: 20 },
    { id: "lab/Far-8B", state: "downloadable", sizeGb: 5 },
  ],
  turns: [],
  server: { downloads: true },
});
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "opta-model-server-"));
});
afterAll(async () => {
  rmSync(directory, { recursive: true });
  await server[Symbol.asyncDispose]();
});

async function opta(words: readonly string[], variables: Record<string, string> = {}) {
  const io = createCapturedIo();
  const environment = createEnvironment({
    HOME: directory,
    OPTA_CONFIG_DIR: directory,
    OPTA_HOST: "127.0.0.1",
    OPTA_PORT: String(server.port),
    ...variables,
  });
  const parts = createContextParts({ io, environment });
  const exitCode = await runCommandLine(words, commandTable, parts);
  return { exitCode, ...io.written };
}

describe("against a running server", () => {
  test("status --json tells server, kind, transport and models", async () => {
    const { exitCode, stdout } = await opta(["status", "--json"]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      reachable: true,
      server: `127.0.0.1:${server.port}`,
      kind: "lmx",
      transport: "websocket",
      ready: true,
      loadedModels: ["lab/Small-4B"],
    });
  });

  test("models are listed, loaded by their tail, and unloaded again", async () => {
    const before = await opta(["models"]);
    expect(before.stdout).toMatch(/^lab\/Small-4B +loaded /m);
    expect(before.stdout).toMatch(/^lab\/Large-70B +on disk +40\.0 GiB /m);
    const loaded = await opta(["models", "load", "large-70b"]);
    expect(loaded).toMatchObject({ exitCode: 0, stderr: "" });
    expect(loaded.stdout).toStartWith("loaded lab/Large-70B (");
    expect((await opta(["models"])).stdout).toMatch(/^lab\/Large-70B +loaded /m);
    expect(await opta(["models", "unload", "Large-70B"])).toMatchObject({
      exitCode: 0,
      stderr: "",
    });
    expect((await opta(["models"])).stdout).toMatch(/^lab\/Large-70B +on disk /m);
  });

  test("a model that is not on the disk is not fetched", async () => {
    const { exitCode, stderr } = await opta(["models", "load", "lab/Far-8B"]);
    expect({ exitCode, first: stderr.split("\n")[0] }).toEqual({
      exitCode: 1,
      first: `opta: lab/Far-8B is not on the disk of 127.0.0.1:${server.port}; loading it downloads it (5.0 GiB)`,
    });
  });

  test("models use makes it the default that config then shows", async () => {
    expect((await opta(["models", "use", "small-4b"])).exitCode).toBe(0);
    expect((await opta(["config", "get", "model.default"])).stdout).toBe("lab/Small-4B\n");
  });

  test("permissions explain gives the policy's own words", async () => {
    const words = ["permissions", "explain", "--tool", "run_command", "rm -rf /", "--json"];
    const { stdout, exitCode } = await opta(words);
    expect(exitCode).toBe(0);
    const { decision, rule, reason, ...others } = JSON.parse(stdout);
    expect(others).toEqual({});
    expect(["ask", "deny"]).toContain(decision);
    expect([rule.length > 0, reason.length > 0]).toEqual([true, true]);
  });
});

test("without a server status, models and load all exit 3 and name what was tried", async () => {
  const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const port = String(free.port);
  free.stop(true);
  for (const words of [["status"], ["models"], ["models", "load", "x"]]) {
    const { exitCode, stdout, stderr } = await opta(words, { OPTA_PORT: port });
    expect({ words, exitCode, stdout }).toEqual({ words, exitCode: 3, stdout: "" });
    expect(stderr).toContain(`127.0.0.1:${port}`);
  }
});
