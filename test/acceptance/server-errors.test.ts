// The errors table on the built binary: for everything that a model server can do wrong, what the user reads, the
// next command, the exit code, and how often the server was asked.
import { describe, expect, test } from "bun:test";
import { optaDo } from "../support/do.ts";
import { sse, startFake } from "../support/fake-model-server.ts";
import { createPlace } from "../support/workspace.ts";

interface Case {
  readonly name: string;
  readonly answer: () => Response;
  readonly exitCode: number;
  /** What stderr says. */
  readonly says: readonly string[];
  /** Default 1. */
  readonly asked?: number;
  readonly stdout?: string;
}

const refuse =
  (status: number, error: object, headers: Record<string, string> = {}) =>
  () =>
    Response.json({ error }, { status, headers });
const page = () =>
  new Response("<!doctype html><html><head><title>Router login</title></head></html>", {
    headers: { "content-type": "text/html; charset=utf-8" },
  });
const text = (content: string) =>
  `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;

const cases: readonly Case[] = [
  {
    name: "401",
    answer: refuse(401, { message: "Invalid API key" }),
    exitCode: 4,
    says: ["refused the key (HTTP 401: Invalid API key)", "connection.apiKey"],
  },
  {
    name: "404 for the model",
    answer: refuse(404, { message: "Model 'org/Model-7B' is not loaded", code: "model_not_found" }),
    exitCode: 3,
    says: ["is not loaded", "opta models load org/Model-7B"],
  },
  {
    name: "404 for the path",
    answer: () => Response.json({ detail: "Not Found" }, { status: 404 }),
    exitCode: 5,
    says: ["does not know /v1/chat/completions", "opta status"],
  },
  {
    name: "400 for the context length",
    answer: refuse(400, {
      message: "This model's maximum context length is 4096 tokens. However, you requested 9000",
      code: "context_length_exceeded",
    }),
    exitCode: 7,
    says: ["does not fit the model's window", "4096", "larger context"],
  },
  {
    name: "429 for ever",
    answer: refuse(429, { message: "slots busy" }, { "retry-after": "0" }),
    exitCode: 5,
    says: ["is busy", "slots busy", "try again"],
    asked: 4,
  },
  {
    name: "503 for ever",
    answer: refuse(503, { message: "memory 96 %", code: "overloaded" }, { "retry-after": "0" }),
    exitCode: 5,
    says: ["is busy", "memory 96 %"],
    asked: 4,
  },
  {
    name: "500 for ever",
    answer: refuse(500, { message: "Internal server error", code: "internal_error" }),
    exitCode: 5,
    says: ["HTTP 500: Internal server error", "opta status"],
    asked: 3,
  },
  {
    name: "507",
    answer: refuse(507, { message: "needs 90 GB", code: "insufficient_memory" }),
    exitCode: 5,
    says: ["needs 90 GB", "opta models unload"],
  },
  {
    name: "a stream that is cut",
    answer: () => sse([text("half an "), text("answer")]),
    exitCode: 5,
    says: ["ended the stream after 14 characters", "incomplete", "--continue"],
    stdout: "half an answer\n",
  },
  {
    name: "200 with a web page",
    answer: page,
    exitCode: 5,
    says: ['answered with a web page ("Router login")', "is connection.host:port a model server?"],
  },
  {
    name: "200 with nothing",
    answer: () => new Response("", { headers: { "content-type": "text/event-stream" } }),
    exitCode: 5,
    says: ["answered with nothing at all", "opta status"],
  },
  {
    name: "200 with an error in JSON",
    answer: () =>
      Response.json({ error: "Unexpected endpoint or method. (POST /v1/chat/completions)" }),
    exitCode: 5,
    says: ["Unexpected endpoint or method"],
  },
  {
    name: "200 with JSON that is no answer",
    answer: () => Response.json({ hello: "world" }),
    exitCode: 5,
    says: ["no model's answer", "hello"],
  },
  {
    name: "nothing but garbage frames",
    answer: () => sse(["data: {not json\n\n", "data: <<<<\n\n", "data: \u0000\n\n"]),
    exitCode: 5,
    says: ["sent 3 events, none of which could be read"],
  },
  {
    name: "garbage between good frames",
    answer: () => sse(["data: {not json\n\n", text("fine"), "data: ]]\n\n", "data: [DONE]\n\n"]),
    exitCode: 0,
    says: [],
    stdout: "fine\n",
  },
  {
    name: "the whole answer at once, though a stream was asked for",
    answer: () =>
      Response.json({
        object: "chat.completion",
        choices: [{ message: { role: "assistant", content: "at once" }, finish_reason: "stop" }],
      }),
    exitCode: 0,
    says: [],
    stdout: "at once\n",
  },
];

describe("what a model server does wrong is said, with what to do", () => {
  test.each(cases.map((each) => [each.name, each] as const))("%s", async (_name, each) => {
    using place = createPlace();
    using fake = startFake({ routes: { "/v1/chat/completions": each.answer } });
    const run = await optaDo(["hi"], { place, port: fake.port });
    expect(run.stdout).toBe(each.stdout ?? "");
    for (const words of each.says) expect(run.stderr).toContain(words);
    expect(run.stderr).not.toMatch(/\n\s+at |\.ts:\d/);
    expect(run.stderr.split("\n").length).toBeLessThanOrEqual(4);
    expect(run.exitCode).toBe(each.exitCode);
    const posts = fake.requests.filter((request) => request.startsWith("POST")).length;
    expect(posts).toBe(each.asked ?? 1);
  });
});

test("a wait for a busy server is told on stderr in the JSON events, and the answer follows", async () => {
  using place = createPlace();
  const answers = [
    refuse(429, { message: "slots busy" }, { "retry-after": "1" }),
    () => sse([text("finally"), "data: [DONE]\n\n"]),
  ];
  using fake = startFake({
    routes: { "/v1/chat/completions": () => (answers.shift() ?? page)() },
  });
  const run = await optaDo(["-f", "json", "hi"], { place, port: fake.port });
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toContain("is busy; waiting 1 s (attempt 2 of 4)");
  expect(run.stdout).toContain("finally");
});
