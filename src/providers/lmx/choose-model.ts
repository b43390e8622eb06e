// The model that a session gets from what its server has, and when there is none, what to say and to type.
import { OptaError } from "../../protocol/error.ts";
import type { ModelInfo } from "../../protocol/model.ts";
import { kindNames, loadCommand } from "../openai/kind-names.ts";
import { loadsOnDemand } from "../openai/server-kinds.ts";
import type { Endpoint } from "./endpoint.ts";
import {
  defaultModel,
  isCloudModel,
  isServerAlias,
  matchModel,
  refuseCloudModel,
} from "./model-choice.ts";
import { fetchModelsOnDisk, type ServerAccess } from "./models.ts";

/** A model by the server's spelling; null: the server does not tell its window. */
export interface ChosenModel {
  readonly modelId: string;
  readonly contextLength: number | null;
}

export interface Choice {
  readonly kind: Endpoint["kind"];
  /** Loaded ones, and for servers that load on demand those on disk too. */
  readonly models: readonly ModelInfo[];
  /** Undefined: whichever answers. */
  readonly wanted: string | undefined;
  readonly allowCloudModels: boolean;
}

/** mlx_lm.server's own name for the model it was started with. */
const mlxDefaultModel = "default_model";

/**
 * The model that is meant; undefined when there is none (contracts/lmx.md row 18). Pure.
 * @throws OptaError model-not-found: several fit, or it would leave the network
 */
export function pickModel(choice: Choice): ChosenModel | undefined {
  const { kind, models, wanted, allowCloudModels } = choice;
  if (wanted === undefined) {
    const local = allowCloudModels
      ? models
      : models.filter(({ modelId }) => !isCloudModel(modelId));
    const model = defaultModel(local) ?? (loadsOnDemand(kind) ? onlyOne(local) : undefined);
    if (model === undefined && kind === "mlx-lm") {
      return { modelId: mlxDefaultModel, contextLength: null };
    }
    return model;
  }
  const match = matchModel(models, wanted);
  if (match.kind === "several") {
    const ids = match.items.map((model) => model.modelId).join(", ");
    throw new OptaError("model-not-found", `${wanted} may be any of ${ids}`, "opta models list");
  }
  if (match.kind === "one") {
    if (!allowCloudModels) refuseCloudModel(match.item.modelId);
    return match.item;
  }
  if (kind === "lmx" && models.length > 0 && isServerAlias(wanted)) {
    return { modelId: wanted, contextLength: null };
  }
  return kind === "mlx-lm" && wanted === mlxDefaultModel
    ? { modelId: wanted, contextLength: null }
    : undefined;
}

function onlyOne<T>(items: readonly T[]): T | undefined {
  return items.length === 1 ? items[0] : undefined;
}

/** The same, with an error that says what there is instead. @throws OptaError no-model-loaded | model-not-found */
export async function chooseModel(
  choice: Choice,
  endpoint: Endpoint,
  access: ServerAccess,
): Promise<ChosenModel> {
  const picked = pickModel(choice);
  if (picked !== undefined) return picked;
  const loaded = choice.models.filter(({ state }) => state !== "on-disk");
  const onDisk =
    endpoint.kind === "lmx"
      ? await fetchModelsOnDisk(access)
      : choice.models.filter(({ state }) => state === "on-disk");
  if (endpoint.isLoading) throw stillLoading(endpoint);
  const { wanted } = choice;
  const cloud = loaded.find(({ modelId }) => isCloudModel(modelId));
  if (wanted === undefined && cloud !== undefined) throw onlyCloud(endpoint, cloud.modelId);
  if (loaded.length === 0 || wanted === undefined) throw nothingLoaded(endpoint, onDisk, wanted);
  throw notLoaded(endpoint, { loaded, onDisk, wanted });
}

/** What is loaded lies behind the server, in a cloud. */
function onlyCloud({ server }: Endpoint, modelId: string): OptaError {
  return new OptaError(
    "no-model-loaded",
    `${server} has only cloud models loaded (${modelId}): opta sends nothing to a cloud without your consent`,
    "opta models list\nto allow it: opta config set connection.allowCloudModels true",
  );
}

function stillLoading({ server, kind }: Endpoint): OptaError {
  const message = `${server} (${kindNames[kind]}) is still loading its model`;
  return new OptaError("no-model-loaded", message, "opta status   (then try again)");
}

function nothingLoaded(
  { server, kind }: Endpoint,
  onDisk: readonly ModelInfo[],
  wanted: string | undefined,
): OptaError {
  const [first] = onDisk;
  if (first === undefined) {
    return new OptaError(
      "no-model-loaded",
      `${server} has no model loaded, and names none that it could load`,
      kind === "lmx" || wanted === undefined
        ? "load one on the server itself, then: opta models list"
        : loadCommand(kind, wanted),
    );
  }
  const match = matchModel(onDisk, wanted ?? first.modelId);
  const { modelId: toLoad } = match.kind === "one" ? match.item : first;
  const ids = onDisk.map((model) => model.modelId).join(", ");
  const lacks =
    wanted !== undefined && loadsOnDemand(kind) ? `has no model ${wanted}` : "has no model loaded";
  return new OptaError(
    "no-model-loaded",
    `${server} ${lacks}; on its disk: ${ids}`,
    loadsOnDemand(kind)
      ? `opta models use ${toLoad}   (it is loaded with the first request)`
      : loadCommand(kind, toLoad),
  );
}

function notLoaded(
  { server, kind }: Endpoint,
  {
    loaded,
    onDisk,
    wanted,
  }: {
    readonly loaded: readonly ModelInfo[];
    readonly onDisk: readonly ModelInfo[];
    readonly wanted: string;
  },
): OptaError {
  const ids = loaded.map((model) => model.modelId).join(", ");
  const match = matchModel(onDisk, wanted);
  if (match.kind !== "one") {
    const message = `${server} has no model ${wanted}; loaded: ${ids}`;
    return new OptaError("model-not-found", message, "opta models list");
  }
  const { modelId } = match.item;
  const message = `${modelId} is on the disk of ${server} but not loaded; loaded: ${ids}`;
  return new OptaError("model-not-found", message, loadCommand(kind, modelId));
}
