import { expect, test } from "bun:test";
import type { ScenarioInput } from "../../src/lmx-server/scenario.ts";
import { postChat } from "../support/chat-request.ts";
import { startScripted } from "../support/lmx.ts";

const withUsage = { stream_options: { include_usage: true } };

/** The `data:` lines of a streamed answer, parsed, with what differs in each run made equal. */
async function stream(scenario: ScenarioInput, fields = {}): Promise<readonly unknown[]> {
  await using server = await startScripted(scenario);
  const response = await postChat(server.url, fields);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toStartWith("text/event-stream");
  return parseEvents(await response.text());
}

function parseEvents(text: string): readonly unknown[] {
  const events = text.split("\n\n");
  expect(events.pop()).toBe("");
  return events.map((event) => {
    expect(event).toStartWith("data: ");
    const data = event.slice("data: ".length);
    if (data === "[DONE]") return data;
    const chunk = JSON.parse(data) as Record<string, unknown>;
    return "id" in chunk
      ? { ...chunk, id: typeof chunk["id"], created: typeof chunk["created"] }
      : chunk;
  });
}

const head = {
  id: "string",
  object: "chat.completion.chunk",
  created: "number",
  model: "scripted",
};
const chunk = (
  delta: object,
  finish_reason: string | null = null,
  usage: object | null = null,
) => ({
  ...head,
  choices: [
    { index: 0, delta: { role: null, content: null, tool_calls: null, ...delta }, finish_reason },
  ],
  usage,
});

test("a streamed answer is role, content, tool calls, finish, usage and [DONE], with every key there", async () => {
  const events = await stream(
    {
      turns: [
        {
          thinking: "hm",
          text: "Let me see.",
          chunks: "whole",
          toolCalls: [
            { id: "c1", name: "read_file", arguments: { path: "a" } },
            { id: "c2", name: "list_dir", arguments: "" },
          ],
        },
      ],
    },
    withUsage,
  );
  expect(events).toEqual([
    chunk({ role: "assistant", content: "" }),
    chunk({ reasoning_content: "hm" }),
    chunk({ content: "Let me see." }),
    chunk({
      tool_calls: [
        {
          index: 0,
          id: "c1",
          type: "function",
          function: { name: "read_file", arguments: '{"path":"a"}' },
        },
      ],
    }),
    chunk({
      tool_calls: [
        { index: 1, id: "c2", type: "function", function: { name: "list_dir", arguments: "" } },
      ],
    }),
    chunk({}, "tool_calls"),
    { ...head, choices: [], usage: { prompt_tokens: 2, completion_tokens: 4, total_tokens: 6 } },
    "[DONE]",
  ]);
});

test("usage comes only when asked for, and with the finish when the scenario says so", async () => {
  const turn = { text: "Hi", usageIn: "last-chunk" } as const;
  expect(await stream({ turns: [turn] })).toEqual([
    chunk({ role: "assistant", content: "" }),
    chunk({ content: "Hi" }),
    chunk({}, "stop"),
    "[DONE]",
  ]);
  const usage = { prompt_tokens: 2, completion_tokens: 1, total_tokens: 3 };
  expect((await stream({ turns: [turn] }, withUsage)).slice(2)).toEqual([
    chunk({}, "stop", usage),
    "[DONE]",
  ]);
});

test("tool calls come as fragments, as an object, without index or id, as scripted", async () => {
  const events = await stream({
    turns: [
      {
        toolCalls: [
          { id: "c1", name: "read_file", arguments: { path: "a" }, as: "fragments" },
          { id: null, index: null, name: "list_dir", arguments: { path: "b" }, as: "object" },
        ],
      },
    ],
  });
  const calls = events.flatMap((event) => {
    const [choice] = (event as ReturnType<typeof chunk>).choices ?? [];
    return choice?.delta.tool_calls ?? [];
  });
  expect(calls).toEqual([
    { index: 0, id: "c1", type: "function", function: { name: "read_file", arguments: '{"pat' } },
    { index: 0, function: { arguments: 'h":"a' } },
    { index: 0, function: { arguments: '"}' } },
    { type: "function", function: { name: "list_dir", arguments: { path: "b" } } },
  ] as never[]);
});

test("headers and role leave at once, while the model still reads the prompt", async () => {
  await using server = await startScripted({
    turns: [{ text: "never reached", delays: { firstTokenMs: 60_000 } }],
  });
  const stop = new AbortController();
  const response = await postChat(server.url, {}, { signal: stop.signal });
  const reader = response.body?.getReader();
  const first = new TextDecoder().decode((await reader?.read())?.value);
  expect(first).toContain('"role":"assistant"');
  stop.abort();
});

test("a client that leaves ends its generation", async () => {
  await using server = await startScripted({
    turns: [{ repeat: { text: "on ", times: 1_000_000_000 } }],
  });
  const stop = new AbortController();
  const response = await postChat(server.url, {}, { signal: stop.signal });
  await response.body?.getReader().read();
  stop.abort();
  while (server.requests[0]?.outcome === "pending") await Bun.sleep(5);
  expect(server.requests[0]?.outcome).toBe("gone");
});

