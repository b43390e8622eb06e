// The daemon: takes its place, ends what a crash left, listens, says where, and goes in good order. What serves clients
// (service.ts) is loaded when the first of them comes.
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { FileLock } from "../base/file-lock.ts";
import { createId } from "../base/ids.ts";
import { version } from "../base/version.ts";
import type { Environment } from "../config/environment.ts";
import { createEventLog } from "../engine/event-log.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";
import {
  daemonPaths,
  type DaemonPaths,
  removeDaemonState,
  takeDaemonPlace,
  writeDaemonState,
} from "../store/daemon-place.ts";
import type { DaemonState } from "../store/daemon-state.ts";
import { createSqliteEventStore, type SqliteEventStore } from "../store/sqlite-event-store.ts";
import { createToken } from "./access.ts";
import { createLogFile, type LogFile, logFileName } from "./log-file.ts";
import { listen, type Service, type SocketServer } from "./server.ts";

export interface DaemonOptions {
  /** opta's own directory. */
  readonly root: string;
  readonly environment: Environment;
  /** Exactly this port. */
  readonly port: number | undefined;
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

/**
 * Resolves when the daemon can be found.
 * @throws OptaError daemon-running | port-taken | unsafe-directory | storage-full | storage-failed
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const place = await takeDaemonPlace(options.root);
  try {
    return await serve(options, place);
  } catch (error) {
    // It may be written and not be safe on the disk: it names a port that nobody owns from here on.
    removeDaemonState(daemonPaths(options.root));
    place.release();
    throw error;
  }
}

async function serve(options: DaemonOptions, place: FileLock): Promise<Daemon> {
  const { root, environment } = options;
  const paths = daemonPaths(root);
  const token = createToken();
  const daemonId = `daemon_${createId().slice(0, 8)}`;
  const hadPredecessor = existsSync(paths.state);
  // What a predecessor left names a token and a port that are not ours.
  removeDaemonState(paths);
  let moreSecrets = (): readonly string[] => [];
  const log = createLogFile({
    path: join(paths.directory, logFileName),
    daemonId,
    secrets: () => [token, ...moreSecrets()],
    now: () => new Date(),
  });
  const events = openEvents(paths, log);
  const eventLog = createEventLog({ daemonId, now: () => new Date(), store: events });
  let state: DaemonState = {
    pid: process.pid,
    daemonId,
    host: "127.0.0.1",
    token,
    startedAt: new Date().toISOString(),
    logsPath: paths.log,
    port: 0,
  };

  let loading: Promise<Service> | undefined;
  const service = () => (loading ??= load());
  async function load(): Promise<Service> {
    const { createService } = await import("./service.ts");
    try {
      return await createService({
        root,
        environment,
        paths,
        events,
        eventLog,
        log,
        state: () => state,
        server: () => server,
        stop: () => void stop(),
        addSecrets: (secrets) => (moreSecrets = secrets),
      });
    } catch (thrown) {
      loading = undefined; // settings can be mended while the daemon waits
      log.error("cannot serve", { message: toOptaError(thrown).message });
      throw thrown;
    }
  }
  if (hadPredecessor) log.warn("the daemon before this one did not end in good order");
  const unsettled = events.sessionsToSettle();
  if (unsettled.length > 0) {
    const { settleSessions } = await import("./settle.ts");
    await settleSessions({ root, events, eventLog, log });
    log.info("sessions settled: what still ran in them is told as ended", {
      count: unsettled.length,
    });
  }
  const server: SocketServer = listen({
    port: options.port,
    service,
    onDefect: (thrown) => log.error("a request failed", { message: toOptaError(thrown).message }),
  });

  const { promise: stopped, resolve: finished } = Promise.withResolvers<void>();
  let leaving: Promise<void> | undefined;
  function stop(reason = stoppingError()): Promise<void> {
    return (leaving ??= leave(reason));
  }
  async function leave(reason: OptaError): Promise<void> {
    log.info("stopping", { reason: reason.message });
    removeDaemonState(paths);
    await Promise.race([closeService(loading, reason, log), Bun.sleep(stopLimitMs)]);
    await server.stop(true);
    events.close();
    log.info("stopped");
    log.close();
    place.release();
    finished();
  }

  state = { ...state, port: server.port ?? 0 };
  await writeDaemonState(paths, state);
  log.info("started", { version, port: state.port, pid: process.pid });
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

function openEvents(paths: DaemonPaths, log: LogFile): SqliteEventStore {
  const { events: path, reserve: reservePath } = paths;
  const events = createSqliteEventStore({ path, reservePath, now: () => new Date() });
  if (events.setAside !== undefined) {
    log.error("the event log could not be read and was set aside", { keptAs: events.setAside });
  }
  return events;
}

async function closeService(
  loading: Promise<Service> | undefined,
  reason: OptaError,
  log: LogFile,
): Promise<void> {
  try {
    await (await loading)?.close(reason);
  } catch (thrown) {
    log.error("could not close in good order", { message: toOptaError(thrown).message });
  }
}

function stoppingError(): OptaError {
  return new OptaError("daemon-stopping", "the daemon is stopping", "opta daemon start");
}
