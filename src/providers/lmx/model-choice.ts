// Which model a request means: contracts/lmx.md rows 18 (ids spelt differently) and 24 (ids that LMX would
// pass on to a cloud). Pure.
import { OptaError } from "../../protocol/error.ts";
import type { ModelInfo } from "../../protocol/model.ts";

/** LMX proxies these to cloud services with the user's tokens: a "local" id that leaves the network. */
const cloudPrefixes = ["copilot/", "github-copilot/", "gemini-cli/"] as const;
/** Ollama's tags of models that run at ollama.com: "gpt-oss:120b-cloud", "glm-4.6:cloud" (docs.ollama.com/cloud). */
const cloudTag = /[:-]cloud$/;

export function isCloudModel(modelId: string): boolean {
  const lower = modelId.trim().toLowerCase();
  return cloudPrefixes.some((prefix) => lower.startsWith(prefix)) || cloudTag.test(lower);
}

/** @throws OptaError model-not-found for an id that would leave the network */
export function refuseCloudModel(modelId: string): void {
  if (!isCloudModel(modelId)) return;
  throw new OptaError(
    "model-not-found",
    `${modelId} is a cloud model behind the server: opta sends nothing to a cloud without your consent`,
    "opta models list\nto allow it: opta config set connection.allowCloudModels true",
  );
}

/** Names that LMX resolves itself. */
export function isServerAlias(wanted: string): boolean {
  return ["auto", "code", "reasoning", "chat"].includes(wanted) || wanted.startsWith("preset:");
}

export type Match<T> =
  | { readonly kind: "one"; readonly item: T }
  | { readonly kind: "several"; readonly items: readonly T[] }
  | { readonly kind: "none" };

/**
 * Finds the item whose id is meant: exactly, else without regard to case, else by the part after the
 * last "/", if that names one only. Never by a substring, which can pick a wrong model.
 */
export function matchModel<T extends { readonly modelId: string }>(
  items: readonly T[],
  wanted: string,
): Match<T> {
  const lower = wanted.trim().toLowerCase();
  const tail = tailOf(lower);
  const tests: readonly ((id: string) => boolean)[] = [
    (id) => id === wanted,
    (id) => id.toLowerCase() === lower,
    (id) => tail !== "" && tailOf(id.toLowerCase()) === tail,
    // Ollama's name for a model without a tag.
    (id) => id.toLowerCase() === `${lower}:latest`,
  ];
  for (const test of tests) {
    const found = items.filter((item) => test(item.modelId));
    if (found.length === 1) return { kind: "one", item: found[0]! };
    if (found.length > 1) return { kind: "several", items: found };
  }
  return { kind: "none" };
}

function tailOf(id: string): string {
  return id.slice(id.lastIndexOf("/") + 1);
}

/**
 * The model of a session that asked for none: the first that is routable; one that is quarantined still
 * serves, and of one that is loading the server itself says when it is ready.
 */
export function defaultModel(models: readonly ModelInfo[]): ModelInfo | undefined {
  const byState = (state: ModelInfo["state"]) => models.find((model) => model.state === state);
  return byState("loaded") ?? byState("quarantined") ?? byState("loading");
}
