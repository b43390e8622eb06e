// What a client operation is: a typed function with a name, a rating and a lenient input, behind
// `POST /v3/operations/:id` (contracts/daemon-v3.md section 5). Knows none of them; ../client-operations.ts has
// the table.
import * as z from "zod";
import { sleep, systemClock } from "../../base/clock.ts";
import type { LoadedConfig } from "../../config/load.ts";
import type { OperationName, OperationParams, OperationResult } from "../../protocol/operations.ts";

/** What a client operation may use of the daemon. */
export interface ClientOperationContext {
  /** An operation of the engine. Must go on when the client leaves: a model load outlives its request. */
  call<N extends OperationName>(
    operation: N,
    params: OperationParams<N>,
  ): Promise<OperationResult<N>>;
  /** The settings as they are now. @throws OptaError config-invalid */
  loadConfig(): Promise<LoadedConfig>;
  readonly daemon: {
    status(): DaemonFacts;
    /** The newest lines of the log, oldest first. */
    logs(lines: number): readonly DaemonLogLine[];
  };
  /** Aborts when the client leaves, has been told that it takes too long, or the daemon stops. */
  readonly signal: AbortSignal;
  /** The user's home directory, absolute. */
  readonly home: string;
}

export interface DaemonFacts {
  readonly pid: number;
  readonly port: number;
  readonly version: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly logsPath: string;
  /** How it is started at login ("launchd", "systemd"); null when it is not. */
  readonly installedAs: string | null;
}

export interface DaemonLogLine {
  /** ISO 8601, UTC. */
  readonly ts: string;
  readonly level: string;
  readonly msg: string;
  readonly data?: unknown;
  /** The line as it stands in the file. */
  readonly raw: string;
}

/** "dangerous" ones run only with `confirmDangerous: true`. */
export type OperationSafety = "read" | "write" | "dangerous";

export interface ClientOperation {
  /** As in the URL: `sessions.list`. */
  readonly id: string;
  /** A few words. */
  readonly title: string;
  /** One sentence. */
  readonly description: string;
  readonly safety: OperationSafety;
  /** Unknown keys are ignored. */
  readonly input: z.ZodType;
  /** `input` is what the schema gave. @throws OptaError */
  run(input: unknown, context: ClientOperationContext): Promise<object>;
}

/** Types `run` after the input, then forgets it for the table. Schemas are lazy, as those of protocol/operations.ts. */
export function defineClientOperation<S extends z.ZodType>(
  operation: Omit<ClientOperation, "input" | "run"> & {
    readonly input: S;
    run(input: z.output<S>, context: ClientOperationContext): Promise<object>;
  },
): ClientOperation {
  return operation as unknown as ClientOperation;
}

export const noInput = z.lazy(() => z.object({}));

/** A whole number, which some clients send as text. */
export const count = z.coerce.number().int().min(1);

/** An input whose keys have other spellings, each read as ours unless ours is there too: {id: "sessionId"}. */
export function withSpellings<S extends z.ZodType>(
  spellings: Readonly<Record<string, string>>,
  schema: S,
) {
  return z.preprocess((given) => {
    if (typeof given !== "object" || given === null) return given;
    const renamed = Object.entries(given).flatMap(([key, value]) => {
      const own = Object.hasOwn(spellings, key) ? spellings[key] : undefined;
      return own === undefined ? [] : [[own, value] as const];
    });
    return { ...Object.fromEntries(renamed), ...given };
  }, schema);
}

/**
 * The result, or undefined when it takes longer; the work goes on, and its failure is then nobody's.
 */
export async function inTime<T>(
  work: Promise<T>,
  options: { readonly limitMs: number; readonly signal: AbortSignal },
): Promise<T | undefined> {
  const settled = new AbortController();
  const signal = AbortSignal.any([options.signal, settled.signal]);
  const limit = sleep(options.limitMs, { clock: systemClock, signal });
  try {
    return await Promise.race([work, limit.then(() => undefined)]);
  } finally {
    settled.abort();
    work.catch(() => undefined);
  }
}
