// What a model server said when it refused or failed, in whatever of a dozen shapes it said it
// (contracts/lmx.md section 2 "errors", rows 7, 12, 15, 16), as one Fault, and that as words for a person.
import { OptaError, type ErrorCode } from "../../protocol/error.ts";
import type { ServerKind } from "../../protocol/model.ts";
import { loadCommand } from "../openai/kind-names.ts";

/** A failure as the server told it. */
export interface Fault {
  /** HTTP status; null on a stream that had begun. */
  readonly status: number | null;
  /** The server's own code, such as "rate_limit_exceeded". */
  readonly code: string | null;
  readonly message: string;
  readonly retryAfterMs: number | null;
}

/** Waits are never longer than this, whatever Retry-After says (promises L2). */
const maxRetryAfterMs = 30_000;
/** Default waits of contracts/lmx.md row 16. */
const defaultBusyWaitMs = 5_000;
const defaultOverloadWaitMs = 30_000;
const maxMessageChars = 500;

/** A fault from an HTTP answer that is not a success. */
export function faultFromHttp(answer: {
  readonly status: number;
  readonly body: string;
  readonly retryAfter: string | null;
}): Fault {
  const said = faultFromBody(answer.body);
  return {
    status: answer.status,
    code: said.code,
    message: said.message || `HTTP ${answer.status}`,
    retryAfterMs: parseRetryAfter(answer.retryAfter) ?? said.retryAfterMs,
  };
}

/** JSON of any shape, plain text, HTML or nothing. */
function faultFromBody(body: string): Fault {
  const text = body.trim();
  if (text.startsWith("{") || text.startsWith("[") || text.startsWith('"')) {
    try {
      return faultFromValue(JSON.parse(text));
    } catch {
      return plainFault(text);
    }
  }
  if (!text.startsWith("<")) return plainFault(text);
  const title = /<title[^>]*>([^<]*)<\/title>/i.exec(text)?.[1] ?? "";
  return plainFault(title.trim());
}

function plainFault(message: string): Fault {
  const oneLine = message.replace(/\s+/g, " ").trim().slice(0, maxMessageChars);
  return { status: null, code: null, message: oneLine, retryAfterMs: null };
}

/**
 * A fault from a decoded value: {error:{message,code,type}}, {error:"text"}, {detail:"text"},
 * {detail:[{loc,msg}]}, {message}, or a chat.error frame. Codes may be numbers.
 */
export function faultFromValue(value: unknown): Fault {
  if (typeof value === "string") return plainFault(value);
  if (!isRecord(value)) return plainFault("");
  const inner = isRecord(value.error) ? value.error : undefined;
  const message =
    text(inner?.message) ||
    text(value.error) ||
    detailText(value.detail) ||
    text(value.message) ||
    text(inner?.type) ||
    text(inner?.code);
  const code = text(inner?.code) || text(value.code) || text(inner?.type) || null;
  const seconds = number(value.retry_after) ?? number(inner?.retry_after);
  return {
    ...plainFault(message),
    code,
    retryAfterMs: seconds === null ? null : Math.max(0, seconds * 1000),
  };
}

function detailText(detail: unknown): string {
  if (typeof detail === "string") return detail;
  if (isRecord(detail)) return text(detail.message) || text(detail.error);
  if (!Array.isArray(detail)) return "";
  const lines = detail.filter(isRecord).map((item) => {
    const place = Array.isArray(item.loc) ? item.loc.join(".") : "";
    return place === "" ? text(item.msg) : `${place}: ${text(item.msg)}`;
  });
  return lines.join("; ");
}

