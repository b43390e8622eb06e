import { describe, expect, test } from "bun:test";
import {
  busyWaitMs,
  faultFromHttp,
  toProviderError,
  type Fault,
} from "../../../src/providers/lmx/http-errors.ts";

const server = "host:1234";

function http(status: number, body: unknown, retryAfter: string | null = null): Fault {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return faultFromHttp({ status, body: text, retryAfter });
}

describe("what a server says when it fails (row 15)", () => {
  const cases: readonly (readonly [string, unknown, string, string | null])[] = [
    ["OpenAI's shape", { error: { message: "m", type: "t", param: null, code: "c" } }, "m", "c"],
    ["OpenAI's shape without code", { error: { message: "m", type: "t" } }, "m", "t"],
    ["a numeric code", { error: { code: 503, message: "Loading model" } }, "Loading model", "503"],
    ["an error without message", { error: { type: "overloaded" } }, "overloaded", "overloaded"],
    ["FastAPI's detail", { detail: "Not Found" }, "Not Found", null],
    [
      "FastAPI's validation list",
      { detail: [{ type: "missing", loc: ["body", "model"], msg: "Field required", input: {} }] },
      "body.model: Field required",
      null,
    ],
    [
      "slowapi's string",
      { error: "Rate limit exceeded: 5 per minute" },
      "Rate limit exceeded: 5 per minute",
      null,
    ],
    ["a top-level code", { code: "c", message: "m" }, "m", "c"],
    ["plain text", "upstream\n  down", "upstream down", null],
    ["a JSON string", '"m"', "m", null],
    ["HTML", "<html><head><title>502 Bad Gateway</title></head></html>", "502 Bad Gateway", null],
    ["HTML without title", "<!doctype html><p>no", "HTTP 500", null],
    ["nothing", "", "HTTP 500", null],
    ["broken JSON", "{oops", "{oops", null],
    ["JSON null", "null", "null", null],
    ["an empty object", {}, "HTTP 500", null],
  ];
  test.each(cases)("%s", (_name, body, message, code) => {
    expect(http(500, body)).toEqual({ status: 500, code, message, retryAfterMs: null });
  });
  test("is never longer than a screenful", () => {
    expect(http(500, "x".repeat(100_000)).message).toHaveLength(500);
  });
});

describe("how long to wait for a busy server (row 16, promise L2)", () => {
  const cases: readonly (readonly [string, Fault, number | null])[] = [
    ["429 with Retry-After", http(429, "", "2"), 2000],
    ["429 with retry_after in the body", http(429, { error: "busy", retry_after: 3 }), 3000],
    ["429 without either: 5 s", http(429, ""), 5000],
    ["503: 30 s", http(503, { error: { code: "overloaded", message: "m" } }), 30_000],
    ["503 with Retry-After", http(503, "", "1"), 1000],
    ["Retry-After of an hour: at most 30 s", http(429, "", "3600"), 30_000],
    ["Retry-After that is no time", http(429, "", "soon"), 5000],
    ["Retry-After as a date gone by", http(429, "", "Wed, 21 Oct 2015 07:28:00 GMT"), 0],
    ["507", http(507, { error: { code: "insufficient_memory", message: "m" } }), null],
    ["409", http(409, { error: { code: "model_unstable", message: "m" } }), null],
    ["500", http(500, ""), null],
    [
      "busy in words only",
      {
        status: null,
        code: null,
        message: "Server is busy — all inference slots occupied.",
        retryAfterMs: null,
      },
      5000,
    ],
  ];
  test.each(cases)("%s", (_name, fault, waitMs) => {
    expect(busyWaitMs(fault)).toBe(waitMs);
  });
});

describe("the error a person sees", () => {
  const stream = (message: string): Fault => ({
    status: null,
    code: null,
    message,
    retryAfterMs: null,
  });
  const cases: readonly (readonly [string, Fault, string, string])[] = [
    ["row 13: 401", http(401, { detail: "bad key" }), "auth-failed", "connection.apiKey"],
    ["row 13: 403", http(403, { detail: "bad key" }), "auth-failed", "OPTA_API_KEY"],
    [
      "row 16: 507",
      http(507, { error: { code: "insufficient_memory", message: "m" } }),
      "insufficient-memory",
      "opta models unload",
    ],
    [
      "row 16: 409",
      http(409, { error: { code: "model_unstable", message: "m" } }),
      "model-server-failed",
      "opta status",
    ],
    ["row 16: 429", http(429, ""), "model-server-busy", "try again"],
    [
      "a model that is not loaded",
      stream("Model 'x' is not loaded"),
      "model-not-found",
      "opta models load org/m",
    ],
    [
      "an unknown model over HTTP",
      http(404, { error: { code: "model_not_found", message: "m" } }),
      "model-not-found",
      "opta models load org/m",
    ],
    ["an unknown route", http(404, { detail: "Not Found" }), "model-server-failed", "opta status"],
    [
      "row 12: the 300 s cap",
      stream("Stream inference timed out after 300s"),
      "lmx-timeout",
      "--continue",
    ],
    [
      "a failed inference",
      stream("Stream inference failed: boom"),
      "model-server-failed",
      "opta status",
    ],
    ["no words at all", stream(""), "model-server-failed", "opta status"],
  ];
  test.each(cases)("%s", (_name, fault, code, hint) => {
    const error = toProviderError(fault, { server, model: "org/m" });
    expect(error.code as string).toBe(code);
    expect(error.hint).toContain(hint);
    expect(error.message).toStartWith(server);
    expect(error.message).toContain(fault.message);
  });
  test("names the admin key where that one was refused", () => {
    const error = toProviderError(http(403, ""), { server, key: "adminKey" });
    expect(error.hint).toContain("OPTA_ADMIN_KEY");
  });
});
