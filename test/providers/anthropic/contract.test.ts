// The Anthropic provider against the contract, alone and behind the opt-in that takes over from a local server.
import type { ScenarioInput } from "../../../src/lmx-server/scenario.ts";
import { createAnthropicProvider } from "../../../src/providers/anthropic/provider.ts";
import { createCloudOptIn } from "../../../src/providers/cloud-opt-in.ts";
import { createLmxProvider } from "../../../src/providers/lmx/provider.ts";
import type { Provider } from "../../../src/providers/provider.ts";
import { describeProvider, type ProviderFixture } from "../../contracts/provider.ts";
import { startAnthropic } from "../../support/anthropic-server.ts";

async function create(
  scenario: ScenarioInput,
  wrap: (provider: Provider) => Provider = (provider) => provider,
): Promise<ProviderFixture> {
  const server = await startAnthropic(scenario);
  const provider = wrap(
    createAnthropicProvider({ apiKey: "key", baseUrl: server.url, model: "scripted" }),
  );
  return {
    provider,
    chats: () => server.chats(),
    running: () => server.running(),
    async [Symbol.asyncDispose]() {
      provider.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

describeProvider("Anthropic", (scenario) => create(scenario), { loadsModels: false });
describeProvider(
  "Anthropic in place of a local server that is down",
  (scenario) =>
    create(scenario, (cloud) =>
      createCloudOptIn({
        use: "fallback",
        local: createLmxProvider({ host: "127.0.0.1", port: 9, fallbackHosts: [] }),
        name: "Anthropic",
        isCloudModel: () => true,
        load: async () => cloud,
      }),
    ),
  { loadsModels: false },
);
