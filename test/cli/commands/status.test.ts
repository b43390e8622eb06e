import { expect, test } from "bun:test";
import { OptaError } from "../../../src/protocol/error.ts";
import type { ServerStatus } from "../../../src/protocol/model.ts";
import { createFakeClient, runWords } from "../../support/command-line.ts";

const status: ServerStatus = {
  server: "studio:1234",
  kind: "lmx",
  version: "0.9.2",
  ready: true,
  transport: "websocket",
  loadedModels: ["mlx-community/Qwen3-8B-4bit"],
  windows: [
    { modelId: "mlx-community/Qwen3-8B-4bit", contextLength: 40_960, windowSource: "server" },
  ],
  memory: { totalBytes: 64 * 2 ** 30, usedBytes: 5.5 * 2 ** 30 },
  latencyMs: 3.6,
  candidates: [
    { server: "studio:1234", outcome: "ready" },
    { server: "laptop:1234", outcome: "connection refused" },
  ],
};

test("status names the server, what it is, its models and how every candidate answered", async () => {
  const client = createFakeClient({ "lmx.status": () => status });
  const { exitCode, stdout, stderr } = await runWords(["status"], { client });
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toBe(`server     studio:1234
kind       Opta LMX 0.9.2
transport  WebSocket
ready      yes
models     mlx-community/Qwen3-8B-4bit, window 40,960
memory     5.5 GiB of 64.0 GiB in use
latency    4 ms
candidates
  studio:1234: ready
  laptop:1234: connection refused
`);
});

test("a server without a loaded model is reachable, says so and what to type", async () => {
  const idle = {
    ...status,
    kind: "openai",
    version: null,
    ready: false,
    loadedModels: [],
    windows: [],
    memory: null,
  };
  const client = createFakeClient({ "lmx.status": () => ({ ...idle, transport: "sse" }) });
  const { exitCode, stdout } = await runWords(["status"], { client });
  expect(exitCode).toBe(0);
  expect(stdout).toContain(
    "kind       OpenAI-compatible\ntransport  SSE\nready      no, no model is loaded\n",
  );
  expect(stdout).toContain("models     none loaded\nmemory     not told\n");
  expect(stdout).toEndWith("\nnext: opta models list\n");
});

test("--json is one document with the plain numbers", async () => {
  const client = createFakeClient({ "lmx.status": () => status });
  const { stdout } = await runWords(["status", "--json"], { client });
  expect(JSON.parse(stdout)).toEqual({ reachable: true, ...status });
});

const refused = new OptaError(
  "lmx-connection-refused",
  "nothing answers at studio:1234",
  "opta config set",
);

function unreachable() {
  return createFakeClient({
    "lmx.status": () => {
      throw refused;
    },
  });
}

test("nothing reachable exits 3 with the error's line and hint", async () => {
  expect(await runWords(["status"], { client: unreachable() })).toMatchObject({
    exitCode: 3,
    stdout: "",
    stderr: "opta: nothing answers at studio:1234\n  opta config set\n",
  });
});

test("nothing reachable with --json is a document too, and exits 3", async () => {
  const { exitCode, stdout } = await runWords(["status", "--json"], { client: unreachable() });
  expect(exitCode).toBe(3);
  expect(JSON.parse(stdout)).toEqual({
    reachable: false,
    code: "lmx-connection-refused",
    message: "nothing answers at studio:1234",
    hint: "opta config set",
  });
});

test("--device asks that server and switches fallbacks off, the cloud's too", async () => {
  const client = createFakeClient({ "lmx.status": () => status });
  const { connections } = await runWords(["status", "--device", "other:99"], { client });
  expect(connections).toEqual([
    {
      "connection.host": "other",
      "connection.port": 99,
      "connection.fallbackHosts": [],
      "provider.default": "lmx",
      "provider.fallback": "none",
    },
  ]);
});

test("escape sequences in model names are not printed", async () => {
  const window = { modelId: "evil\u001b]0;x\u0007model", contextLength: 1, windowSource: "server" };
  const named = { ...status, windows: [window] };
  const client = createFakeClient({ "lmx.status": () => named });
  expect((await runWords(["status"], { client })).stdout).toContain(
    "models     evilmodel, window 1\n",
  );
});

test("a model's window says where it is known from, and how to set one that is not", async () => {
  const windows = [
    { modelId: "a", contextLength: 8192, windowSource: "setting" },
    { modelId: "b", contextLength: null, windowSource: "unknown" },
  ];
  const client = createFakeClient({
    "lmx.status": () => ({ ...status, kind: "llama-server", version: "b8681", windows }),
  });
  const { stdout } = await runWords(["status"], { client });
  expect(stdout).toContain("kind       llama-server (llama.cpp) b8681\n");
  expect(stdout).toContain(
    "models     a, window 8,192 (your setting)\n           b, window unknown: opta models settings b window=N\n",
  );
});

test("--provider lmx asks the local server with no cloud behind it, --provider anthropic the cloud", async () => {
  const client = createFakeClient({ "lmx.status": () => status });
  const asked = async (provider: string) =>
    (await runWords(["status", "--provider", provider], { client })).connections;
  expect(await asked("lmx")).toEqual([{ "provider.default": "lmx", "provider.fallback": "none" }]);
  expect(await asked("anthropic")).toEqual([{ "provider.default": "anthropic" }]);
});

test("a device and the cloud at once are refused", async () => {
  const words = ["status", "--device", "studio", "--provider", "anthropic"];
  const { exitCode, stderr } = await runWords(words);
  expect(exitCode).toBe(2);
  expect(stderr).toContain("choose one");
});

test("says that the cloud would serve", async () => {
  const cloud = { ...status, server: "api.anthropic.com", kind: "anthropic", version: null };
  const client = createFakeClient({ "lmx.status": () => ({ ...cloud, transport: "sse" }) });
  const { stdout } = await runWords(["status"], { client });
  expect(stdout).toContain("kind       Anthropic, in the cloud: turns leave your network\n");
});
