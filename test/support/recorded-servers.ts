// What each kind of OpenAI-compatible server answers, path by path, in the shapes of its own documentation or
// source (named at each), shortened to what a client may look at. Made into a fake server by `routesOf`.

export interface RecordedServer {
  /** Path -> its JSON, or a whole answer. */
  readonly paths: Readonly<Record<string, object | (() => Response)>>;
  /** What it says of a path that it does not know. */
  readonly unknown: () => Response;
}

/** For startFake: every path that opta may ask. */
export function routesOf({ paths, unknown }: RecordedServer): Record<string, () => Response> {
  const asked = [
    "/healthz",
    "/health",
    "/v1/models",
    "/props",
    "/api/v0/models",
    "/api/version",
    "/api/ps",
    "/api/tags",
    "/version",
    "/admin/models",
    "/admin/models/available",
    "/.well-known/opta-lmx",
    "/v1/chat/stream",
  ];
  return Object.fromEntries(
    asked.map((path) => {
      const answer = paths[path];
      if (answer === undefined) return [path, unknown];
      return [path, typeof answer === "function" ? answer : () => Response.json(answer)];
    }),
  ) as Record<string, () => Response>;
}

/** llama.cpp tools/server/README.md, GET /health, /props, /v1/models; values as mvysny.github.io/llama-server-endpoints saw them (b8681). */
export const llamaServer: RecordedServer = {
  paths: {
    "/health": { status: "ok" },
    "/props": {
      default_generation_settings: { id: 0, n_ctx: 65_536, speculative: false },
      total_slots: 4,
      model_alias: "unsloth/Qwen3.6-35B-A3B-GGUF",
      model_path: "/models/Qwen3.6-35B-A3B-Q4_K_M.gguf",
      chat_template: "…",
      modalities: { vision: true, audio: false },
      build_info: "b8681-Debian",
    },
    "/v1/models": {
      models: [{ name: "unsloth/Qwen3.6-35B-A3B-GGUF", details: { format: "gguf" } }],
      object: "list",
      data: [
        {
          id: "unsloth/Qwen3.6-35B-A3B-GGUF",
          object: "model",
          created: 1_735_142_223,
          owned_by: "llamacpp",
          meta: {
            vocab_type: 2,
            n_vocab: 151_936,
            n_ctx_train: 262_144,
            n_embd: 2048,
            n_params: 35_000_000_000,
            size: 21_000_000_000,
          },
        },
      ],
    },
  },
  unknown: () =>
    Response.json(
      { error: { code: 404, message: "File Not Found", type: "not_found_error" } },
      { status: 404, headers: { server: "llama.cpp" } },
    ),
};

const loadingModel = () =>
  Response.json(
    { error: { message: "Loading model", type: "unavailable_error", code: 503 } },
    { status: 503 },
  );

/** llama.cpp tools/server/README.md, GET /health: "503: the model is still being loaded"; all paths say so. */
export const llamaServerLoading: RecordedServer = { paths: {}, unknown: loadingModel };

/** llama.cpp tools/server/README.md "router mode": a status per model. */
export const llamaRouter: RecordedServer = {
  paths: {
    "/health": { status: "ok" },
    "/props": { role: "router", model_path: "none", total_slots: 1 },
    "/v1/models": {
      object: "list",
      data: [
        {
          id: "ggml-org/Qwen3-0.6B-GGUF:Q4_K_M",
          object: "model",
          owned_by: "llamacpp",
          status: { value: "loaded" },
          meta: { n_ctx: 8192, n_ctx_train: 40_960 },
        },
        { id: "Foo", object: "model", owned_by: "llamacpp", status: { value: "unloaded" } },
      ],
    },
  },
  unknown: llamaServer.unknown,
};

/** mlx_lm/server.py: do_GET knows /v1/models and /health, all else is "Not Found" in plain text. */
export const mlxLm: RecordedServer = {
  paths: {
    "/health": () => mlxAnswer('{"status": "ok"}'),
    "/v1/models": () =>
      mlxAnswer(
        '{"object": "list", "data": [{"id": "mlx-community/Qwen3-8B-4bit", "object": "model", "created": 1760000000}, {"id": "mlx-community/GLM-4.5-Air-4bit", "object": "model", "created": 1760000000}]}',
      ),
  },
  unknown: () => mlxAnswer("Not Found", 404),
};

