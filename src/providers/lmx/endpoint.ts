// One server as HTTP: the probe that says whether it answers and what it is, and the requests that every
// other file of this folder makes. Knows no chat.
import type { Clock } from "../../base/clock.ts";
import type { ModelInfo, ServerKind } from "../../protocol/model.ts";
import { probePaths, recognise, type Probed } from "../openai/server-kinds.ts";
import type { Candidate, ProbeOutcome } from "../route.ts";
import { isRecord } from "./http-errors.ts";

/** Keys travel as headers only, never in a URL. */
export interface Keys {
  readonly adminKey?: string | undefined;
  readonly apiKey?: string | undefined;
}

/** A server that answered its probe. */
export interface Endpoint extends Candidate {
  /** All but LMX are plain OpenAI-compatible servers without /admin and WebSocket (contracts/lmx.md row 21). */
  readonly kind: Exclude<ServerKind, "anthropic">;
  readonly version: string | null;
  /** Milliseconds from the first byte sent to the probe's answer. */
  readonly latencyMs: number;
  /** What telling the kind of a plain server brought along; undefined for LMX, and where the list is closed. */
  readonly models?: readonly ModelInfo[] | undefined;
  /** The server is up and still reads its weights from disk. */
  readonly isLoading?: boolean;
}

export function keyHeaders(keys: Keys): Record<string, string> {
  return {
    ...(keys.adminKey === undefined ? {} : { "X-Admin-Key": keys.adminKey }),
    ...(keys.apiKey === undefined ? {} : { Authorization: `Bearer ${keys.apiKey}` }),
  };
}

export interface RequestOptions {
  readonly keys?: Keys;
  /** Sent as JSON by POST; absent: GET. */
  readonly body?: string;
  readonly accept?: string;
  readonly signal: AbortSignal;
}

/**
 * An address on this server and no other: the path is set as a path, so that nothing in one that a server named
 * can become a host.
 */
export function urlOn(server: Candidate, scheme: "http" | "ws", path: string): string {
  const url = new URL(`${scheme}://${server.server}`);
  url.pathname = path;
  return url.href;
}

/**
 * One request. Never follows a redirect, which could carry keys elsewhere; never uses a proxy from the
 * environment, which would see prompts; never lets Bun's own idle timer cut a long prefill.
 */
export function requestFrom(
  server: Candidate,
  path: string,
  options: RequestOptions,
): Promise<Response> {
  const { keys = {}, body, accept = "application/json", signal } = options;
  return fetch(urlOn(server, "http", path), {
    method: body === undefined ? "GET" : "POST",
    headers: {
      Accept: accept,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...keyHeaders(keys),
    },
    ...(body === undefined ? {} : { body }),
    redirect: "error",
    proxy: false,
    timeout: false,
    signal,
  });
}

export interface JsonAnswer {
  readonly status: number;
  readonly retryAfter: string | null;
  /** The `Server` header. */
  readonly software: string | null;
  readonly body: string;
  /** The parsed body; undefined when it is no JSON. */
  readonly json: unknown;
}

/** A request and its whole answer as JSON. */
export async function requestJson(
  server: Candidate,
  path: string,
  options: RequestOptions,
): Promise<JsonAnswer> {
  const response = await requestFrom(server, path, options);
  const body = await response.text();
  return {
    status: response.status,
    retryAfter: response.headers.get("retry-after"),
    software: response.headers.get("server"),
    body,
    json: parseJson(body),
  };
}

export interface ProbeOptions {
  readonly keys: Keys;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Asks a candidate whether it lives and what it is: LMX says so at /healthz, in one round trip and without
 * a key; every other kind is told by what it answers at the paths of all kinds, asked together (row 21).
 * Settles within `timeoutMs`, never rejects.
 */
export async function probeEndpoint(
  candidate: Candidate,
  options: ProbeOptions,
): Promise<ProbeOutcome<Endpoint>> {
  const { keys, clock, timeoutMs, signal } = options;
  const deadline = withDeadline(clock, timeoutMs, signal);
  const startedMs = clock.nowMs();
  const live = (found: Omit<Endpoint, keyof Candidate | "latencyMs">): ProbeOutcome<Endpoint> => ({
    up: true,
    found: { ...candidate, ...found, latencyMs: clock.nowMs() - startedMs },
  });
  try {
    const healthz = await requestJson(candidate, "/healthz", { signal: deadline.signal });
    const said = isRecord(healthz.json) ? healthz.json : {};
    if (healthz.status === 200 && typeof said.status === "string") {
      return live({ kind: "lmx", version: typeof said.version === "string" ? said.version : null });
    }
    // A proxy that wants a key before anything: what the key is worth, the look-up tells.
    if (healthz.status === 401 || healthz.status === 403)
      return live({ kind: "lmx", version: null });
    const probes = await askAll(candidate, probePaths, { keys, signal: deadline.signal });
    const recognised = recognise(probes);
    if (recognised !== undefined) return live(recognised);
    if (deadline.expired()) return { up: false, reason: timedOut(timeoutMs) };
    if (healthz.status >= 500) return { up: false, reason: `HTTP ${healthz.status}` };
    const status = probes.get("/v1/models")?.status ?? healthz.status;
    return { up: false, reason: `answers HTTP, but is no model server (HTTP ${status})` };
  } catch (thrown) {
    return {
      up: false,
      reason: deadline.expired() ? timedOut(timeoutMs) : reasonOfFailure(thrown),
    };
  } finally {
    deadline.stop();
  }
}

/** Asks several paths at once; one that fails is missing from the answers. Never rejects. */
export async function askAll(
  server: Candidate,
  paths: readonly string[],
  options: RequestOptions,
): Promise<ReadonlyMap<string, Probed>> {
  const answers = new Map<string, Probed>();
  const ask = async (path: string) => {
    answers.set(path, await requestJson(server, path, options));
  };
  await Promise.allSettled(paths.map(ask));
  return answers;
}

/** A signal that aborts with `signal`, or after `timeoutMs`. */
export function withDeadline(clock: Clock, timeoutMs: number, signal: AbortSignal) {
  const controller = new AbortController();
  let isExpired = false;
  const abort = () => controller.abort();
  const takeBack = clock.after(timeoutMs, () => {
    isExpired = true;
    abort();
  });
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  return {
    signal: controller.signal,
    expired: () => isExpired,
    stop() {
      takeBack();
      signal.removeEventListener("abort", abort);
    },
  };
}

export function timedOut(timeoutMs: number): string {
  return `timed out after ${timeoutMs / 1000} s`;
}

/** Bun's fetch and WebSocket failures in words. */
const failureWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ConnectionRefused: "connection refused",
  ENOTFOUND: "host name not found",
  EAI_AGAIN: "host name not found",
  ETIMEDOUT: "timed out",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no route to the host",
  ECONNRESET: "closed the connection without an HTTP answer",
  Malformed_HTTP_Response: "does not speak HTTP",
  UnexpectedRedirect: "redirects elsewhere, which is not followed",
};

export function reasonOfFailure(thrown: unknown): string {
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  const words = failureWords[code];
  if (words !== undefined) return words;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return message.split("\n", 1)[0]!.slice(0, 200);
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // Plain text and HTML are answers too; the caller looks at the status.
    return undefined;
  }
}
