// Everything that serves clients: settings, engine, routes, sockets. Loaded when the first request asks for more than
// whether somebody is there, so that a daemon that only waits stays small (daemon.ts knows the rest).
import { systemClock } from "../base/clock.ts";
import type { Environment } from "../config/environment.ts";
import { loadConfig } from "../config/load.ts";
import type { EventLog } from "../engine/event-log.ts";
import { toLmxWire } from "../protocol/lmx-wire.ts";
import type { DaemonPaths } from "../store/daemon-place.ts";
import type { DaemonState } from "../store/daemon-state.ts";
import type { SqliteEventStore } from "../store/sqlite-event-store.ts";
import { createAccess } from "./access.ts";
import type { DaemonParts } from "./daemon-parts.ts";
import { createFollowers } from "./followers.ts";
import { freeMemoryAfterTurns } from "./idle-memory.ts";
import { createLazyEngine } from "./lazy-engine.ts";
import { createLiveSettings, type LiveSettings } from "./live-settings.ts";
import type { LogFile } from "./log-file.ts";
import { createModelsCache } from "./models-cache.ts";
import { createOpenPages } from "./open-pages.ts";
import { createRequestTimes } from "./request-times.ts";
import { createRetention } from "./retention.ts";
import { answerRequest } from "./answer-request.ts";
import type { Service, SocketServer } from "./server.ts";
import { createSocketHandlers, publishEvent } from "./socket.ts";

export interface ServiceOptions {
  readonly root: string;
  readonly environment: Environment;
  readonly paths: DaemonPaths;
  readonly events: SqliteEventStore;
  readonly eventLog: EventLog;
  readonly log: LogFile;
  readonly state: () => DaemonState;
  readonly server: () => SocketServer;
  readonly stop: () => void;
  /** Keys that must never stand in the log. */
  readonly addSecrets: (secrets: () => readonly string[]) => void;
}

/** @throws OptaError config-invalid: there are no settings to serve by */
export async function createService(options: ServiceOptions): Promise<Service> {
  const { environment, events, eventLog, log, paths } = options;
  const load = () => loadConfig({ environment });
  const settings = createLiveSettings({ loaded: await load(), load, log });
  options.addSecrets(() => secretsOf(settings.config(), environment));
  const engine = createLazyEngine({
    stream: eventLog,
    async load() {
      const { createDaemonApp } = await import("../app.ts");
      return createDaemonApp({
        config: settings.config,
        refreshSettings: settings.refresh,
        directory: options.root,
        environment,
        events,
        log: eventLog,
        report: (what, { code, message }) => log.warn(what, { code, message }),
      });
    },
  });
  const stopping = new AbortController();
  const leaving = new AbortController();
  // Stored before it is told: the log tells after the commit (promises E1).
  const followers = createFollowers({
    stream: eventLog,
    clock: systemClock,
    broadcast: (event) => publishEvent(options.server(), event),
  });
  const access = createAccess({
    token: options.state().token,
    port: () => options.state().port,
    allowedOrigins: () => settings.config().daemon.allowedOrigins,
    allowQueryToken: () => settings.config().daemon.allowQueryToken,
    nowMs: () => performance.now(),
  });
  const parts: DaemonParts = {
    daemonId: options.state().daemonId,
    engine,
    followers,
    settings,
    log,
    paths,
    environment,
    access,
    pages: createOpenPages({ access, clock: systemClock, refreshSettings: settings.refresh }),
    modelsCache: createModelsCache({
      nowMs: () => performance.now(),
      async load(signal) {
        const models = await engine.call("lmx.models", {}, signal);
        return JSON.stringify(toLmxWire("lmx.models", models));
      },
    }),
    times: createRequestTimes(),
    state: options.state,
    loadConfig: load,
    stopping: stopping.signal,
    leaving: leaving.signal,
    stop: options.stop,
    subscriberCount: () => followers.count(),
  };
  const retention = createRetention({
    events,
    engine,
    settings,
    log,
    root: options.root,
  });
  retention.start();
  const keepMemory = freeMemoryAfterTurns(eventLog);
  const sockets = createSocketHandlers(parts);

  return {
    sockets,
    answer: (request, server) => answerRequest(request, server, parts),
    async close(reason) {
      stopping.abort();
      retention.stop();
      keepMemory();
      await engine.close(reason);
      // Whoever follows a turn is told of its end first.
      await followers.finish();
      leaving.abort();
      followers.close();
    },
  };
}

function secretsOf(
  { connection }: ReturnType<LiveSettings["config"]>,
  { variables }: Environment,
): readonly string[] {
  const keys = [connection.apiKey, connection.adminKey, variables["ANTHROPIC_API_KEY"]];
  return keys.filter((key): key is string => key !== undefined && key !== "");
}
