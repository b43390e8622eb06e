// Which model a person means by "qwen3-8b": the rule of contracts/lmx.md section 7a row 18, over what the
// server lists. The provider has its own for chat requests; this one also sees models that only lie on disk.
import { OptaError } from "./error.ts";
import type { ModelInfo } from "./model.ts";

/**
 * Exact id, else the same letters in another case, else an id whose last part it is; undefined for none.
 * @throws OptaError usage when several fit: choosing one would be a guess
 */
export function findModel(models: readonly ModelInfo[], name: string): ModelInfo | undefined {
  const wanted = name.toLowerCase();
  const exact = models.find((model) => model.modelId === name);
  if (exact !== undefined) return exact;
  const sameLetters = models.filter((model) => model.modelId.toLowerCase() === wanted);
  const tails = models.filter((model) => model.modelId.toLowerCase().endsWith(`/${wanted}`));
  const found = sameLetters.length > 0 ? sameLetters : tails;
  if (found.length <= 1) return found[0];
  const ids = found.map((model) => model.modelId);
  throw new OptaError(
    "usage",
    `"${name}" fits several models`,
    `name one in full:\n${ids.join("\n")}`,
  );
}
