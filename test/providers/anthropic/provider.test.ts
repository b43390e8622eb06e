// What the Anthropic provider promises beyond the contract: caching, thinking that survives a tool loop, errors
// that say what to do, a key that stays where it is.
import { describe, expect, test } from "bun:test";
import type { ScenarioInput } from "../../../src/lmx-server/scenario.ts";
import { OptaError } from "../../../src/protocol/error.ts";
import type { Message } from "../../../src/protocol/message.ts";
import {
  createAnthropicProvider,
  type AnthropicProviderOptions,
} from "../../../src/providers/anthropic/provider.ts";
import type { Provider, ProviderEvent } from "../../../src/providers/provider.ts";
import {
  startAnthropic,
  thinkingSignature,
  type AnthropicServerOptions,
} from "../../support/anthropic-server.ts";
import {
  chatRequest,
  collect,
  neverAborted,
  textOf,
  until,
} from "../../support/fake-model-server.ts";
import { createTestClock } from "../../support/test-clock.ts";

const apiKey = "sk-ant-test-0123456789";
const model = "scripted";

async function start(
  scenario: ScenarioInput,
  options: AnthropicServerOptions = {},
  more: Partial<AnthropicProviderOptions> = {},
) {
  const server = await startAnthropic(scenario, options);
  const provider = createAnthropicProvider({ apiKey, baseUrl: server.url, model, ...more });
  return { server, provider, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function ask(
  provider: Provider,
  messages: readonly Message[],
): Promise<readonly ProviderEvent[]> {
  await provider.connect(undefined, neverAborted);
  return collect(provider.stream(chatRequest({ model, messages }), neverAborted));
}

async function errorOf(promise: Promise<unknown>): Promise<OptaError> {
  const thrown: unknown = await promise.catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(OptaError);
  return thrown as OptaError;
}

const question: Message = { role: "user", content: "hi" };
const rules: Message = { role: "system", content: "rules" };
const tool = (name: string) => ({
  type: "function" as const,
  function: { name, description: "d", parameters: { type: "object", properties: {} } },
});

describe("a request", () => {
  test("marks the system prompt for the cache, asks for the moving mark, and has the messages last", async () => {
    await using place = await start({ turns: [{ text: "a" }] });
    const tools = [tool("a"), tool("b")];
    await collect(
      place.provider.stream(
        chatRequest({ model, messages: [rules, question], tools }),
        neverAborted,
      ),
    );
    const cached = { cache_control: { type: "ephemeral" } };
    expect(place.server.chats()[0] as object).toEqual({
      model,
      max_tokens: 2048,
      stream: true,
      ...cached,
      tools: [
        { name: "a", description: "d", input_schema: { type: "object", properties: {} } },
        { name: "b", description: "d", input_schema: { type: "object", properties: {} } },
      ],
      system: [{ type: "text", text: "rules", ...cached }],
      messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }],
    });
    expect(Object.keys(place.server.chats()[0] ?? {}).at(-1)).toBe("messages");
  });
  test("marks the last tool when there is no system prompt", async () => {
    await using place = await start({ turns: [{ text: "a" }] });
    const tools = [tool("a"), tool("b")];
    await collect(place.provider.stream(chatRequest({ model, tools }), neverAborted));
    const marks = place.server.chats()[0]?.tools?.map((each) => each.cache_control !== undefined);
    expect(marks).toEqual([false, true]);
  });
  test("asks for thinking only where the model is said to think by itself", async () => {
    for (const thinks of [true, false]) {
      await using place = await start({ turns: [{ text: "a" }] }, { thinks });
      await ask(place.provider, [question]);
      const { thinking, output_config: output } = place.server.chats()[0] ?? {};
      expect({ thinking, output }).toEqual(
        thinks
          ? { thinking: { type: "adaptive", display: "summarized" }, output: { effort: "medium" } }
          : ({} as never),
      );
    }
  });
  test("carries the key as a header and nothing about this machine", async () => {
    await using place = await start({ turns: [{ text: "a" }] }, { apiKey });
    expect(textOf(await ask(place.provider, [question]))).toBe("a");
    for (const { path, headers, body } of place.server.traffic) {
      expect(Object.keys(headers).filter((name) => name.startsWith("x-stainless"))).toEqual([]);
      expect(path + body).not.toContain(apiKey);
    }
  });
  test("takes neither key nor address from the process's environment by itself", async () => {
    const before = { ...process.env };
    const names = [
      "ANTHROPIC_API_KEY",
      "ANTHROPIC_AUTH_TOKEN",
      "ANTHROPIC_BASE_URL",
      "ANTHROPIC_CUSTOM_HEADERS",
    ];
    await using stranger = await startAnthropic({ turns: [{ text: "no" }] });
    await using place = await start({ turns: [{ text: "a" }] }, { apiKey });
    try {
      process.env["ANTHROPIC_API_KEY"] = "another";
      process.env["ANTHROPIC_AUTH_TOKEN"] = "another";
      process.env["ANTHROPIC_BASE_URL"] = stranger.url;
      process.env["ANTHROPIC_CUSTOM_HEADERS"] = "X-Stranger: 1";
      expect(textOf(await ask(place.provider, [question]))).toBe("a");
      const keyless = createAnthropicProvider({
        apiKey: undefined,
        baseUrl: place.server.url,
        model,
      });
      expect((await errorOf(keyless.connect(undefined, neverAborted))).code).toBe("auth-failed");
    } finally {
      for (const name of names) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
    expect(stranger.traffic).toEqual([]);
    expect(place.server.traffic.filter(({ headers }) => "x-stranger" in headers)).toEqual([]);
  });
});

test("thinking comes back signed and in its place in the next step of a tool loop", async () => {
  const calls = [{ name: "read_file", arguments: { path: "a" } }];
  await using place = await start(
    { turns: [{ thinking: "let me see", text: "I look.", toolCalls: calls }, { text: "done" }] },
    { thinks: true },
  );
  const events = await ask(place.provider, [question]);
  const done = events.at(-1);
  const call = events.find((event) => event.type === "tool_call")?.call;
  if (done?.type !== "done" || call === undefined) throw new Error("no whole answer");
  const assistant: Message = {
    role: "assistant",
    content: textOf(events),
    tool_calls: [
      { id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } },
    ],
    ...done.keep,
  };
  const result: Message = { role: "tool", tool_call_id: call.id, content: "text of a" };
  expect(textOf(await ask(place.provider, [question, assistant, result]))).toBe("done");
  expect(place.server.chats()[1]?.messages[1]?.content).toEqual([
    { type: "thinking", thinking: "let me see", signature: thinkingSignature },
    { type: "text", text: "I look." },
    { type: "tool_use", id: call.id, name: "read_file", input: { path: "a" } },
  ]);
  const [first = "", second = ""] = place.server.chatTexts();
  expect(second.startsWith(first.slice(0, -"]}".length))).toBe(true);
});

