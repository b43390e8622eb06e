// Each kind of server in its recorded shapes, over a real socket: recognised, its window read, its models
// listed, asked the way it wants to be asked.
import { describe, expect, test } from "bun:test";
import type { ToolSchema } from "../../../src/providers/provider.ts";
import {
  chatRequest,
  converse,
  fakeModel,
  neverAborted,
  sse,
  startFake,
  textOf,
  until,
} from "../../support/fake-model-server.ts";
import {
  llamaRouter,
  llamaServer,
  llamaServerLoading,
  lmStudio,
  mlxLm,
  ollama,
  plainServer,
  routesOf,
  vllm,
  type RecordedServer,
} from "../../support/recorded-servers.ts";

function start(server: RecordedServer, chat?: (request: Request) => Response | Promise<Response>) {
  const routes = routesOf(server);
  return startFake({
    routes: chat === undefined ? routes : { ...routes, "/v1/chat/completions": chat },
  });
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
}

describe("a server is recognised by what it answers", () => {
  const kinds: readonly (readonly [
    kind: string,
    server: RecordedServer,
    version: string | null,
    model: string,
    window: number | null,
  ])[] = [
    ["llama-server", llamaServer, "b8681-Debian", "unsloth/Qwen3.6-35B-A3B-GGUF", 65_536],
    ["llama-server", llamaRouter, null, "ggml-org/Qwen3-0.6B-GGUF:Q4_K_M", 8192],
    ["lm-studio", lmStudio, null, "meta-llama-3.1-8b-instruct", 16_384],
    ["ollama", ollama, "0.40.12", "gemma4:latest", 4096],
    ["vllm", vllm, "0.11.0", "Qwen/Qwen3-Coder-30B-A3B-Instruct", 65_536],
    ["mlx-lm", mlxLm, null, "default_model", null],
    ["openai", plainServer, null, "m", null],
  ];
  test.each(kinds)("%s", async (kind, server, version, model, window) => {
    using fake = start(server);
    const provider = fake.provider();
    expect(await provider.connect(undefined, neverAborted)).toEqual({
      model,
      contextLength: window,
      windowSource: window === null ? "unknown" : "server",
      parallelTools: true,
      server: fake.server,
    });
    const status = await provider.status(neverAborted);
    expect(status).toMatchObject({ kind, version, transport: "sse", memory: null });
    // What mlx_lm.server lists lies in a cache; which of it is loaded it does not say.
    const loaded = kind === "mlx-lm" ? [] : [model];
    expect(status.loadedModels).toEqual(loaded);
    expect(status.windows.map(({ contextLength }) => contextLength)).toEqual(
      loaded.map(() => window),
    );
    expect(status.ready).toBe(true);
    provider.close();
  });
  test("in two round trips: LMX's own probe first, then the paths of all kinds together", async () => {
    const waiting: (() => void)[] = [];
    const routes = routesOf(ollama);
    const paths = ["/v1/models", "/health", "/props", "/api/v0/models", "/api/version"];
    const others = ["/api/ps", "/api/tags", "/version"];
    const together = [...paths, ...others];
    // Nobody is answered before all of them have asked.
    const meet = (path: string) => async () => {
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        if (waiting.length === together.length) for (const release of waiting) release();
      });
      return routes[path]!();
    };
    using fake = startFake({
      routes: { ...routes, ...Object.fromEntries(together.map((path) => [path, meet(path)])) },
    });
    const provider = fake.provider();
    await provider.connect(undefined, neverAborted);
    expect(waiting).toHaveLength(together.length);
    provider.close();
  });
  test("an LMX is asked nothing of the kind", async () => {
    using fake = startFake();
    const provider = fake.provider();
    await provider.connect(undefined, neverAborted);
    await until(() => fake.requests.length === 3);
    expect(fake.requests.toSorted()).toEqual([
      "GET /admin/models",
      "GET /healthz",
      "GET /v1/chat/stream",
    ]);
    provider.close();
  });
  test("with a key that opens only some of its paths", async () => {
    const closed = () =>
      Response.json({ error: { code: 401, message: "Invalid API Key" } }, { status: 401 });
    using fake = startFake({ routes: { ...routesOf(llamaServer), "/props": closed } });
    expect(await fake.provider().status(neverAborted)).toMatchObject({ kind: "llama-server" });
  });
  test("one that wants a key for its list says so when the model is looked for", async () => {
    const closed = () => Response.json({ error: "Unauthorized" }, { status: 401 });
    using fake = startFake({
      routes: { ...routesOf(vllm), "/v1/models": closed, "/version": vllm.unknown },
    });
    expect(await failureOf(fake.provider().connect(undefined, neverAborted))).toMatchObject({
      code: "auth-failed",
    });
  });
});

