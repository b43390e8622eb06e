// What every provider promises, whatever it speaks: run by each implementation's test with a fixture that
// plays a scenario (src/lmx-server/scenario.ts) over a real socket.
import { describe, expect, test } from "bun:test";
import type { ScenarioInput } from "../../src/lmx-server/scenario.ts";
import { OptaError } from "../../src/protocol/error.ts";
import type {
  ChatRequest,
  Provider,
  ProviderEvent,
  ToolSchema,
} from "../../src/providers/provider.ts";
import { collect, neverAborted, textOf, until } from "../support/fake-model-server.ts";

export interface ProviderFixture extends AsyncDisposable {
  readonly provider: Provider;
  /** The parsed bodies of the model requests so far. */
  chats(): readonly { readonly max_tokens?: unknown; readonly messages: readonly unknown[] }[];
  /** Model requests that the server is answering right now. */
  running(): number;
}

type Turn = ScenarioInput["turns"][number];

const readFile: ToolSchema = {
  type: "function",
  function: {
    name: "read_file",
    description: "Reads a file.",
    parameters: { type: "object", properties: { path: { type: "string" } } },
  },
};

/** The 20 frames of an answer: 17 of text, one tool call, finish and end; a fault before frame k cuts it there. */
const twentyFrames: Turn = {
  text: Array.from({ length: 17 }, (_, index) => `word${index} `),
  toolCalls: [{ name: "read_file", arguments: { path: "a.txt" } }],
};

