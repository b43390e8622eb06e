// What went wrong with a request to Anthropic: how long to wait before asking again, and as what a person sees it.
// Facts: platform.claude.com/docs, "Errors" and "Rate limits". The key is cut out of whatever a server says.
import { APIConnectionError, APIError } from "@anthropic-ai/sdk";
import { OptaError, toOptaError, type ErrorCode } from "../../protocol/error.ts";
import { reasonOfFailure } from "../lmx/endpoint.ts";

/** Waits are never longer than this, whatever retry-after says (promises L2). */
const maxWaitMs = 30_000;
const usualBusyWaitMs = 5_000;
/** Two more attempts after a failure of the server's own, well within 10 s. */
const failureWaitsMs = [1_000, 3_000] as const;
const maxBusyRetries = 3;
const maxMessageChars = 500;

export interface Wait {
  readonly waitMs: number;
  /** Completes "HOST …". */
  readonly why: string;
  /** Attempts there will be at most. */
  readonly attempts: number;
}

/**
 * How long to wait before the request is sent again; undefined when it is no use.
 * @param retries how often it was sent again already
 */
export function waitBeforeRetry(thrown: unknown, retries: number): Wait | undefined {
  if (!(thrown instanceof APIError)) return undefined;
  if (isBusy(thrown)) {
    if (retries >= maxBusyRetries) return undefined;
    const waitMs = Math.min(retryAfterMs(thrown.headers) ?? usualBusyWaitMs, maxWaitMs);
    return { waitMs, why: "is busy", attempts: maxBusyRetries + 1 };
  }
  const hasFailed = thrown.status !== undefined && thrown.status >= 500;
  const waitMs = hasFailed ? failureWaitsMs[retries] : undefined;
  if (waitMs === undefined) return undefined;
  return { waitMs, why: `failed (HTTP ${thrown.status})`, attempts: failureWaitsMs.length + 1 };
}

/** As the error a person sees. OptaErrors pass. */
export function toAnthropicError(
  thrown: unknown,
  about: { readonly server: string; readonly model: string; readonly apiKey: string | undefined },
): OptaError {
  const { server, model } = about;
  if (thrown instanceof OptaError) return thrown;
  if (!(thrown instanceof APIError)) return toOptaError(thrown);
  const said = withoutKey(wordsOf(thrown), about.apiKey);
  const error = (code: ErrorCode, words: string, hint: string) =>
    new OptaError(code, `${server} ${words}`, hint);
  if (thrown instanceof APIConnectionError) {
    const reason = withoutKey(reasonOfFailure(thrown.cause ?? thrown), about.apiKey);
    return error(
      "lmx-connection-refused",
      `cannot be reached: ${reason}`,
      "opta status --provider anthropic",
    );
  }
  switch (thrown.status) {
    case 401:
    case 403:
      return error(
        "auth-failed",
        `refused the key (HTTP ${thrown.status}: ${said})`,
        "export ANTHROPIC_API_KEY=…   (a key that is valid there)",
      );
    case 402:
      return error(
        "model-server-failed",
        `wants to be paid first: ${said}`,
        "opta do --provider lmx …   (stays local)",
      );
    case 404:
      return error(
        "model-not-found",
        `has no model ${model}: ${said}`,
        "opta config set provider.anthropicModel claude-sonnet-5-5",
      );
    case 413:
      return error(
        "model-server-failed",
        `finds the request too large: ${said}`,
        'opta do "…"   (a new session begins with an empty context)',
      );
    default:
      break;
  }
  if (isBusy(thrown))
    return error("model-server-busy", `is busy (${said})`, "try again in a moment");
  if (/prompt is too long|context (window|length)|input length/i.test(said)) {
    return error(
      "context-exceeded",
      `finds the conversation too long: ${said}`,
      'opta do "…"   (a new session begins with an empty context)',
    );
  }
  return error(
    "model-server-failed",
    `failed: ${said}`,
    "try again; opta status --provider anthropic",
  );
}

/** Too many requests, or no room for any: asking again later helps. */
function isBusy({ status, type }: APIError): boolean {
  return (
    status === 429 ||
    status === 529 ||
    status === 503 ||
    type === "overloaded_error" ||
    type === "rate_limit_error"
  );
}

function retryAfterMs(headers: Headers | undefined): number | undefined {
  const text = headers?.get("retry-after")?.trim() ?? "";
  if (text === "") return undefined;
  const seconds = Number(text);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** The server's own words, without the SDK's wrapping. */
function wordsOf(error: APIError): string {
  const words = error.apiMessage ?? (typeof error.error === "string" ? error.error : error.message);
  const line = words.replace(/\s+/g, " ").trim().slice(0, maxMessageChars);
  return line === "" ? `HTTP ${error.status ?? "?"}` : line;
}

function withoutKey(text: string, apiKey: string | undefined): string {
  const key = apiKey?.trim() ?? "";
  return key === "" ? text : text.replaceAll(key, "********");
}