describe("which model", () => {
  test("one on disk is used by its name where requests load models", async () => {
    for (const [server, wanted, model] of [
      [ollama, "qwen3:8b", "qwen3:8b"],
      [ollama, "gemma4", "gemma4:latest"],
      [lmStudio, "qwen2-vl-7b-instruct", "qwen2-vl-7b-instruct"],
      [mlxLm, "GLM-4.5-Air-4bit", "mlx-community/GLM-4.5-Air-4bit"],
    ] as const) {
      using fake = start(server);
      const provider = fake.provider();
      expect(await provider.connect(wanted, neverAborted)).toMatchObject({ model });
      provider.close();
    }
  });
  test("none loaded: says what there is and how it gets loaded", async () => {
    const idle = { ...ollama, paths: { ...ollama.paths, "/api/ps": { models: [] } } };
    using fake = start(idle);
    expect(await failureOf(fake.provider().connect(undefined, neverAborted))).toMatchObject({
      code: "no-model-loaded",
      message: expect.stringContaining("qwen3:8b"),
      hint: expect.stringContaining("opta models use gemma4:latest"),
    });
  });
  test("Ollama's cloud models leave the network, so that they need consent", async () => {
    using fake = start(ollama);
    expect(
      await failureOf(fake.provider().connect("gpt-oss:120b-cloud", neverAborted)),
    ).toMatchObject({
      code: "model-not-found",
      hint: expect.stringContaining("connection.allowCloudModels"),
    });
    const provider = fake.provider({ allowCloudModels: true });
    expect(await provider.connect("gpt-oss:120b-cloud", neverAborted)).toMatchObject({
      model: "gpt-oss:120b-cloud",
    });
    provider.close();
  });
  test("llama-server that still loads its weights says so", async () => {
    using fake = start(llamaServerLoading);
    expect(await failureOf(fake.provider().connect(undefined, neverAborted))).toMatchObject({
      code: "no-model-loaded",
      message: expect.stringContaining("still loading"),
    });
    const status = await fake.provider().status(neverAborted);
    expect(status).toMatchObject({ kind: "llama-server", ready: false });
    expect(status.candidates[0]?.outcome).toBe("is loading its model (llama-server)");
  });
  test("a list shows what is loaded first, then what could be", async () => {
    using fake = start(ollama);
    const { models } = await fake.provider().models(neverAborted);
    expect(models.map(({ modelId, state }) => [modelId, state])).toEqual([
      ["gemma4:latest", "loaded"],
      ["gpt-oss:120b-cloud", "on-disk"],
      ["qwen3:8b", "on-disk"],
    ]);
  });
  test("loading is left to the server's own commands, which are named", async () => {
    using fake = start(vllm);
    expect(await failureOf(fake.provider().load({ modelId: "m" }, neverAborted))).toMatchObject({
      code: "usage",
      hint: expect.stringContaining("vllm serve m"),
    });
  });
});

const search: ToolSchema = {
  type: "function",
  function: {
    name: "search",
    description: "Searches.",
    parameters: {
      type: "object",
      properties: { when: { type: "string", format: "date", pattern: "\\d+" } },
    },
  },
};

const answerA = () =>
  sse(['data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n']);

async function bodyFor(server: RecordedServer, more = {}): Promise<Record<string, unknown>> {
  let body: unknown;
  using fake = start(server, async (request) => {
    body = await request.json();
    return answerA();
  });
  const provider = fake.provider(more);
  const { model } = await provider.connect(undefined, neverAborted);
  expect(textOf(await converse(provider, chatRequest({ model, tools: [search] })))).toBe("a");
  return body as Record<string, unknown>;
}

