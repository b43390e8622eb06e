// The composition root: the one place that knows every part and puts the engine together.
import { join } from "node:path";
import { resolveLinks } from "./base/resolve-links.ts";
import type { Config } from "./config/schema.ts";
import type { Environment } from "./config/environment.ts";
import type { EngineOptions } from "./engine/engine-parts.ts";
import type { EngineSettings } from "./engine/engine-settings.ts";
import { createEventLog, type EventLog } from "./engine/event-log.ts";
import { createEngine, type Engine } from "./engine/engine.ts";
import { createCloudOptIn } from "./providers/cloud-opt-in.ts";
import { createLmxProvider } from "./providers/lmx/provider.ts";
import type { Provider } from "./providers/provider.ts";
import { noteDeletedSession, removeDeletionNote } from "./store/deleted-sessions.ts";
import type { EventStore } from "./store/event-store.ts";
import { createMemoryEventStore } from "./store/memory-event-store.ts";
import { createSessionStore } from "./store/session-file.ts";
import { sessionsDirectory } from "./store/session-place.ts";
import { createBackgroundStarter } from "./tools/background-process.ts";
import { createBuiltinTools } from "./tools/index.ts";

export interface AppOptions {
  readonly config: Config;
  /** opta's own directory: ~/.config/opta. */
  readonly directory: string;
  readonly environment: Environment;
  /** Names the process in every event. */
  readonly daemonId: string;
}

export interface DaemonAppOptions extends Omit<AppOptions, "config" | "daemonId"> {
  /** The settings that hold now; asked at every operation. The same object while nothing changed. */
  readonly config: () => Config;
  /** Reads them again when they changed. */
  readonly refreshSettings: () => Promise<void>;
  readonly events: EventStore;
  /** Over the same store. */
  readonly log: EventLog;
  readonly report: EngineOptions["report"];
}

/** An engine for one command: events live as long as it does. */
export function createApp(options: AppOptions): Engine {
  const settings = createSettings(options);
  const events = createMemoryEventStore();
  return createEngine({
    ...engineOptions(options),
    settings: () => settings,
    refreshSettings: async () => undefined,
    events,
    log: createEventLog({ daemonId: options.daemonId, now, store: events }),
    // What fails here fails in a call of the same process, too, and is told there.
    report: () => undefined,
  });
}

/** The daemon's engine: events outlive it, and changed settings hold from the next operation on. */
export function createDaemonApp(options: DaemonAppOptions): Engine {
  let current: { readonly config: Config; readonly settings: EngineSettings } | undefined;
  const settings = (): EngineSettings => {
    const config = options.config();
    if (current?.config === config) return current.settings;
    // Its running answers go on; only what waited for the next request is dropped.
    current?.settings.provider.close();
    current = { config, settings: createSettings({ ...options, config }) };
    return current.settings;
  };
  const { events, log, report, refreshSettings } = options;
  return createEngine({
    ...engineOptions(options),
    settings,
    refreshSettings,
    events,
    log,
    report,
  });
}

const now = () => new Date();

function engineOptions({ directory, environment }: Pick<AppOptions, "directory" | "environment">) {
  return {
    store: createSessionStore({
      directory: sessionsDirectory(directory),
      deletions: {
        note: (sessionId) => noteDeletedSession(directory, sessionId),
        takeBack: (sessionId) => removeDeletionNote(directory, sessionId),
      },
    }),
    startProcess: createBackgroundStarter({ environment: environment.variables }),
    // The policy compares them with paths whose links are resolved.
    home: resolveLinks(environment.home),
    settingsDirectory: resolveLinks(directory),
    toolPath: environment.toolPath,
    platform: process.platform,
    now,
  };
}

function createSettings(options: Omit<AppOptions, "daemonId">): EngineSettings {
  const { config, directory, environment } = options;
  return {
    provider: createProvider(options),
    tools: createBuiltinTools({
      environment: environment.variables,
      toolPath: environment.toolPath,
      cacheDirectory: join(directory, "cache"),
      searxngUrl: config.web.searxngUrl,
      allowHosts: config.web.allowHosts,
    }),
    model:
      config.provider.default === "anthropic"
        ? config.provider.anthropicModel
        : config.model.default,
    permissions: config.permissions,
    maxSteps: config.limits.maxSteps,
  };
}

/** The local provider alone, unless the user opted in to the cloud: a key in the environment is no opt-in. */
function createProvider({
  config,
  directory,
  environment,
}: Omit<AppOptions, "daemonId">): Provider {
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
