// What the operations of the engine share; put together in engine.ts.
import type { CheckedParams, OperationName, OperationResult } from "../protocol/operations.ts";
import type { OptaError } from "../protocol/error.ts";
import type { EventStore } from "../store/event-store.ts";
import type { SessionStore } from "../store/session-store.ts";
import type { StartBackgroundProcess } from "./background.ts";
import type { EngineSettings } from "./engine-settings.ts";
import type { EventLog } from "./event-log.ts";
import type { ModelConnections } from "./model-connections.ts";
import type { OpenSessions } from "./open-sessions.ts";

export interface EngineOptions {
  readonly settings: () => EngineSettings;
  /** Reads them again when they changed. */
  readonly refreshSettings: () => Promise<void>;
  readonly store: SessionStore;
  readonly events: EventStore;
  /** Over the same store. */
  readonly log: EventLog;
  readonly startProcess: StartBackgroundProcess;
  /** Absolute, symbolic links resolved; so is settingsDirectory. */
  readonly home: string;
  /** opta's own directory. */
  readonly settingsDirectory: string;
  /** PATH for tools of sessions that bring none. */
  readonly toolPath: string;
  readonly platform: string;
  readonly now: () => Date;
  /** What went wrong where no caller waits for it. */
  readonly report: (what: string, error: OptaError) => void;
}

export interface EngineParts {
  readonly options: EngineOptions;
  readonly sessions: OpenSessions;
  readonly models: ModelConnections;
}

/** One method per operation; params are taken as checked against the operations table. */
export type Handlers<N extends OperationName = OperationName> = {
  readonly [K in N]: (params: CheckedParams<K>, signal: AbortSignal) => Promise<OperationResult<K>>;
};
