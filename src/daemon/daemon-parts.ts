// What the daemon's routes and sockets share; put together in daemon.ts.
import type { Environment } from "../config/environment.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { DaemonPaths } from "../store/daemon-place.ts";
import type { DaemonState } from "../store/daemon-state.ts";
import type { Access } from "./access.ts";
import type { Followers } from "./followers.ts";
import type { OpenPages } from "./open-pages.ts";
import type { LazyEngine } from "./lazy-engine.ts";
import type { LogFile } from "./log-file.ts";
import type { ModelsCache } from "./models-cache.ts";
import type { RequestTimes } from "./request-times.ts";
import type { LiveSettings } from "./live-settings.ts";

export interface DaemonParts {
  readonly daemonId: string;
  readonly engine: LazyEngine;
  readonly access: Access;
  readonly followers: Followers;
  readonly pages: OpenPages;
  readonly settings: LiveSettings;
  readonly modelsCache: ModelsCache;
  readonly times: RequestTimes;
  readonly log: LogFile;
  readonly paths: DaemonPaths;
  readonly environment: Environment;
  /** Once it is published. */
  readonly state: () => DaemonState;
  readonly loadConfig: () => Promise<LoadedConfig>;
  /** Aborts when the daemon stops. */
  readonly stopping: AbortSignal;
  /** Aborts behind that: what ran has ended, and was told. */
  readonly leaving: AbortSignal;
  /** Stops the daemon. */
  readonly stop: () => void;
  readonly subscriberCount: () => number;
}
