// The daemon: takes its place, ends what a crash left, listens, says where, serves, and goes in good order. The parts
// are put together here; each is a file of its own.
import { join } from "node:path";
import { createDaemonApp } from "../app.ts";
import { createId } from "../base/ids.ts";
import type { FileLock } from "../base/file-lock.ts";
import { version } from "../base/version.ts";
import type { Environment } from "../config/environment.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { Engine } from "../engine/engine.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";
import {
  daemonPaths,
  type DaemonPaths,
  type DaemonState,
  removeDaemonState,
  takeDaemonPlace,
  writeDaemonState,
} from "../store/daemon-state.ts";
import { createSqliteEventStore, type SqliteEventStore } from "../store/sqlite-event-store.ts";
import { createAccess, createToken } from "./access.ts";
import type { DaemonParts } from "./daemon-parts.ts";
import { createFollowers } from "./followers.ts";
import { createLiveSettings, type LiveSettings } from "./live-settings.ts";
import { createLogFile, type LogFile, logFileName } from "./log-file.ts";
import { createModelsCache } from "./models-cache.ts";
import { createRequestTimes } from "./request-times.ts";
import { createRetention } from "./retention.ts";
import { listen } from "./server.ts";
import { publishEvent } from "./socket.ts";
import { toLmxWire } from "../protocol/lmx-wire.ts";

export interface DaemonOptions {
  readonly environment: Environment;
  readonly loaded: LoadedConfig;
  readonly load: () => Promise<LoadedConfig>;
  /** Exactly this port. */
  readonly port: number | undefined;
  /** The daemon is ready to be found. */
  readonly onReady: (state: DaemonState) => void;
}

export interface Daemon {
  readonly state: DaemonState;
  /** Resolves when it has gone. */
  readonly stopped: Promise<void>;
  /** Refuses new turns, ends the running ones in the log, goes. */
  stop(): void;
  /** The same for a defect: everything that runs ends as failed. */
  fail(thrown: unknown): Promise<void>;
}

/** After this the daemon goes, whatever still runs (promises D4: 5 s; launchd gives 20). */
const stopLimitMs = 4_500;

/** @throws OptaError daemon-running | port-taken | unsafe-directory | storage-full | storage-failed */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const root = options.loaded.directory;
  const place = await takeDaemonPlace(root);
  try {
    return await serve(options, { root, place });
  } catch (error) {
    place.release();
    throw error;
  }
}

async function serve(
  options: DaemonOptions,
  { root, place }: { readonly root: string; readonly place: FileLock },
): Promise<Daemon> {
  const { environment } = options;
  const paths = daemonPaths(root);
  const token = createToken();
  const daemonId = `daemon_${createId().slice(0, 8)}`;
  // What a predecessor left names a token and a port that are not ours.
  removeDaemonState(paths);
  const log = createLogFile({
    path: join(paths.directory, logFileName),
    daemonId,
    secrets: () => [token, ...secretsOf(settings.config(), environment)],
    now: () => new Date(),
  });
  const settings = createLiveSettings({ loaded: options.loaded, load: options.load, log });
  const events = openEvents(paths, log);
  const engine = createDaemonApp({
    config: settings.config,
    directory: root,
    environment,
    daemonId,
    events,
    report: (what, { code, message }) => log.warn(what, { code, message }),
  });
  await engine.settle();

  const stopping = new AbortController();
  const { promise: stopped, resolve: finished } = Promise.withResolvers<void>();
  const followers = createFollowers(engine.stream, () => performance.now());
  let state: DaemonState | undefined;
  const parts: DaemonParts = {
    daemonId,
    engine,
    followers,
    settings,
    log,
    paths,
    environment,
    access: createAccess({
      token,
      port: () => server.port ?? 0,
      allowedOrigins: () => settings.config().daemon.allowedOrigins,
      allowQueryToken: () => settings.config().daemon.allowQueryToken,
      nowMs: () => performance.now(),
    }),
    modelsCache: createModelsCache({
      nowMs: () => performance.now(),
      async load(signal) {
        const models = await engine.call("lmx.models", {}, signal);
        return JSON.stringify(toLmxWire("lmx.models", models));
      },
    }),
    times: createRequestTimes(),
    state: () => state ?? { ...described(token, daemonId, paths), port: server.port ?? 0 },
    loadConfig: options.load,
    stopping: stopping.signal,
    stop: () => void stop(),
    subscriberCount: () => followers.count(),
  };
  const server = listen({
    port: options.port,
    parts: () => parts,
    onDefect: (thrown) => log.error("a request failed", { message: toOptaError(thrown).message }),
  });
  // Stored before it is told: the log calls this after the commit (promises E1).
  const stopPublishing = engine.stream.onAppend((event) => publishEvent(server, event));
  const retention = createRetention({ events, engine, settings, log });

  let leaving: Promise<void> | undefined;
  function stop(reason = stoppingError()): Promise<void> {
    return (leaving ??= leave(reason));
  }
  async function leave(reason: OptaError): Promise<void> {
    log.info("stopping", { reason: reason.message });
    removeDaemonState(paths);
    stopping.abort();
    retention.stop();
    await Promise.race([closeEngine(engine, reason, log), Bun.sleep(stopLimitMs)]);
    stopPublishing();
    followers.close();
    await server.stop(true);
    log.info("stopped");
    log.close();
    place.release();
    finished();
  }

  state = { ...described(token, daemonId, paths), port: server.port ?? 0 };
  await writeDaemonState(paths, state);
  log.info("started", { version, port: state.port, pid: process.pid });
  // Code that serves for days is worth compiling; the build has the opposite set, for one-shot commands.
  Bun.unsafe.setJITPolicy?.(1);
  options.onReady(state);
  retention.start();
  return {
    state,
    stopped,
    stop: () => void stop(),
    async fail(thrown) {
      const { message } = toOptaError(thrown);
      log.error("defect", { message, stack: thrown instanceof Error ? thrown.stack : undefined });
      await stop(
        new OptaError("internal", "the daemon failed and had to stop", "opta daemon logs"),
      );
    },
  };
}

function described(
  token: string,
  daemonId: string,
  { log }: DaemonPaths,
): Omit<DaemonState, "port"> {
  const startedAt = new Date().toISOString();
  return { pid: process.pid, daemonId, host: "127.0.0.1", token, startedAt, logsPath: log };
}

function openEvents(paths: DaemonPaths, log: LogFile): SqliteEventStore {
  const { events: path, reserve: reservePath } = paths;
  const events = createSqliteEventStore({ path, reservePath, now: () => new Date() });
  if (events.setAside !== undefined) {
    log.error("the event log could not be read and was set aside", { keptAs: events.setAside });
  }
  return events;
}

async function closeEngine(engine: Engine, reason: OptaError, log: LogFile): Promise<void> {
  try {
    await engine.close(reason);
  } catch (thrown) {
    log.error("could not close in good order", { message: toOptaError(thrown).message });
  }
}

function stoppingError(): OptaError {
  return new OptaError("daemon-stopping", "the daemon is stopping", "opta daemon start");
}

function secretsOf(
  { connection }: ReturnType<LiveSettings["config"]>,
  { variables }: Environment,
): readonly string[] {
  const keys = [connection.apiKey, connection.adminKey, variables["ANTHROPIC_API_KEY"]];
  return keys.filter((key) => key !== undefined && key !== "") as string[];
}
