// What people call each kind of server, and how they load a model there: words for messages only.
import type { ServerKind } from "../../protocol/model.ts";

export const kindNames: Readonly<Record<ServerKind, string>> = {
  lmx: "LMX",
  "llama-server": "llama-server",
  "mlx-lm": "mlx_lm.server",
  "lm-studio": "LM Studio",
  ollama: "Ollama",
  vllm: "vLLM",
  openai: "OpenAI-compatible",
  anthropic: "Anthropic",
};

/** The command that makes a model answer on that kind of server. */
export function loadCommand(kind: ServerKind, modelId: string): string {
  switch (kind) {
    case "lmx":
      return `opta models load ${modelId}`;
    case "llama-server":
      return `on the server: llama-server -m MODEL.gguf --jinja`;
    case "mlx-lm":
      return `on the server: mlx_lm.server --model ${modelId}`;
    case "lm-studio":
      return `on the server: lms load ${modelId}`;
    case "ollama":
      return `on the server: ollama pull ${modelId}`;
    case "vllm":
      return `on the server: vllm serve ${modelId} --enable-auto-tool-choice --tool-call-parser PARSER`;
    default:
      return "opta models list";
  }
}