export function describeProvider(
  name: string,
  create: (scenario: ScenarioInput) => Promise<ProviderFixture>,
  /** `loadsModels`: its server has models that are not loaded. */
  { loadsModels = true }: { readonly loadsModels?: boolean } = {},
): void {
  /** Connects and sends one request. Notes on the way it takes are left out: they differ by provider. */
  async function* ask(
    provider: Provider,
    more: Partial<ChatRequest> = {},
    signal = neverAborted,
  ): AsyncGenerator<ProviderEvent> {
    const { model } = await provider.connect(undefined, signal);
    const messages: ChatRequest["messages"] = [{ role: "user", content: "hi" }];
    const request = { model, messages, tools: [readFile], maxTokens: 2048, ...more };
    for await (const event of provider.stream(request, signal)) {
      if (event.type !== "progress" || event.message.includes("busy")) yield event;
    }
  }
  const answerTo = async (turn: Turn): Promise<readonly ProviderEvent[]> => {
    await using fixture = await create({ turns: [turn] });
    const events = await collect(ask(fixture.provider));
    fixture.provider.close();
    return events;
  };

  describe(`${name} as a provider`, () => {
    test("finds the model and its window", async () => {
      await using fixture = await create({
        turns: [],
        models: [{ id: "org/M", contextLength: 4096 }],
      });
      const found = await fixture.provider.connect("m", neverAborted);
      expect(found).toMatchObject({ model: "org/M" });
      expect(await fixture.provider.connect("m", neverAborted)).toBe(found);
      fixture.provider.close();
    });
    test("streams text byte for byte and ends with done", async () => {
      const events = await answerTo({
        text: [" Grüße", "\n\t", "🙂", "  "],
        usage: { promptTokens: 7, completionTokens: 4 },
      });
      expect(textOf(events)).toBe(" Grüße\n\t🙂  ");
      expect(events.at(-1)).toEqual({
        type: "done",
        finishReason: "stop",
        usage: { promptTokens: 7, completionTokens: 4 },
      });
    });
    test("forwards the first token while the answer is still under way", async () => {
      await using fixture = await create({
        turns: [{ text: ["first", "never"], delays: { betweenChunksMs: 60_000 } }],
      });
      const stop = new AbortController();
      for await (const event of ask(fixture.provider, {}, stop.signal)) {
        expect(event).toEqual({ type: "text", text: "first" });
        stop.abort();
      }
    });
    test("gives reasoning a channel of its own", async () => {
      const events = await answerTo({ thinking: "hm hm", text: "yes" });
      const thinking = events
        .map((event) => (event.type === "thinking" ? event.text : ""))
        .join("");
      expect([thinking, textOf(events)]).toEqual(["hm hm", "yes"]);
    });
    test.each(["string", "fragments", "object"] as const)(
      "yields tool calls whole (sent as %s)",
      async (as) => {
        const events = await answerTo({
          text: "I look.",
          toolCalls: [{ name: "read_file", arguments: { path: "a" }, as }],
        });
        const calls = events.filter((event) => event.type === "tool_call");
        expect(calls).toMatchObject([{ call: { name: "read_file", arguments: '{"path":"a"}' } }]);
        expect(events.at(-1)).toMatchObject({ type: "done", finishReason: "tool_calls" });
      },
    );
    test("yields several tool calls in their order, with different ids", async () => {
      const call = (path: string) => ({ name: "read_file", arguments: { path } });
      const events = await answerTo({
        toolCalls: [call("a"), call("b"), { name: "read_file", arguments: "" }],
      });
      const calls = events.flatMap((event) => (event.type === "tool_call" ? [event.call] : []));
      expect(calls.map((one) => one.arguments)).toEqual(['{"path":"a"}', '{"path":"b"}', "{}"]);
      expect(new Set(calls.map((one) => one.id)).size).toBe(3);
    });
    test("says that an answer was cut by max_tokens", async () => {
      const events = await answerTo({
        text: "a b c",
        usage: { promptTokens: 1, completionTokens: 2048 },
      });
      expect(events.at(-1)).toMatchObject({ type: "done", finishReason: "length" });
    });
    test("ends an empty answer like any other: what to do about it is the turn's business", async () => {
      expect(await answerTo({ text: "" })).toMatchObject([{ type: "done", finishReason: "stop" }]);
    });
    test("always sends max_tokens", async () => {
      await using fixture = await create({ turns: [{ text: "a" }] });
      await collect(ask(fixture.provider, { maxTokens: 77 }));
      expect(fixture.chats()[0]?.max_tokens).toBe(77);
      fixture.provider.close();
    });
    test.each([
      ["the connection breaks", "drop"],
      ["the stream is closed politely", "close"],
    ] as const)(
      "never takes a cut answer for a whole one: %s at any frame",
      async (_name, kind) => {
        const turns = Array.from({ length: 19 }, (_, atChunk) => ({
          ...twentyFrames,
          fault: { kind, atChunk },
        }));
        await using fixture = await create({ turns });
        for (const [atChunk] of turns.entries()) {
          const events = await collect(ask(fixture.provider));
          const expected = twentyFrames.text?.slice(0, atChunk);
          expect(textOf(events)).toBe((Array.isArray(expected) ? expected : []).join(""));
          expect(events.at(-1)).toMatchObject({ type: "error", code: "lmx-ws-closed" });
          expect(events.filter(({ type }) => type === "done" || type === "tool_call")).toEqual([]);
          expect(events.filter(({ type }) => type === "error")).toHaveLength(1);
        }
        // Nothing is asked again behind the reader's back.
        expect(fixture.chats()).toHaveLength(turns.length);
        fixture.provider.close();
      },
    );
    test("says how much of a cut answer came", async () => {
      const events = await answerTo({ ...twentyFrames, fault: { kind: "drop", atChunk: 2 } });
      expect(events.at(-1)).toMatchObject({
        message: expect.stringContaining("after 12 characters"),
      });
    });
    test("ends with the server's own words when it fails in the middle", async () => {
      const events = await answerTo({
        text: ["one ", "two"],
        fault: { kind: "error", atChunk: 1, message: "Stream inference failed: out of luck" },
      });
      expect(events).toEqual([
        { type: "text", text: "one " },
        {
          type: "error",
          code: "model-server-failed",
          message: expect.stringContaining("out of luck"),
          hint: expect.any(String),
        },
      ]);
    });
    test("ignores garbage between frames", async () => {
      const events = await answerTo({ text: ["a", "b"], fault: { kind: "garbage", atChunk: 1 } });
      expect(textOf(events)).toBe("ab");
      expect(events.at(-1)).toMatchObject({ type: "done" });
    });
    test("waits for a busy server as long as it asks for, and says so", async () => {
      const busy: Turn = {
        fault: { kind: "http", status: 429, retryAfterSeconds: 0, code: "rate_limit_exceeded" },
      };
      await using fixture = await create({ turns: [busy, busy, busy, { text: "at last" }] });
      const events = await collect(ask(fixture.provider));
      expect(events.filter(({ type }) => type === "progress")).toHaveLength(3);
      expect(textOf(events)).toBe("at last");
      fixture.provider.close();
    });
    test("gives up on a busy server after three more attempts", async () => {
      const busy: Turn = {
        fault: { kind: "http", status: 429, retryAfterSeconds: 0, code: "rate_limit_exceeded" },
      };
      await using fixture = await create({ turns: [busy], loop: true });
      const events = await collect(ask(fixture.provider));
      expect(events.at(-1)).toMatchObject({ type: "error", code: "model-server-busy" });
      expect(fixture.chats()).toHaveLength(4);
      fixture.provider.close();
    });
    test("an abort ends the stream without done or error, and the server stops", async () => {
      await using fixture = await create({
        turns: [{ text: ["a", "b"], delays: { betweenChunksMs: 60_000 } }],
      });
      const stop = new AbortController();
      const events: ProviderEvent[] = [];
      for await (const event of ask(fixture.provider, {}, stop.signal)) {
        events.push(event);
        stop.abort();
      }
      expect(events).toEqual([{ type: "text", text: "a" }]);
      await until(() => fixture.running() === 0);
    });
    test("leaving the loop early closes the connection", async () => {
      await using fixture = await create({
        turns: [{ text: ["a", "b"], delays: { betweenChunksMs: 60_000 } }],
      });
      for await (const _event of ask(fixture.provider)) break;
      await until(() => fixture.running() === 0);
    });
    test("an abort ends a wait for a busy server", async () => {
      const busy: Turn = {
        fault: { kind: "http", status: 429, retryAfterSeconds: 30, code: "rate_limit_exceeded" },
      };
      await using fixture = await create({ turns: [busy], loop: true });
      const stop = new AbortController();
      const types: string[] = [];
      for await (const event of ask(fixture.provider, {}, stop.signal)) {
        types.push(event.type);
        stop.abort();
      }
      expect(types).toEqual(["progress"]);
    });
    if (loadsModels)
      test("names what is on disk when no model is loaded", async () => {
        await using fixture = await create({
          turns: [],
          models: [{ id: "org/M", state: "on-disk" }],
        });
        const thrown: unknown = await fixture.provider
          .connect(undefined, neverAborted)
          .catch((error: unknown) => error);
        expect(thrown).toBeInstanceOf(OptaError);
        expect(thrown).toMatchObject({ code: "no-model-loaded" });
        fixture.provider.close();
      });
    test("refuses a model that is not there", async () => {
      await using fixture = await create({ turns: [] });
      const thrown: unknown = await fixture.provider
        .connect("no/such", neverAborted)
        .catch((error: unknown) => error);
      expect(thrown).toMatchObject({ code: "model-not-found" });
      fixture.provider.close();
    });
  });
}