describe("what a request needs", () => {
  const all = { llamaServer, lmStudio, ollama, vllm, mlxLm, plainServer };
  test.each(Object.entries(all))(
    "%s: a stream with usage, max_tokens, schemas without what grammars refuse",
    async (_name, server) => {
      const body = await bodyFor(server);
      expect(body).toMatchObject({
        stream: true,
        stream_options: { include_usage: true },
        max_tokens: 2048,
        tools: [{ function: { parameters: { properties: { when: { type: "string" } } } } }],
      });
      expect(JSON.stringify(body)).not.toMatch(/pattern|format/);
      expect(Object.keys(body).at(-1)).toBe("messages");
    },
  );
  test("llama-server tells how far it has read, when asked to", async () => {
    expect(await bodyFor(llamaServer)).toMatchObject({ return_progress: true });
    expect(await bodyFor(vllm)).not.toHaveProperty("return_progress");
  });
  test("a temperature is sent only when the user set one for the model", async () => {
    expect(await bodyFor(vllm)).not.toHaveProperty("temperature");
    const modelSettings = { "qwen3-coder-30b-a3b-instruct": { temperature: 0.2 } };
    expect(await bodyFor(vllm, { modelSettings })).toMatchObject({ temperature: 0.2 });
  });
  test("what a server need not know is left out when it refuses it", async () => {
    const bodies: string[] = [];
    using fake = start(plainServer, async (request) => {
      bodies.push(await request.text());
      if (bodies.length > 1) return answerA();
      const message = "Unrecognized request argument supplied: stream_options";
      return Response.json({ error: { message, type: "invalid_request_error" } }, { status: 400 });
    });
    expect(textOf(await converse(fake.provider()))).toBe("a");
    expect(bodies.map((body) => body.includes("stream_options"))).toEqual([true, false]);
  });
});

describe("a refusal in the server's own words is told with what to do", () => {
  // Wordings: vllm issue 12834 and 9986; llama.cpp common/chat.cpp and issues 26930, 25895; ollama server/routes.go.
  const cases: readonly (readonly [
    name: string,
    server: RecordedServer,
    status: number,
    message: string,
    code: string,
    hint: string,
  ])[] = [
    [
      "vLLM started without tools",
      vllm,
      400,
      '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
      "model-server-failed",
      "--enable-auto-tool-choice",
    ],
    [
      "llama-server started without templates",
      llamaServer,
      500,
      "tools param requires --jinja flag",
      "model-server-failed",
      "--jinja",
    ],
    [
      "llama-server that cannot compile the tools",
      llamaServer,
      400,
      "JSON schema conversion failed:\nPattern must start with '^' and end with '$'",
      "model-server-failed",
      "update the server",
    ],
    [
      "Ollama with a model that knows no tools",
      ollama,
      400,
      "registry.ollama.ai/library/gemma4:latest does not support tools",
      "model-server-failed",
      "trained for tools",
    ],
    [
      "llama-server's window",
      llamaServer,
      400,
      "request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it",
      "context-exceeded",
      "larger context",
    ],
    [
      "vLLM's window",
      vllm,
      400,
      "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
      "context-exceeded",
      "larger context",
    ],
    [
      "LM Studio's window",
      lmStudio,
      400,
      "Trying to keep the first 4730 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens",
      "context-exceeded",
      "larger context",
    ],
    [
      "Ollama's missing model",
      ollama,
      404,
      'model "gemma4:latest" not found, try pulling it first',
      "model-not-found",
      "ollama pull",
    ],
    [
      "vLLM's missing model",
      vllm,
      404,
      "The model `x` does not exist.",
      "model-not-found",
      "vllm serve",
    ],
  ];
  test.each(cases)("%s", async (_name, server, status, message, code, hint) => {
    using fake = start(server, () => Response.json({ error: { message } }, { status }));
    const provider = fake.provider();
    const events = await converse(provider, chatRequest({ model: fakeModel }));
    expect(events.at(-1)).toMatchObject({
      type: "error",
      code,
      hint: expect.stringContaining(hint),
    });
    // A refusal by words that say why is not asked again.
    expect(fake.requests.filter((request) => request.startsWith("POST"))).toHaveLength(1);
  });
});
