// What the daemon writes about itself for others to find: daemon/state.json, and the facts beside its lock
// (contracts/daemon-v3.md section 1). Checked without schemas, which would cost every attaching command its start.

export interface DaemonState {
  readonly pid: number;
  readonly daemonId: string;
  readonly host: string;
  readonly port: number;
  /** New at every start; only here, never in arguments, logs or URLs. */
  readonly token: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly logsPath: string;
}

/** Who holds the daemon's place. */
export interface DaemonOwner {
  readonly pid: number;
  /** ISO 8601, UTC. */
  readonly since: string;
}

/** Undefined for what is none. */
export function asDaemonState(value: unknown): DaemonState | undefined {
  const state = value as Partial<DaemonState> | null | undefined;
  const isState =
    areNumbers(state?.pid, state?.port) &&
    areTexts(state?.daemonId, state?.host, state?.token, state?.startedAt, state?.logsPath) &&
    state?.token !== "";
  return isState ? (state as DaemonState) : undefined;
}

/** Undefined for what is none. */
export function asDaemonOwner(value: unknown): DaemonOwner | undefined {
  const owner = value as Partial<DaemonOwner> | null | undefined;
  return areNumbers(owner?.pid) && areTexts(owner?.since) ? (owner as DaemonOwner) : undefined;
}

function areNumbers(...values: readonly unknown[]): boolean {
  return values.every((value) => typeof value === "number");
}

function areTexts(...values: readonly unknown[]): boolean {
  return values.every((value) => typeof value === "string");
}