/** Seconds or an HTTP date. */
function parseRetryAfter(header: string | null): number | null {
  if (header === null || header.trim() === "") return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

/** Row 16: a busy server is asked again this often. */
export const maxBusyRetries = 3;

/** How long to wait before asking again; null when asking again is no use (row 16). */
export function busyWaitMs(fault: Fault): number | null {
  const overloaded = fault.status === 503 || fault.code === "overloaded";
  const busy =
    fault.status === 429 ||
    fault.code === "rate_limit_exceeded" ||
    fault.code === "queue_saturated" ||
    /\bserver is busy\b/i.test(fault.message);
  if (!busy && !overloaded) return null;
  const usualMs = busy ? defaultBusyWaitMs : defaultOverloadWaitMs;
  return Math.min(fault.retryAfterMs ?? usualMs, maxRetryAfterMs);
}

/** True when the server failed in a way that may pass by itself: asked again, it may answer. */
export function isPassingFailure(fault: Fault): boolean {
  const failed = fault.status === 500 || fault.status === 502 || fault.code === "internal_error";
  return failed && !exceedsContext(fault) && toolRemedy(fault) === undefined;
}

/** True when the conversation does not fit the model's window: every make says so in words of its own. */
function exceedsContext(fault: Fault): boolean {
  return (
    /^(context_length_exceeded|exceed_context_size_error)$/.test(fault.code ?? "") ||
    /maximum context length|available context size|max prompt token limit|context (length|window|size)[^.]{0,40}(exceed|overflow|too (small|long))|exceeds?[^.]{0,40}context (length|window|size)|context the overflows|prompt is too long/i.test(
      fault.message,
    )
  );
}

/** How to make a server take tools, for those that refuse them whole. */
const toolRemedies: readonly (readonly [pattern: RegExp, remedy: string])[] = [
  [
    /--enable-auto-tool-choice/,
    "on the server: vllm serve MODEL --enable-auto-tool-choice --tool-call-parser PARSER",
  ],
  [/--jinja/, "on the server: llama-server -m MODEL.gguf --jinja"],
  [
    /does not support (tools|function)/i,
    "choose a model that was trained for tools: opta models list   (then: opta do -m ID)",
  ],
  [
    /JSON schema conversion|parse grammar|parsing grammar|parser for this template/i,
    "update the server: it cannot compile the tools' schemas into a grammar",
  ],
];

function toolRemedy(fault: Fault): string | undefined {
  return toolRemedies.find(([pattern]) => pattern.test(fault.message))?.[1];
}

/** Which key a refused request carried, so that the hint names the right one. */
export type KeyName = "apiKey" | "adminKey";

/** A fault as the error a person sees. */
export function toProviderError(
  fault: Fault,
  about: {
    readonly server: string;
    readonly model?: string;
    readonly key?: KeyName;
    readonly kind?: ServerKind;
  },
): OptaError {
  const { server, model, kind = "lmx" } = about;
  const status = fault.status === null ? "" : `HTTP ${fault.status}: `;
  const said = fault.message.startsWith("HTTP ") ? fault.message : `${status}${fault.message}`;
  const error = (code: ErrorCode, words: string, hint?: string) =>
    new OptaError(code, `${server}: ${words}`, hint);

  if (fault.code === "empty_answer") {
    return error("empty-answer", fault.message, "opta status   (then try again)");
  }
  if (fault.code === "not_an_answer") {
    return error(
      "model-server-failed",
      fault.message,
      "opta status   (is connection.host:port a model server?)",
    );
  }
  if (fault.status === 401 || fault.status === 403) return authFailed(fault, server, about.key);
  if (exceedsContext(fault)) {
    return error(
      "context-exceeded",
      `the conversation does not fit the model's window (${said})`,
      'start afresh: opta do "…"   (or load the model with a larger context)',
    );
  }
  const remedy = toolRemedy(fault);
  if (remedy !== undefined)
    return error("model-server-failed", `refuses the tools (${said})`, remedy);
  if (busyWaitMs(fault) !== null)
    return error("model-server-busy", `is busy (${said})`, "try again in a moment; opta status");
  if (fault.status === 507 || /^insufficient_(memory|disk)$/.test(fault.code ?? "")) {
    return error("insufficient-memory", said, "opta models list   (then: opta models unload ID)");
  }
  const unknownModel =
    fault.code === "model_not_found" ||
    /\bmodel\b.*\bis not loaded\b|^preset\b.*\bnot found\b/i.test(fault.message) ||
    (fault.status === 404 && /\bmodel\b/i.test(fault.message));
  if (unknownModel) {
    return error(
      "model-not-found",
      said,
      model === undefined ? "opta models list" : loadCommand(kind, model),
    );
  }
  if (/\btimed out\b/i.test(fault.message)) {
    return error("lmx-timeout", said, 'opta do --continue "continue"');
  }
  if (fault.status === 404) {
    return error(
      "model-server-failed",
      `does not know /v1/chat/completions (${said})`,
      "opta status",
    );
  }
  return error("model-server-failed", said || "failed without saying why", "opta status");
}

function authFailed(fault: Fault, server: string, key: KeyName = "apiKey"): OptaError {
  const variable = key === "apiKey" ? "OPTA_API_KEY" : "OPTA_ADMIN_KEY";
  return new OptaError(
    "auth-failed",
    `${server} refused the key (HTTP ${fault.status}${fault.message === "" ? "" : `: ${fault.message}`})`,
    `opta config set connection.${key} - < FILE   (or set ${variable})`,
  );
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "number" ? String(value) : "";
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
