// Which model a person means by "qwen3-8b": the rule of contracts/lmx.md section 7a row 18, over what the
// server lists. The provider has its own for chat requests; this one also sees models that only lie on disk.
import { OptaError } from "../protocol/error.ts";
import type { ModelInfo } from "../protocol/model.ts";

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

/** The error for a name that fits no model, with the nearest id. */
export async function noSuchModel(
  models: readonly ModelInfo[],
  options: { readonly name: string; readonly server: string },
): Promise<OptaError> {
  const { nearestName } = await import("./nearest.ts");
  const ids = models.map((model) => model.modelId);
  const tails = ids.map((id) => id.slice(id.lastIndexOf("/") + 1));
  const nearTail = nearestName(options.name, tails);
  const near = nearestName(options.name, ids) ?? ids.find((id) => id.endsWith(nearTail ?? "\0"));
  const guess = near === undefined ? "" : `; did you mean ${near}?`;
  return new OptaError(
    "model-not-found",
    `${options.server} has no model "${options.name}"${guess}`,
    "opta models list",
  );
}