function mlxAnswer(body: string, status = 200): Response {
  const headers = { server: "BaseHTTP/0.6 Python/3.12.4", "content-type": "application/json" };
  return new Response(body, { status, headers });
}

/** lmstudio.ai/docs/api/rest-api, GET /api/v0/models; unknown paths: lmstudio-bug-tracker issues 618 and 1323. */
export const lmStudio: RecordedServer = {
  paths: {
    "/v1/models": {
      object: "list",
      data: [
        { id: "qwen2-vl-7b-instruct", object: "model", owned_by: "organization_owner" },
        { id: "meta-llama-3.1-8b-instruct", object: "model", owned_by: "organization_owner" },
      ],
    },
    "/api/v0/models": {
      object: "list",
      data: [
        {
          id: "qwen2-vl-7b-instruct",
          object: "model",
          type: "vlm",
          publisher: "mlx-community",
          arch: "qwen2_vl",
          compatibility_type: "mlx",
          quantization: "4bit",
          state: "not-loaded",
          max_context_length: 32_768,
        },
        {
          id: "meta-llama-3.1-8b-instruct",
          object: "model",
          type: "llm",
          publisher: "lmstudio-community",
          arch: "llama",
          compatibility_type: "gguf",
          quantization: "Q4_K_M",
          state: "loaded",
          max_context_length: 131_072,
          loaded_context_length: 16_384,
        },
        {
          id: "text-embedding-nomic-embed-text-v1.5",
          object: "model",
          type: "embeddings",
          state: "loaded",
          max_context_length: 2048,
        },
      ],
    },
  },
  unknown: () => Response.json({ error: "Unexpected endpoint or method. (GET /healthz)" }),
};

const ollamaDetails = { format: "gguf", family: "gemma4", quantization_level: "Q4_K_M" };

/** docs.ollama.com/api: GET /api/version, /api/ps, /api/tags; unknown paths as gin says them. */
export const ollama: RecordedServer = {
  paths: {
    "/api/version": { version: "0.40.12" },
    "/api/ps": {
      models: [
        {
          name: "gemma4:latest",
          model: "gemma4:latest",
          size: 6_591_830_464,
          digest: "c6eb396dbd59",
          details: ollamaDetails,
          expires_at: "2025-10-17T16:47:07.93355-07:00",
          size_vram: 5_333_539_264,
          context_length: 4096,
        },
      ],
    },
    "/api/tags": {
      models: [
        {
          name: "gemma4:latest",
          model: "gemma4:latest",
          size: 3_338_801_804,
          details: ollamaDetails,
        },
        { name: "qwen3:8b", model: "qwen3:8b", size: 5_225_388_164, details: ollamaDetails },
        {
          name: "gpt-oss:120b-cloud",
          model: "gpt-oss:120b-cloud",
          size: 384,
          remote_host: "https://ollama.com:443",
        },
      ],
    },
    "/v1/models": {
      object: "list",
      data: [{ id: "gemma4:latest", object: "model", created: 1_760_000_000, owned_by: "library" }],
    },
  },
  unknown: () => new Response("404 page not found", { status: 404 }),
};

/** vllm/entrypoints/openai: /version, /health (an empty 200), /v1/models with max_model_len; FastAPI's 404. */
export const vllm: RecordedServer = {
  paths: {
    "/health": () => new Response(""),
    "/version": { version: "0.11.0" },
    "/v1/models": {
      object: "list",
      data: [
        {
          id: "Qwen/Qwen3-Coder-30B-A3B-Instruct",
          object: "model",
          created: 1_739_421_415,
          owned_by: "vllm",
          root: "Qwen/Qwen3-Coder-30B-A3B-Instruct",
          parent: null,
          max_model_len: 65_536,
          permission: [],
        },
      ],
    },
  },
  unknown: () =>
    Response.json({ detail: "Not Found" }, { status: 404, headers: { server: "uvicorn" } }),
};

/** A server of which nothing is known but that it lists its models. */
export const plainServer: RecordedServer = {
  paths: { "/v1/models": { object: "list", data: [{ id: "m", object: "model", owned_by: "me" }] } },
  unknown: () => new Response("no", { status: 404 }),
};
