// Waiting for the first token: as long as it takes, visibly, and no longer than the server is there. And what is
// asked again: only what was refused at once, never a prompt that a server may be reading.
import { describe, expect, test } from "bun:test";
import type { ProviderEvent } from "../../../src/providers/provider.ts";
import {
  chatRequest,
  neverAborted,
  startFake,
  textOf,
  until,
  type FakeModelServer,
} from "../../support/fake-model-server.ts";
import { llamaServer, mlxLm, routesOf, vllm } from "../../support/recorded-servers.ts";
import { createTestClock, type TestClock } from "../../support/test-clock.ts";

const minuteMs = 60_000;
const answer = 'data: {"choices":[{"delta":{"content":"late"},"finish_reason":"stop"}]}\n\n';

/** A request over SSE, the clock in the test's hands; `write` sends bytes of the answer. */
function startSse(server = vllm, readyWhen: (fake: FakeModelServer) => boolean = hasPost) {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const fake = startFake({
    routes: {
      ...routesOf(server),
      "/v1/chat/completions": () =>
        new Response(new ReadableStream({ start: (own) => void (controller = own) }), {
          headers: { "content-type": "text/event-stream" },
        }),
    },
  });
  const clock = createTestClock();
  const events: ProviderEvent[] = [];
  const provider = fake.provider({ clock });
  const finished = (async () => {
    for await (const event of provider.stream(chatRequest(), neverAborted)) events.push(event);
  })();
  return {
    fake,
    clock,
    events,
    finished,
    ready: () => until(() => readyWhen(fake) && controller !== undefined),
    write: (text: string) => controller?.enqueue(new TextEncoder().encode(text)),
    end: () => controller?.close(),
  };
}
const hasPost = (fake: FakeModelServer) => fake.requests.includes("POST /v1/chat/completions");

async function lastNote(events: readonly ProviderEvent[], clock: TestClock): Promise<string> {
  const before = events.length;
  clock.advance(1000);
  await until(() => events.length > before);
  const last = events.at(-1);
  return last?.type === "progress" ? last.message : "";
}

describe("over SSE", () => {
  test("eleven minutes of silence before the first token are waited for, second by second", async () => {
    const { fake, clock, events, finished, ready, write, end } = startSse();
    using _ = fake;
    await ready();
    // Minute by minute, so that each look at the host has its answer before the next.
    for (let minute = 1; minute <= 11; minute += 1) {
      clock.advance(minuteMs);
      await until(() => events.length === 60 * minute);
      await Bun.sleep(2);
    }
    expect(events[37]).toMatchObject({
      phase: "reading",
      message: expect.stringMatching(/^reading the prompt, 38 s \(\d+ tokens estimated\)$/),
    });
    write(answer);
    end();
    await finished;
    expect(events.slice(660).map(({ type }) => type)).toEqual(["text", "done"]);
    expect(fake.requests.filter((request) => request.startsWith("POST"))).toHaveLength(1);
    expect(clock.waiting()).toBe(0);
  });
  test("llama-server's own count and rate replace the estimate", async () => {
    const { fake, clock, events, ready, write } = startSse(llamaServer);
    using _ = fake;
    await ready();
    clock.advance(9_000);
    await until(() => events.length === 9);
    const chunk = {
      choices: [],
      prompt_progress: { total: 12_400, cache: 2_000, processed: 4_100, time_ms: 9_000 },
    };
    write(`data: ${JSON.stringify(chunk)}\n\n`);
    await Bun.sleep(20);
    expect(await lastNote(events, clock)).toBe(
      "reading the prompt, 10 s (4,100 of 12,400 tokens, 210 tokens/s)",
    );
  });
  test("so do the comments of mlx_lm.server", async () => {
    const { fake, clock, events, ready, write } = startSse(mlxLm);
    using _ = fake;
    await ready();
    clock.advance(1_000);
    await until(() => events.length === 1);
    write(": keepalive 2048/4096\n\n");
    await Bun.sleep(20);
    expect(await lastNote(events, clock)).toBe(
      "reading the prompt, 2 s (2,048 of 4,096 tokens, 1,024 tokens/s)",
    );
  });
  test("a host that went away while it was to read is told, though the connection never broke", async () => {
    const { fake, clock, events, finished, ready } = startSse();
    using _ = fake;
    await ready();
    fake.stopListening();
    // The first look finds it there no more before anything was answered at all: once is enough.
    for (let minute = 0; minute < 4; minute += 1) {
      clock.advance(minuteMs);
      await Bun.sleep(30);
    }
    await finished;
    expect(events.at(-1)).toMatchObject({
      type: "error",
      message: expect.stringContaining("reached"),
    });
  });
});

describe("a server that fails", () => {
  /** Answers each request with the next of these statuses, then with text. */
  function failing(statuses: readonly number[], delayMs = 0) {
    const left = [...statuses];
    const clock = createTestClock();
    const fake = startFake({
      routes: {
        "/v1/chat/completions": () => {
          const status = left.shift();
          clock.advance(delayMs);
          if (status === undefined)
            return new Response(answer, { headers: { "content-type": "text/event-stream" } });
          return Response.json({ error: { message: "boom" } }, { status });
        },
      },
    });
    const events: ProviderEvent[] = [];
    const provider = fake.provider({ clock });
    const finished = (async () => {
      for await (const event of provider.stream(chatRequest(), neverAborted)) events.push(event);
    })();
    const posts = () => fake.requests.filter((request) => request.startsWith("POST")).length;
    return { fake, clock, events, finished, posts };
  }

  test("with 500 is asked twice more within ten seconds, visibly", async () => {
    const { fake, clock, events, finished, posts } = failing([500, 500]);
    using _ = fake;
    for (const [number, waitMs] of [
      [1, 1_000],
      [2, 3_000],
    ] as const) {
      await until(() => events.filter(isNote).length === number);
      clock.advance(waitMs);
      await until(() => posts() === number + 1);
    }
    await finished;
    expect(textOf(events)).toBe("late");
    expect(events.filter(isNote)).toMatchObject([
      {
        message: expect.stringMatching(/failed \(boom\); asking again in 1 s \(attempt 2 of 3\)$/),
      },
      { message: expect.stringMatching(/asking again in 3 s \(attempt 3 of 3\)$/) },
    ]);
  });
  test("with 500 a third time is an error", async () => {
    const { fake, clock, events, finished, posts } = failing([500, 500, 500]);
    using _ = fake;
    for (const [number, waitMs] of [
      [1, 1_000],
      [2, 3_000],
    ] as const) {
      await until(() => events.filter(isNote).length === number);
      clock.advance(waitMs);
      await until(() => posts() === number + 1);
    }
    await finished;
    expect(events.at(-1)).toMatchObject({ type: "error", code: "model-server-failed" });
    expect(posts()).toBe(3);
  });
  test("with 500 after it had worked for long is not made to work again", async () => {
    const { fake, events, finished, posts } = failing([500], 9_500);
    using _ = fake;
    await finished;
    expect(events.at(-1)).toMatchObject({ type: "error", code: "model-server-failed" });
    expect(posts()).toBe(1);
  });
  test("with 507 is not asked again", async () => {
    const { fake, events, finished, posts } = failing([507]);
    using _ = fake;
    await finished;
    expect(events.at(-1)).toMatchObject({ type: "error", code: "insufficient-memory" });
    expect(posts()).toBe(1);
  });
});

function isNote(event: ProviderEvent): boolean {
  return event.type === "progress" && event.message.includes("asking again");
}
