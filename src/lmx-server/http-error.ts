// Answers over HTTP: JSON, and errors in the OpenAI shape everywhere (contracts/lmx.md section 7b, "errors").
import type { Refusal } from "./engine.ts";

export function json(body: unknown, init?: ResponseInit): Response {
  return Response.json(body, init);
}

/** `{"error":{message,type,param,code}}`, with Retry-After where the refusal names one. */
export function refusalResponse(refusal: Refusal): Response {
  const headers = new Headers();
  if (refusal.retryAfterSeconds !== undefined)
    headers.set("Retry-After", String(refusal.retryAfterSeconds));
  if (refusal.body !== undefined)
    return new Response(refusal.body, { status: refusal.status, headers });
  return json(errorBody(refusal), { status: refusal.status, headers });
}

export function errorBody(
  refusal: Pick<Refusal, "message" | "code"> & { readonly status: number },
): {
  readonly error: Readonly<Record<string, string | null>>;
} {
  const { message, code } = refusal;
  return { error: { message, type: errorType(refusal.status), param: null, code } };
}

function errorType(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}
