// What the daemon's HTTP answers look like: JSON bodies, the shapes of errors that clients know
// (contracts/daemon-v3.md section 2), the headers a page needs, and reading what was sent.
import { isDeeperThan } from "../base/json-depth.ts";
import { errorCodes, OptaError, toOptaError } from "../protocol/error.ts";

/** Bytes of a request body, and of a WebSocket frame. */
export const bodyLimitBytes = 10 * 1024 * 1024;
/** Far beyond what any client means. */
const nestingLimit = 256;

export function jsonAnswer(
  body: unknown,
  { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {},
): Response {
  return textAnswer(JSON.stringify(body), { status, headers });
}

/** A body that is JSON text already. */
export function textAnswer(
  text: string,
  { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {},
): Response {
  return new Response(text, {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
  });
}

export function unauthorized(): Response {
  return jsonAnswer({ error: "Unauthorized" }, { status: 401 });
}

export function notFound(method: string, pathname: string): Response {
  const message = `Route ${method}:${pathname} not found`;
  return jsonAnswer({ message, error: "Not Found", statusCode: 404 }, { status: 404 });
}

/** The error's own status; `details` are what a schema found. */
export function errorAnswer(thrown: unknown, details?: readonly unknown[]): Response {
  const error = toOptaError(thrown);
  const { code, message, hint } = error;
  const body = {
    error: message,
    code,
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
  };
  return jsonAnswer(body, { status: errorCodes[code].httpStatus });
}

/**
 * The JSON object that was sent; {} for an empty body.
 * @throws OptaError usage: no UTF-8, no JSON, no object, too deep
 */
export async function readJsonObject(request: Request): Promise<Record<string, unknown>> {
  const bytes = await request.bytes();
  if (bytes.length === 0) return {};
  const value = parseJson(decodeUtf8(bytes));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new OptaError("usage", "the body must be a JSON object");
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new OptaError("usage", "the body is not UTF-8 text");
  }
}

/** @throws OptaError usage, also for nesting that would overflow whoever walks the value */
export function parseJson(text: string): unknown {
  if (isDeeperThan(text, nestingLimit)) {
    throw new OptaError("usage", `the JSON is nested more than ${nestingLimit} deep`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new OptaError("usage", `the body is not valid JSON: ${why}`);
  }
}

/**
 * What the browser of an allowed page wants to hear. ETag may be read only where If-None-Match may be sent
 * (contracts/daemon-v3.md section 6.6).
 */
export function corsHeaders(request: Request): Record<string, string> {
  return {
    "access-control-allow-origin": request.headers.get("origin") ?? "",
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "GET,POST,PUT,PATCH,DELETE,OPTIONS",
    "access-control-allow-headers": "Authorization,Content-Type,If-None-Match",
    "access-control-expose-headers": "ETag",
    "access-control-max-age": "600",
    vary: "Origin",
  };
}
