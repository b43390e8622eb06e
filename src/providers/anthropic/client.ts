// The one place that makes an Anthropic client: every option is given, so that the SDK takes nothing from the
// environment, a profile or a file that the user did not mean for opta. Retries, timers and logging are ours.
import Anthropic from "@anthropic-ai/sdk";
import { OptaError } from "../../protocol/error.ts";

export interface Access {
  /** From ANTHROPIC_API_KEY; never printed, never stored. */
  readonly apiKey: string | undefined;
  /** From ANTHROPIC_BASE_URL; undefined: Anthropic itself. */
  readonly baseUrl: string | undefined;
}

const anthropicUrl = "https://api.anthropic.com";
/** setTimeout's longest: how long an answer may take is judged by its silence (silence.ts), not by its length. */
const noTimeoutMs = 2 ** 31 - 1;
const silentLogger = { error: ignore, warn: ignore, info: ignore, debug: ignore };

/**
 * A client that sends to the base URL and nowhere else.
 * @throws OptaError auth-failed without a usable key | config-invalid for a bad base URL
 */
export function createClient(access: Access): Anthropic {
  const url = parseBaseUrl(access.baseUrl);
  return new Anthropic({
    apiKey: checkKey(access.apiKey),
    baseURL: url.href.replace(/\/+$/, ""),
    maxRetries: 0,
    timeout: noTimeoutMs,
    openTelemetry: false,
    // ANTHROPIC_LOG=debug would print prompts on stdout.
    logger: silentLogger,
    logLevel: "off",
    fetch: createFetch(url),
  });
}

/** All that is sent: what machine this is (x-stainless-*) and ANTHROPIC_CUSTOM_HEADERS are left out. */
const sentHeaders: ReadonlySet<string> = new Set([
  "accept",
  "anthropic-version",
  "authorization",
  "content-type",
  "user-agent",
  "x-api-key",
]);

/** "api.anthropic.com", for messages: a URL may carry a password. @throws OptaError config-invalid */
export function serverName(access: Access): string {
  return parseBaseUrl(access.baseUrl).host;
}

/** Bun's fetch under our rules: no redirect (it could carry the key elsewhere), no 5 minute limit of Bun's own. */
function createFetch(base: URL): typeof fetch {
  const guarded = (input: string | URL | Request, init: RequestInit = {}) => {
    const headers = [...new Headers(init.headers)].filter(([name]) => sentHeaders.has(name));
    return fetch(input, {
      ...init,
      headers,
      redirect: "error",
      timeout: false,
      // A proxy sees plain HTTP whole, key included; HTTPS passes through it sealed.
      ...(base.protocol === "http:" ? { proxy: false } : {}),
    });
  };
  return Object.assign(guarded, { preconnect: fetch.preconnect });
}

function checkKey(apiKey: string | undefined): string {
  const key = apiKey?.trim() ?? "";
  // What does not fit into a header would be quoted by the error that says so.
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  const problem = key === "" ? "is not set" : "has characters that no key has";
  throw new OptaError(
    "auth-failed",
    `Anthropic cannot be asked: ANTHROPIC_API_KEY ${problem}`,
    "export ANTHROPIC_API_KEY=…   (or stay local: opta do --provider lmx …)",
  );
}

function parseBaseUrl(text: string | undefined): URL {
  const url = URL.parse(text === undefined || text.trim() === "" ? anthropicUrl : text.trim());
  if (
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.username === "" &&
    url.password === ""
  ) {
    return url;
  }
  throw new OptaError(
    "config-invalid",
    "ANTHROPIC_BASE_URL is not a URL such as https://api.anthropic.com, without a user or password",
    "unset ANTHROPIC_BASE_URL",
  );
}

function ignore(): void {}
