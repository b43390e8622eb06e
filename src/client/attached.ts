// The attached client: the daemon's HTTP and WebSocket behind the same contract as the embedded engine. Runs in a
// browser as well: how a request and a socket are made is given to it (daemon-transport.ts here, a ticket there).
import { createAsyncQueue } from "../base/async-queue.ts";
import { sleep, systemClock } from "../base/clock.ts";
import { OptaError, toOptaError, toPeerError } from "../protocol/error.ts";
import type { OptaEvent } from "../protocol/event.ts";
import { fromLmxErrorCode } from "../protocol/lmx-wire-errors.ts";
import {
  type OperationName,
  type OperationRoute,
  operationRoutes,
} from "../protocol/operation-routes.ts";
import type { OperationParams, OperationResult } from "../protocol/operations.ts";
import { toQuery } from "../protocol/query.ts";
import { sessionIdPattern, sessionIdRule } from "../protocol/session-id.ts";
import type { Client } from "./client.ts";

export interface DaemonRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
  /** Asked twice it does no more than asked once. */
  readonly isRepeatable: boolean;
}

/** How the daemon is reached. Looks anew where it is when that may have changed. */
export interface DaemonTransport {
  /** @throws OptaError daemon-unreachable */
  request(request: DaemonRequest): Promise<Response>;
  /** @param path with its query @throws OptaError daemon-unreachable */
  openSocket(path: string): Promise<WebSocket>;
}

/** Waits between attempts to come back: at once first, since a daemon restarts in tens of milliseconds. */
const retryMs = [20, 50, 100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000];

/** A connection that lasted so long was a good one. */
const steadyMs = 1_000;

export function createAttachedClient(transport: DaemonTransport): Client {
  const closing = new AbortController();

  async function call<N extends OperationName>(
    operation: N,
    params: OperationParams<N>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<OperationResult<N>> {
    // Whether they fit is said by the daemon, in the same words, and that its answers fit by the contract that it
    // named (daemon-address.ts): schemas on this side would cost every start more than all the rest of it.
    const request = toRequest(operation, params as Readonly<Record<string, unknown>>);
    const response = await transport.request({ ...request, signal: options?.signal });
    const refusal = tooLarge(response.status, operation);
    if (refusal !== undefined) throw refusal;
    const body = await readBody(response);
    const { forwarded }: OperationRoute = operationRoutes[operation];
    if (forwarded) return { status: response.status, body } as OperationResult<N>;
    if (!response.ok) throw toError(operation, body, response.status);
    if (!operation.startsWith("lmx.")) return body as OperationResult<N>;
    const { fromLmxWire } = await import("../protocol/lmx-wire.ts");
    return fromLmxWire(operation, body);
  }

  return {
    call,
    events(sessionId, { afterSeq, signal }) {
      const queue = createAsyncQueue<OptaEvent>();
      const either = AbortSignal.any([signal, closing.signal]);
      // Begun at the call, not when the first event is asked for: nothing that happens from here on is missed.
      const following = follow(transport, { sessionId, afterSeq, signal: either }, queue.push);
      const failed = following.then(
        () => undefined,
        (thrown: unknown) => toOptaError(thrown),
      );
      void failed.then(() => queue.end());
      return untilFailure(queue, failed);
    },
    async close() {
      closing.abort();
    },
  };
}

/** What came, then the error that ended it, if one did. */
async function* untilFailure(
  events: AsyncIterable<OptaEvent>,
  failed: Promise<OptaError | undefined>,
): AsyncGenerator<OptaEvent> {
  yield* events;
  const error = await failed;
  if (error !== undefined) throw error;
}

function toRequest(
  operation: OperationName,
  params: Readonly<Record<string, unknown>>,
): DaemonRequest {
  const { method, path } = operationRoutes[operation];
  const rest = { ...params };
  const filled = path.replace(/:(\w+)/g, (_, name: string) => {
    const value = String(rest[name]);
    delete rest[name];
    checkPathParameter(name, value);
    return encodeURIComponent(value);
  });
  const isRepeatable = method === "GET" || params["idempotencyKey"] !== undefined;
  if (method === "POST") {
    return { method, path: filled, body: JSON.stringify(rest), isRepeatable };
  }
  return { method, path: filled + toQuery(rest), isRepeatable };
}

/** Some values would lead to another route, since URLs are shortened by their "..". @throws OptaError usage */
function checkPathParameter(name: string, value: string): void {
  if (name === "sessionId") {
    if (sessionIdPattern.test(value)) return;
    throw new OptaError("usage", `sessionId: ${sessionIdRule}`, "opta sessions list");
  }
  if (/^\.{0,2}$/.test(value)) throw new OptaError("usage", `${name}: cannot be "${value}"`);
}

/** What HTTP itself refuses, without a word of ours. */
function tooLarge(status: number, operation: OperationName): OptaError | undefined {
  if (status === 413) {
    return new OptaError(
      "too-large",
      "a daemon takes at most 10 MB at once",
      "opta do --embedded …   (or name the file in the task: opta can read it in parts)",
    );
  }
  if (status !== 431) return undefined;
  return new OptaError(
    "too-large",
    "a daemon takes at most 16 KB in a URL",
    operation === "session.list" ? "opta sessions search WORDS   (fewer of them)" : undefined,
  );
}

async function readBody(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new OptaError(
      "daemon-unreachable",
      `the daemon answered with something that is not JSON (HTTP ${response.status})`,
      "opta daemon restart",
    );
  }
}

