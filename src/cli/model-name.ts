// What is said to a person who named a model that the server does not have.
import { OptaError } from "../protocol/error.ts";
import type { ModelInfo } from "../protocol/model.ts";

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
