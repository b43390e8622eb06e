// README's "Works with": every notation that a model family writes, streamed as plain text by every kind of
// server in its recorded shapes, becomes the same calls; over Opta LMX by WebSocket and by SSE.
import { describe, expect, test } from "bun:test";
import { createLmxProvider } from "../../src/providers/lmx/provider.ts";
import type { Provider, ProviderEvent } from "../../src/providers/provider.ts";
import {
  chatRequest,
  collect,
  neverAborted,
  sse,
  startFake,
} from "../support/fake-model-server.ts";
import { startScripted } from "../support/lmx.ts";
import {
  llamaServer,
  lmStudio,
  mlxLm,
  ollama,
  plainServer,
  routesOf,
  vllm,
} from "../support/recorded-servers.ts";
import { positiveSamples, sampleTools, type TextCallSample } from "../support/text-call-samples.ts";

/** As a model would: a few characters at a time. */
function chunksOf(text: string): string[] {
  return text.match(/[^]{1,4}/g) ?? [];
}

/** Under a name of no family: what a family's name adds is model-family.ts's own test. */
async function ask(provider: Provider, model: string): Promise<readonly ProviderEvent[]> {
  await provider.connect(undefined, neverAborted);
  const request = chatRequest({ model, tools: sampleTools });
  const events = await collect(provider.stream(request, neverAborted));
  provider.close();
  return events;
}

function expectCalls(events: readonly ProviderEvent[], { calls }: TextCallSample): void {
  const found = events.flatMap((event) => (event.type === "tool_call" ? [event.call] : []));
  expect(found.map((call) => call.name)).toEqual(calls.map(([name]) => name));
  for (const [index, [, args]] of calls.entries()) {
    const call = found[index];
    if (typeof args === "string") expect(call?.problem).toContain(args);
    else expect(JSON.parse(call?.arguments ?? "")).toEqual(args);
  }
}

const openAiServers = {
  "llama-server": llamaServer,
  "mlx_lm.server": mlxLm,
  "LM Studio": lmStudio,
  Ollama: ollama,
  vLLM: vllm,
  "another OpenAI-compatible server": plainServer,
};

for (const [name, recorded] of Object.entries(openAiServers)) {
  describe(`${name} with a model that writes`, () => {
    test.each(positiveSamples.map((sample) => [sample.name, sample] as const))(
      "%s",
      async (_name, sample) => {
        const chunk = (delta: object, finish: string | null) =>
          `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
        using fake = startFake({
          routes: {
            ...routesOf(recorded),
            "/v1/chat/completions": () =>
              sse([
                ...chunksOf(sample.written).map((content) => chunk({ content }, null)),
                chunk({}, "stop"),
                "data: [DONE]\n\n",
              ]),
          },
        });
        expectCalls(await ask(fake.provider(), "some-model"), sample);
      },
    );
  });
}

for (const webSocket of [true, false]) {
  describe(`Opta LMX over ${webSocket ? "WebSocket" : "SSE"} with a model that writes`, () => {
    test.each(positiveSamples.map((sample) => [sample.name, sample] as const))(
      "%s",
      async (_name, sample) => {
        await using lmx = await startScripted({
          turns: [{ text: chunksOf(sample.written) }],
          server: { webSocket },
        });
        const { port } = lmx;
        const provider = createLmxProvider({ host: "127.0.0.1", port, fallbackHosts: [] });
        expectCalls(await ask(provider, "scripted"), sample);
      },
    );
  });
}
