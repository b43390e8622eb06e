import { describe, expect, test } from "bun:test";
import { createLmxProvider } from "../../../src/providers/lmx/provider.ts";
import type { ProviderEvent } from "../../../src/providers/provider.ts";
import {
  chatRequest,
  converse,
  neverAborted,
  sse,
  startFake,
  textOf,
} from "../../support/fake-model-server.ts";
import { createTestClock } from "../../support/test-clock.ts";

function data(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}
function delta(content: string): string {
  return data({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
}
function finish(reason = "stop", more = {}): string {
  return data({ choices: [{ index: 0, delta: {}, finish_reason: reason }], ...more });
}
const usage = { usage: { prompt_tokens: 3, completion_tokens: 2 } };
const end = "data: [DONE]\n\n";

/** What a conversation gives over a server without WebSocket; the note about that left out. */
async function answered(...writes: readonly string[]) {
  using fake = startFake({ routes: { "/v1/chat/completions": () => sse(writes) } });
  const events = await converse(fake.provider());
  return events.filter(({ type }) => type !== "progress");
}

describe("row 7: an error in disguise", () => {
  const disguise = "\n\n[Error: Stream inference failed: boom]";
  test("as the last chunk before the finish is an error", async () => {
    expect(await answered(delta("a"), delta(disguise), finish(), end)).toMatchObject([
      { type: "text", text: "a" },
      {
        type: "error",
        code: "model-server-failed",
        message: expect.stringContaining("failed: boom"),
      },
    ]);
  });
  test("as the only chunk of a busy server is asked again", async () => {
    let requests = 0;
    using fake = startFake({
      routes: {
        "/v1/chat/completions": () => {
          requests += 1;
          const busy = [
            delta("\n\n[Error: Server is busy — all inference slots occupied.]"),
            finish(),
            end,
          ];
          return sse(requests === 1 ? busy : [delta("a"), finish(), end]);
        },
      },
    });
    const clock = createTestClock();
    const events: ProviderEvent[] = [];
    for await (const event of fake.provider({ clock }).stream(chatRequest(), neverAborted)) {
      events.push(event);
      if (event.type === "progress" && event.message.includes("busy")) {
        expect(event.message).toContain("waiting 5 s");
        setTimeout(() => clock.advance(5_000), 1);
      }
    }
    expect(textOf(events)).toBe("a");
  });
  test("with the server's time limit is a time-out", async () => {
    const events = await answered(
      delta("\n\n[Error: Stream inference timed out after 300s]"),
      finish(),
      end,
    );
    expect(events).toMatchObject([{ type: "error", code: "lmx-timeout" }]);
  });
  test("is text after all when more text follows", async () => {
    const events = await answered(
      delta("a"),
      delta("\n\n[Error: 404] means"),
      delta(" not found"),
      finish(),
      end,
    );
    expect(textOf(events)).toBe("a\n\n[Error: 404] means not found");
    expect(events.at(-1)).toMatchObject({ type: "done" });
  });
  test("is an error when the stream breaks off behind it", async () => {
    const events = await answered(delta("a"), delta(disguise));
    expect(events.at(-1)).toMatchObject({ type: "error", code: "model-server-failed" });
  });
  test("in the middle of a chunk is text", async () => {
    expect(textOf(await answered(delta("see\n\n[Error: x]"), finish(), end))).toBe(
      "see\n\n[Error: x]",
    );
  });
});

describe("row 22: streams as servers really send them", () => {
  const whole: readonly (readonly [string, readonly string[]])[] = [
    ["CRLF", [delta("a").replaceAll("\n", "\r\n"), finish("stop", usage), end]],
    [
      "comments and event names",
      [": keepalive\n\n", `event: x\n${delta("a")}`, finish("stop", usage), end],
    ],
    [
      "data without space",
      [delta("a").replace("data: ", "data:"), finish("stop", usage), "data:[DONE]\n\n"],
    ],
    ["usage in its own chunk", [delta("a"), finish(), data({ choices: [], ...usage }), end]],
    ["usage in the last chunk", [delta("a"), finish("stop", usage), end]],
    ["no [DONE]", [delta("a"), finish("stop", usage)]],
    ["no finish_reason but [DONE]", [delta("a"), data({ choices: [], ...usage }), end]],
    ["everything in one write", [delta("a") + finish("stop", usage) + end]],
    [
      "cut in the middle of lines",
      [...(delta("a") + finish("stop", usage) + end).match(/.{1,7}/gs)!],
    ],
  ];
  test.each(whole)("%s", async (_name, writes) => {
    expect(await answered(...writes)).toEqual([
      { type: "text", text: "a" },
      { type: "done", finishReason: "stop", usage: { promptTokens: 3, completionTokens: 2 } },
    ]);
  });
  test("the end without finish_reason and [DONE] is incomplete", async () => {
    expect(await answered(delta("abc"))).toMatchObject([
      { type: "text", text: "abc" },
      {
        type: "error",
        code: "lmx-ws-closed",
        message: expect.stringContaining("after 3 characters"),
      },
    ]);
  });
  test("an empty stream is no answer", async () => {
    expect(await answered()).toMatchObject([
      { type: "error", code: "empty-answer", message: expect.stringContaining("nothing at all") },
    ]);
  });
  test("an error chunk is an error, whatever follows", async () => {
    const error = data({ error: { message: "boom", type: "server_error", code: null } });
    expect(await answered(delta("a"), error, finish(), end)).toMatchObject([
      { type: "text" },
      { type: "error", code: "model-server-failed", message: expect.stringContaining("boom") },
    ]);
  });
  test("a connection that breaks behind the finish, before the end, is incomplete", async () => {
    // Bun.serve always ends a body properly, so this server is made of bytes.
    const body = delta("a") + finish();
    const head =
      "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    const raw = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket, bytes) {
          const request = bytes.toString();
          if (!request.startsWith("POST")) {
            const answer = request.includes("/v1/models") ? '{"data":[{"id":"m"}]}' : "{}";
            const status = request.includes("/v1/models") ? "200 OK" : "404 Not Found";
            socket.end(
              `HTTP/1.1 ${status}\r\ncontent-length: ${answer.length}\r\nconnection: close\r\n\r\n${answer}`,
            );
            return;
          }
          socket.write(`${head}${body.length.toString(16)}\r\n${body}\r\n`);
          setTimeout(() => socket.end(), 20);
        },
      },
    });
    const { port } = raw;
    const events = await converse(
      createLmxProvider({ host: "127.0.0.1", port, fallbackHosts: [] }),
    );
    raw.stop(true);
    expect(events.map(({ type }) => type)).toEqual(["text", "error"]);
  });
});

test("row 10: silence between two events ends the answer after ten minutes", async () => {
  let send: (text: string) => void = () => undefined;
  using fake = startFake({
    routes: {
      "/v1/chat/completions": () =>
        new Response(
          new ReadableStream({
            start(controller) {
              send = (text) => controller.enqueue(new TextEncoder().encode(text));
              send(delta("a"));
            },
          }),
        ),
    },
  });
  const clock = createTestClock();
  const types: string[] = [];
  for await (const event of fake.provider({ clock }).stream(chatRequest(), neverAborted)) {
    types.push(event.type);
    if (event.type === "text") {
      send(": still here\n\n");
      await Bun.sleep(5);
      clock.advance(10 * 60_000);
    }
    if (event.type === "error") expect(event.code).toBe("lmx-timeout");
  }
  expect(types).toEqual(["progress", "text", "error"]);
});
