// One server as HTTP: the probe that says whether it answers and what it is, and the requests that every
// other file of this folder makes. Knows no chat.
import type { Clock } from "../../base/clock.ts";
import type { Candidate, ProbeOutcome } from "../route.ts";
import { isRecord } from "./http-errors.ts";

/** Keys travel as headers only, never in a URL. */
export interface Keys {
  readonly adminKey?: string | undefined;
  readonly apiKey?: string | undefined;
}

/** A server that answered its probe. */
export interface Endpoint extends Candidate {
  /** "openai": a plain OpenAI-compatible server without /admin and without WebSocket (contracts/lmx.md row 21). */
  readonly kind: "lmx" | "openai";
  readonly version: string | null;
  /** Milliseconds from the first byte sent to the probe's answer. */
  readonly latencyMs: number;
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
    body,
    json: parseJson(body),
  };
}

/**
 * Asks a candidate whether it lives: /healthz, else /health, else /v1/models (row 21). Sends no keys.
 * Settles within `timeoutMs`, never rejects.
 */
export async function probeEndpoint(
  candidate: Candidate,
  options: { readonly clock: Clock; readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<ProbeOutcome<Endpoint>> {
  const { clock, timeoutMs, signal } = options;
  const deadline = withDeadline(clock, timeoutMs, signal);
  const startedMs = clock.nowMs();
  const live = (kind: Endpoint["kind"], version: string | null): ProbeOutcome<Endpoint> => ({
    up: true,
    found: { ...candidate, kind, version, latencyMs: clock.nowMs() - startedMs },
  });
  const ask = (path: string) => requestJson(candidate, path, { signal: deadline.signal });
  try {
    const healthz = await ask("/healthz");
    const said = isRecord(healthz.json) ? healthz.json : {};
    if (healthz.status === 200 && typeof said.status === "string") {
      return live("lmx", typeof said.version === "string" ? said.version : null);
    }
    // A proxy that wants a key before anything: what the key is worth, the look-up tells.
    if (healthz.status === 401 || healthz.status === 403) return live("lmx", null);
    if (healthz.status >= 500) return { up: false, reason: `HTTP ${healthz.status}` };
    const health = await ask("/health");
    // llama-server answers 503 with JSON while it loads its model.
    const isHealth = health.status === 200 || health.status === 503;
    if (isHealth && isRecord(health.json)) return live("openai", null);
    const models = await ask("/v1/models");
    if (models.status === 401 || models.status === 403) return live("openai", null);
    if (models.status === 200 && isRecord(models.json) && Array.isArray(models.json.data)) {
      return live("openai", null);
    }
    return { up: false, reason: `answers HTTP, but is no model server (HTTP ${models.status})` };
  } catch (thrown) {
    return {
      up: false,
      reason: deadline.expired() ? timedOut(timeoutMs) : reasonOfFailure(thrown),
    };
  } finally {
    deadline.stop();
  }
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
