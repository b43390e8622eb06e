// Operations on the model server's models: what is there, what is loaded, and which one is the default. Clients
// wait 8 s for any operation, so that a load that takes longer is answered as going on.
import * as z from "zod";
import { setConfig } from "../../config/edit.ts";
import type { Config } from "../../config/schema.ts";
import { OptaError } from "../../protocol/error.ts";
import { findModel } from "../../protocol/find-model.ts";
import type { ModelInfo } from "../../protocol/model.ts";
import {
  type ClientOperation,
  count,
  defineClientOperation,
  inTime,
  noInput,
  withSpellings,
} from "./client-operation.ts";

const modelInput = z.lazy(() =>
  withSpellings(
    { model: "modelId", model_id: "modelId", id: "modelId", name: "modelId" },
    z.object({ modelId: z.string().trim().min(1) }),
  ),
);

const list = defineClientOperation({
  id: "models.list",
  title: "List models",
  description: "The model server's models, loaded ones first.",
  safety: "read",
  input: noInput,
  async run(_input, { call }) {
    const { server, models } = await call("lmx.models", {});
    return { server, models: models.map(toShown) };
  },
});

/** Below the 8 s after which clients give up. */
const answerWithinMs = 6_000;

const load = defineClientOperation({
  id: "models.load",
  title: "Load a model",
  description: "Loads a model; one that takes longer than a few seconds is answered as loading.",
  safety: "write",
  input: modelInput,
  async run(input, { call, loadConfig, signal }) {
    const modelId = unaliased((await loadConfig()).config, input.modelId);
    const loading = call("lmx.load", { modelId });
    const result = await inTime(loading, { limitMs: answerWithinMs, signal });
    return result ?? { status: "loading", modelId };
  },
});

const unload = defineClientOperation({
  id: "models.unload",
  title: "Unload a model",
  description: "Takes a model out of memory.",
  safety: "write",
  input: modelInput,
  async run(input, { call, loadConfig }) {
    const modelId = unaliased((await loadConfig()).config, input.modelId);
    return { status: "unloaded", ...(await call("lmx.unload", { modelId })) };
  },
});

const use = defineClientOperation({
  id: "models.use",
  title: "Choose the default model",
  description: "Makes one of the server's models the default of new sessions.",
  safety: "write",
  input: modelInput,
  async run(input, { call, loadConfig, signal }) {
    const { config, path } = await loadConfig();
    const name = unaliased(config, input.modelId);
    const { server, models } = await call("lmx.models", {});
    const found = findModel(models, name);
    if (found === undefined) {
      throw new OptaError(
        "model-not-found",
        `${server} has no model "${name}"`,
        "opta models list",
      );
    }
    // Whoever was told that it failed must not find it done later.
    await setConfig(path, "model.default", found.modelId, signal);
    return { modelId: found.modelId, state: found.state };
  },
});

const health = defineClientOperation({
  id: "models.health",
  title: "Health of the models",
  description: "Which of the server's models would answer, and how fast the server does.",
  safety: "read",
  input: noInput,
  async run(_input, { call }) {
    const [{ latencyMs }, { models }] = await Promise.all([
      call("lmx.status", {}),
      call("lmx.models", {}),
    ]);
    return {
      models: models.map(({ modelId, state }) => ({
        modelId,
        status: healthOf[state],
        latencyMs: Math.round(latencyMs),
      })),
    };
  },
});

const healthOf = {
  loaded: "healthy",
  loading: "degraded",
  quarantined: "degraded",
  "on-disk": "unavailable",
} as const satisfies Record<ModelInfo["state"], string>;

const browseLibrary = defineClientOperation({
  id: "models.browse.library",
  title: "Browse the library",
  description: "The models that the server has in memory or on disk, those whose id has the query.",
  safety: "read",
  input: z.lazy(() => z.object({ query: z.string().default(""), limit: count.optional() })),
  async run({ query, limit }, { call }) {
    const { models } = await call("lmx.models", {});
    const wanted = query.trim().toLowerCase();
    const found = models.filter(({ modelId }) => modelId.toLowerCase().includes(wanted));
    return { models: found.slice(0, limit).map(toShown), total: found.length };
  },
});

export const modelOperations: readonly ClientOperation[] = [
  list,
  load,
  unload,
  use,
  health,
  browseLibrary,
];

/** With the names that clients know from elsewhere. */
function toShown(model: ModelInfo): object {
  return { ...model, id: model.modelId, loaded: model.state === "loaded" };
}

function unaliased({ aliases }: Config, name: string): string {
  return Object.hasOwn(aliases, name) ? (aliases[name] ?? name) : name;
}
