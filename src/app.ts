// The composition root: the one place that knows every part and puts the engine together.
import { join } from "node:path";
import { resolveLinks } from "./base/resolve-links.ts";
import type { Config } from "./config/schema.ts";
import type { Environment } from "./config/environment.ts";
import { createEngine, type Engine } from "./engine/engine.ts";
import { createCloudOptIn } from "./providers/cloud-opt-in.ts";
import { createLmxProvider } from "./providers/lmx/provider.ts";
import type { Provider } from "./providers/provider.ts";
import { createSessionStore } from "./store/session-file.ts";
import { createBuiltinTools } from "./tools/index.ts";

export interface AppOptions {
  readonly config: Config;
  /** opta's own directory: ~/.config/opta. */
  readonly directory: string;
  readonly environment: Environment;
  /** Names the process in every event. */
  readonly daemonId: string;
}

export function createApp(options: AppOptions): Engine {
  const { config, directory, environment } = options;
  return createEngine({
    daemonId: options.daemonId,
    provider: createProvider(options),
    tools: createBuiltinTools({
      environment: environment.variables,
      toolPath: environment.toolPath,
      cacheDirectory: join(directory, "cache"),
      searxngUrl: config.web.searxngUrl,
      allowHosts: config.web.allowHosts,
    }),
    store: createSessionStore({ directory: join(directory, "sessions") }),
    model:
      config.provider.default === "anthropic"
        ? config.provider.anthropicModel
        : config.model.default,
    permissions: config.permissions,
    maxSteps: config.limits.maxSteps,
    // The policy compares them with paths whose links are resolved.
    home: resolveLinks(environment.home),
    settingsDirectory: resolveLinks(directory),
    platform: process.platform,
    now: () => new Date(),
  });
}

/** The local provider alone, unless the user opted in to the cloud: a key in the environment is no opt-in. */
function createProvider({ config, directory, environment }: AppOptions): Provider {
  const local = createLmxProvider({
    ...config.connection,
    aliases: config.aliases,
    modelSettings: config.models,
    cacheFile: join(directory, "cache", "endpoints.json"),
    timeouts: {
      firstTokenMs: minutesMs(config.limits.firstTokenMinutes) || Infinity,
      idleMs: minutesMs(config.limits.idleMinutes),
    },
  });
  const { default: chosen, fallback, anthropicModel } = config.provider;
  if (chosen === "lmx" && fallback === "none") return local;
  return createCloudOptIn({
    use: chosen === "anthropic" ? "only" : "fallback",
    local,
    name: "Anthropic",
    isCloudModel: (modelId) => modelId.startsWith("claude-"),
    async load() {
      const { createAnthropicProvider } = await import("./providers/anthropic/provider.ts");
      return createAnthropicProvider({
        apiKey: environment.variables["ANTHROPIC_API_KEY"],
        baseUrl: environment.variables["ANTHROPIC_BASE_URL"],
        model: anthropicModel,
      });
    },
  });
}

function minutesMs(minutes: number): number {
  return minutes * 60_000;
}