test("without streaming the answer is one object", async () => {
  await using server = await startScripted({
    turns: [
      { thinking: "hm", text: "All at once.", finishReason: "length" },
      { toolCalls: [{ id: "c1", name: "read_file", arguments: { path: "a" }, as: "fragments" }] },
    ],
  });
  const first: unknown = await (await postChat(server.url, { stream: false })).json();
  expect(first).toEqual({
    id: expect.stringMatching(/^chatcmpl-/),
    object: "chat.completion",
    created: expect.any(Number),
    model: "scripted",
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: "All at once.",
          reasoning_content: "hm",
          tool_calls: null,
        },
        finish_reason: "length",
      },
    ],
    usage: { prompt_tokens: 2, completion_tokens: 4, total_tokens: 6 },
  });
  const second: unknown = await (await postChat(server.url, { stream: false })).json();
  expect(second).toMatchObject({
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: null,
          tool_calls: [
            {
              index: 0,
              id: "c1",
              type: "function",
              function: { name: "read_file", arguments: '{"path":"a"}' },
            },
          ],
        },
        finish_reason: "tool_calls",
      },
    ],
  });
});

for (const [what, fields, status, code] of [
  ["a malformed request", { messages: "hi" }, 400, "invalid_request"],
  ["a model that is not loaded", { model: "other" }, 404, "model_not_found"],
  [
    "a prompt that cannot fit",
    { messages: [{ role: "user", content: "x".repeat(200_000) }] },
    400,
    "context_length_exceeded",
  ],
] as const)
  test(`${what} is a ${status} in the OpenAI shape`, async () => {
    await using server = await startScripted({ turns: [] });
    const response = await postChat(server.url, fields);
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({
      error: { message: expect.any(String), type: "invalid_request_error", param: null, code },
    });
  });

test("a body that is not JSON and an unknown serving lane are a 400", async () => {
  await using server = await startScripted({ turns: [] });
  const url = `${server.url}/v1/chat/completions`;
  expect((await fetch(url, { method: "POST", body: "{oops" })).status).toBe(400);
  const response = await postChat(server.url, {}, { headers: { "X-Serving-Lane": "fast" } });
  expect([response.status, await response.json()]).toEqual([
    400,
    expect.objectContaining({ error: expect.objectContaining({ code: "invalid_header" }) }),
  ]);
});

test("X-Request-ID is echoed", async () => {
  await using server = await startScripted({ turns: [{ text: "Hi" }, { text: "Hi" }] });
  const echoed = await postChat(server.url, {}, { headers: { "X-Request-ID": "mine" } });
  expect(echoed.headers.get("x-request-id")).toBe("mine");
  expect((await postChat(server.url)).headers.get("x-request-id")).toStartWith("req-");
});

test("both transports share the turns, and the request after the last one is told so", async () => {
  await using server = await startScripted({ turns: [{ text: "only" }] });
  await (await postChat(server.url)).text();
  const response = await postChat(server.url);
  expect([response.status, await response.json()]).toEqual([
    500,
    {
      error: {
        message: "scenario has no turn 2 (it has 1)",
        type: "server_error",
        param: null,
        code: "scenario_exhausted",
      },
    },
  ]);
});

test("an expectation is about what came since the last answer", async () => {
  await using server = await startScripted({
    turns: [
      { expect: ["blue", "sky"], text: "Yes" },
      { expect: "green", text: "No" },
    ],
  });
  const messages = [
    { role: "user", content: "green" },
    { role: "assistant", content: "ok" },
    { role: "user", content: [{ type: "text", text: "the blue sky" }] },
  ];
  expect((await postChat(server.url, { messages })).status).toBe(200);
  const refused = await postChat(server.url, { messages });
  expect(refused.status).toBe(400);
  expect(await refused.text()).toContain("turn 2 expects 'green'");
});

test("a looping scenario begins again", async () => {
  await using server = await startScripted({
    turns: [{ text: "one" }, { text: "two" }],
    loop: true,
  });
  const texts: string[] = [];
  for (let request = 0; request < 3; request += 1) {
    const answer = (await (await postChat(server.url, { stream: false })).json()) as {
      choices: [{ message: { content: string } }];
    };
    texts.push(answer.choices[0].message.content);
  }
  expect(texts).toEqual(["one", "two", "one"]);
});

test("tool_choice none keeps a script from calling tools", async () => {
  await using server = await startScripted({
    turns: [{ text: "no tools", toolCalls: [{ name: "f", arguments: {} }] }],
  });
  const response = await postChat(server.url, { tool_choice: "none" });
  const text = await response.text();
  expect(text).toContain('"finish_reason":"stop"');
  expect(text).not.toContain('"name":"f"');
});
