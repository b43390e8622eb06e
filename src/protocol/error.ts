// The one error a user may see: a code, a sentence, and the next command to type. One table maps a code
// to its exit code and its HTTP status, so that every surface fails alike.

/** Exit codes of the command line: one table, printed by `opta help exit-codes`. */
export const exitCodes = {
  done: { exit: 0, meaning: "done" },
  error: { exit: 1, meaning: "error" },
  usage: { exit: 2, meaning: "wrong usage or configuration" },
  unavailable: {
    exit: 3,
    meaning: "no model server reachable, no model loaded, or another daemon holds the place",
  },
  authentication: { exit: 4, meaning: "the model server refused the key" },
  serverFailed: { exit: 5, meaning: "the model server failed" },
  denied: { exit: 6, meaning: "something was denied by policy" },
  limit: { exit: 7, meaning: "step, time or context limit reached" },
  interrupted: { exit: 130, meaning: "interrupted" },
} as const;

export type ExitKind = keyof typeof exitCodes;

/** Codes that existing clients know (contracts/daemon-v3.md section 3, turn.error) keep their names. */
export const errorCodes = {
  usage: { kind: "usage", httpStatus: 400 },
  "config-invalid": { kind: "usage", httpStatus: 400 },
  "not-found": { kind: "error", httpStatus: 404 },
  "state-conflict": { kind: "error", httpStatus: 409 },
  "session-locked": { kind: "error", httpStatus: 409 },
  "session-corrupt": { kind: "error", httpStatus: 500 },
  "storage-full": { kind: "error", httpStatus: 507 },
  "storage-failed": { kind: "error", httpStatus: 500 },
  internal: { kind: "error", httpStatus: 500 },
  /** The cursor of a client lies before the oldest event that is kept. */
  "before-retention": { kind: "error", httpStatus: 410 },
  /** The cursor of a client lies behind the newest event. */
  "ahead-of-head": { kind: "error", httpStatus: 409 },
  "too-large": { kind: "usage", httpStatus: 413 },
  unauthorized: { kind: "error", httpStatus: 401 },
  /** Another daemon serves this configuration directory. */
  "daemon-running": { kind: "unavailable", httpStatus: 409 },
  "daemon-unreachable": { kind: "error", httpStatus: 503 },
  "daemon-stopping": { kind: "error", httpStatus: 503 },
  /** The daemon went down in the middle of the turn. */
  "daemon-restarted": { kind: "error", httpStatus: 503 },
  "port-taken": { kind: "error", httpStatus: 409 },
  /** The settings directory lies open to others. */
  "unsafe-directory": { kind: "error", httpStatus: 500 },
  "lmx-connection-refused": { kind: "unavailable", httpStatus: 502 },
  "no-model-loaded": { kind: "unavailable", httpStatus: 503 },
  "model-not-found": { kind: "unavailable", httpStatus: 404 },
  "auth-failed": { kind: "authentication", httpStatus: 502 },
  "lmx-ws-closed": { kind: "serverFailed", httpStatus: 502 },
  "lmx-timeout": { kind: "serverFailed", httpStatus: 504 },
  "model-server-failed": { kind: "serverFailed", httpStatus: 502 },
  "model-server-busy": { kind: "serverFailed", httpStatus: 503 },
  "insufficient-memory": { kind: "serverFailed", httpStatus: 507 },
  /** The server refused the request because it does not fit the model's window. */
  "context-exceeded": { kind: "limit", httpStatus: 400 },
  "empty-answer": { kind: "serverFailed", httpStatus: 502 },
  /** Not 403: existing clients take that for a refusal of their token, and renew it (contracts/daemon-v3.md section 2). */
  denied: { kind: "denied", httpStatus: 409 },
  "step-limit": { kind: "limit", httpStatus: 409 },
  /** The conversation does not fit the model's window, and compacting it would free too little. */
  "context-full": { kind: "limit", httpStatus: 409 },
  /** The model made the same call over and over, with the same result. */
  "repeated-call": { kind: "limit", httpStatus: 409 },
  "answer-cut": { kind: "limit", httpStatus: 409 },
  cancelled: { kind: "interrupted", httpStatus: 409 },
} as const satisfies Record<string, { kind: ExitKind; httpStatus: number }>;

export type ErrorCode = keyof typeof errorCodes;

/** An error meant for a person: what was wrong and where, then (hint) what to type next. */
export class OptaError extends Error {
  override readonly name = "OptaError";
  constructor(
    readonly code: ErrorCode,
    message: string,
    /** One or more lines with the next command to type. */
    readonly hint?: string,
  ) {
    super(message);
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code);
}

/** The exit code for an error code; an unknown one (from a newer peer) is a plain error. */
export function exitCodeOf(code: string): number {
  return exitCodes[isErrorCode(code) ? errorCodes[code].kind : "error"].exit;
}

/** What a peer says went wrong; a code that only a newer one knows is `internal`. */
export function toPeerError(said: {
  readonly code?: string | undefined;
  readonly message: string;
  readonly hint?: string | undefined;
}): OptaError {
  const { code = "", message, hint } = said;
  return new OptaError(isErrorCode(code) ? code : "internal", message, hint);
}

/**
 * Any thrown value as an OptaError. Errors of base/ that carry one of our codes (StorageError) keep code and
 * hint; everything else becomes `internal`, without its stack.
 */
export function toOptaError(thrown: unknown): OptaError {
  if (thrown instanceof OptaError) return thrown;
  if (thrown instanceof Error && "code" in thrown && isErrorCode(String(thrown.code))) {
    const hint = "hint" in thrown && typeof thrown.hint === "string" ? thrown.hint : undefined;
    return new OptaError(String(thrown.code) as ErrorCode, thrown.message, hint);
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new OptaError("internal", message);
}