test("an answer that did not think keeps nothing", async () => {
  await using place = await start({ turns: [{ text: "plain" }] });
  expect((await ask(place.provider, [question])).at(-1)).not.toHaveProperty("keep");
});

test("prompt tokens include those that the cache wrote and read", async () => {
  const line = (value: object & { type: string }) =>
    `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`;
  const usage = {
    input_tokens: 3,
    cache_creation_input_tokens: 40,
    cache_read_input_tokens: 500,
    output_tokens: 1,
  };
  const sse = [
    line({ type: "message_start", message: { usage } } as never),
    line({
      type: "content_block_start",
      index: 0,
      content_block: { type: "text", text: "" },
    } as never),
    line({
      type: "content_block_delta",
      index: 0,
      delta: { type: "text_delta", text: "a" },
    } as never),
    line({ type: "something_new", index: 7 } as never),
    line({
      type: "message_delta",
      delta: { stop_reason: "end_turn" },
      usage: { output_tokens: 9 },
    } as never),
  ];
  await using place = await start({ turns: [{ raw: { sse } }] });
  expect((await ask(place.provider, [question])).at(-1)).toEqual({
    type: "done",
    finishReason: "stop",
    usage: { promptTokens: 543, completionTokens: 9 },
  });
});

test("a window that the server does not tell is taken as the least there is", async () => {
  await using place = await start({ turns: [], models: [{ id: model, contextLength: null }] });
  expect((await place.provider.connect(undefined, neverAborted)).contextLength).toBe(200_000);
});

test("a gateway that knows no models is asked all the same", async () => {
  const intercept = (request: Request) =>
    request.method === "GET" ? Response.json({ detail: "Not Found" }, { status: 404 }) : undefined;
  await using place = await start({ turns: [{ text: "a" }] }, { intercept });
  expect(textOf(await ask(place.provider, [question]))).toBe("a");
});