function toError(operation: OperationName, body: unknown, status: number): OptaError {
  const { error, code, hint } = (body ?? {}) as {
    readonly error?: string;
    readonly code?: string;
    readonly hint?: string;
  };
  const message = error ?? `the daemon answered HTTP ${status} to ${operation}`;
  if (status === 401) {
    return new OptaError("unauthorized", "the daemon refused our token", "opta daemon restart");
  }
  return toPeerError({ code: fromLmxErrorCode(code ?? ""), message, hint });
}

interface Following {
  readonly sessionId: string;
  readonly afterSeq: number;
  readonly signal: AbortSignal;
}

/** Follows the session over as many sockets as it takes; each begins where the one before ended. */
async function follow(
  transport: DaemonTransport,
  { sessionId, afterSeq, signal }: Following,
  tell: (event: OptaEvent) => void,
): Promise<void> {
  let cursor = afterSeq;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const query = toQuery({ sessionId, afterSeq: cursor, dialect: "opta" });
      const socket = await transport.openSocket(`/v3/ws${query}`);
      const openedMs = performance.now();
      await readSocket(socket, signal, (event) => {
        cursor = event.seq;
        failures = 0;
        tell(event);
      });
      // A quiet session has no events to say that all is well.
      if (performance.now() - openedMs > steadyMs) failures = 0;
    } catch (thrown) {
      const error = toOptaError(thrown);
      if (error.code !== "daemon-unreachable" || failures >= retryMs.length) throw error;
    }
    if (signal.aborted) return;
    if (failures >= retryMs.length) throw daemonLost();
    await sleep(retryMs[failures] ?? 0, { clock: systemClock, signal });
    failures += 1;
  }
}

export function daemonLost(): OptaError {
  return new OptaError(
    "daemon-unreachable",
    "the daemon went away",
    "opta daemon start   (its sessions and events are kept)",
  );
}

/** Until the socket or the signal ends it. @throws OptaError before-retention | ahead-of-head */
function readSocket(
  socket: WebSocket,
  signal: AbortSignal,
  tell: (event: OptaEvent) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => socket.close();
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    socket.addEventListener("message", ({ data }) => {
      const frame = parseFrame(String(data));
      if (frame === undefined) {
        reject(new OptaError("internal", "the daemon sent an event that is not JSON"));
        socket.close();
        return;
      }
      if ("seq" in frame) {
        tell(frame);
        return;
      }
      // Frames without a seq are no events: a heartbeat, or why the cursor cannot be followed.
      if (!("error" in frame)) return;
      const { error, code, hint } = frame as { error: string; code?: string; hint?: string };
      reject(toPeerError({ code, message: error, hint }));
    });
    socket.addEventListener("close", () => {
      signal.removeEventListener("abort", leave);
      resolve();
    });
  });
}

/** Undefined for what is no JSON: a damaged event log can hold it. */
function parseFrame(text: string): OptaEvent | { error: string; code?: string } | undefined {
  try {
    return JSON.parse(text) as OptaEvent;
  } catch {
    return undefined;
  }
}