describe("an error says what to do:", () => {
  const refusal = (status: number, code: string, message: string): ScenarioInput => ({
    turns: [{ fault: { kind: "http", status, code, message } }],
    loop: true,
  });
  test.each([
    [
      400,
      "invalid_request_error",
      "prompt is too long: 212000 tokens > 200000 maximum",
      "context-exceeded",
      "too long",
    ],
    [402, "billing_error", "no credit", "model-server-failed", "paid"],
    [403, "permission_error", "not yours", "auth-failed", "not yours"],
    [404, "not_found_error", "model: x", "model-not-found", "has no model"],
    [
      413,
      "request_too_large",
      "Request exceeds the maximum size",
      "model-server-failed",
      "too large",
    ],
  ])("HTTP %d %s", async (status, code, said, expected, words) => {
    await using place = await start(refusal(status, code, said));
    const events = await ask(place.provider, [question]);
    expect(events).toMatchObject([{ type: "error", code: expected, hint: expect.any(String) }]);
    expect(events[0]).toMatchObject({ message: expect.stringContaining(words) });
    expect(place.server.chats()).toHaveLength(1);
  });
  test("a key that is refused is not repeated, even when the server does", async () => {
    await using place = await start({ turns: [] }, { apiKey: "right" });
    const error = await errorOf(place.provider.connect(undefined, neverAborted));
    expect(error.code).toBe("auth-failed");
    expect(error.hint).toContain("ANTHROPIC_API_KEY");
    expect(error.message).toContain("invalid key ********");
    expect(`${error.message}${error.hint}`).not.toContain(apiKey);
  });
  test.each([undefined, "", "  ", "with\nnewline", "schlüssel"])(
    "no usable key: %p",
    async (key) => {
      await using place = await start({ turns: [] }, {}, { apiKey: key });
      const error = await errorOf(place.provider.connect(undefined, neverAborted));
      expect(error).toMatchObject({
        code: "auth-failed",
        message: expect.stringContaining("ANTHROPIC_API_KEY"),
      });
      expect(place.server.traffic).toEqual([]);
    },
  );
  test.each(["api.anthropic.com", "ftp://x", "https://user:password@host"])(
    "no base URL: %s",
    async (baseUrl) => {
      const provider = createAnthropicProvider({ apiKey, baseUrl, model });
      const error = await errorOf(provider.connect(undefined, neverAborted));
      expect(error.code).toBe("config-invalid");
      expect(error.message).not.toContain("password@");
    },
  );
  test("nobody there", async () => {
    const provider = createAnthropicProvider({ apiKey, baseUrl: "http://127.0.0.1:9", model });
    const error = await errorOf(provider.connect(undefined, neverAborted));
    expect(error).toMatchObject({ code: "lmx-connection-refused" });
    expect(error.message).toBe("127.0.0.1:9 cannot be reached: connection refused");
  });
  test("a page instead of a stream", async () => {
    const intercept = ({ method }: Request) =>
      method === "POST"
        ? new Response("<html>", { headers: { "content-type": "text/html" } })
        : undefined;
    await using place = await start({ turns: [] }, { intercept });
    expect(await ask(place.provider, [question])).toMatchObject([
      { type: "error", code: "model-server-failed", message: expect.stringContaining("text/html") },
    ]);
  });
  test("a redirect, which could carry the key elsewhere, is not followed", async () => {
    await using stranger = await startAnthropic({ turns: [{ text: "no" }] });
    const intercept = () => Response.redirect(`${stranger.url}/v1/messages`, 307);
    await using place = await start({ turns: [] }, { intercept });
    expect((await errorOf(place.provider.connect(undefined, neverAborted))).code).toBe(
      "lmx-connection-refused",
    );
    expect(stranger.traffic).toEqual([]);
  });
  test("a refusal by the model", async () => {
    await using place = await start({ turns: [{ text: "I", finishReason: "refusal" }] });
    const events = await ask(place.provider, [question]);
    expect(events.at(-1)).toMatchObject({
      type: "error",
      message: expect.stringContaining("declined"),
    });
  });
});

describe("patience:", () => {
  test("a failure of the server's own is tried twice more, within 10 s", async () => {
    const clock = createTestClock();
    const failed = {
      fault: { kind: "http", status: 500, code: "api_error", message: "oops" },
    } as const;
    await using place = await start({ turns: [failed], loop: true }, {}, { clock });
    const events = ask(place.provider, [question]);
    for (const [count, waitMs] of [1_000, 3_000].entries()) {
      // The look-up's limit is taken back by then; the wait is the one timer.
      await until(
        () =>
          place.server.chats().length === count + 1 &&
          clock.waiting() === 1 &&
          place.server.running() === 0,
      );
      await Bun.sleep(10);
      clock.advance(waitMs);
    }
    expect(await events).toMatchObject([
      { type: "progress" },
      { type: "progress" },
      { type: "error", code: "model-server-failed", message: expect.stringContaining("oops") },
    ]);
    expect(place.server.chats()).toHaveLength(3);
  });
  test("overload counts as busy", async () => {
    const busy = {
      fault: { kind: "http", status: 529, code: "overloaded_error", retryAfterSeconds: 0 },
    } as const;
    await using place = await start({ turns: [busy, { text: "at last" }] });
    const events = await ask(place.provider, [question]);
    expect(events[0]).toMatchObject({ type: "progress", message: expect.stringContaining("busy") });
    expect(textOf(events)).toBe("at last");
  });
  test("silence ends in an error that says how long, and closes the connection", async () => {
    await using place = await start(
      { turns: [{ text: ["a ", "b"], fault: { kind: "silence", atChunk: 1 } }] },
      {},
      { silenceMs: 50 },
    );
    const events = await ask(place.provider, [question]);
    expect(textOf(events)).toBe("a ");
    expect(events.at(-1)).toMatchObject({
      type: "error",
      code: "lmx-timeout",
      message: expect.stringContaining("0.05 s of silence, after 2 characters"),
    });
  });
});

test("lists the models there are", async () => {
  await using place = await start({ turns: [], models: [{ id: "one", contextLength: 1000 }] });
  expect((await place.provider.models(neverAborted)).models).toEqual([
    { modelId: "one", state: "loaded", sizeBytes: null, contextLength: 1000 },
  ]);
});

test("has nothing to load", async () => {
  await using place = await start({ turns: [] });
  expect((await errorOf(place.provider.load({ modelId: "x" }, neverAborted))).code).toBe("usage");
});
