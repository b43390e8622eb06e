// The LMX client over both its transports, and over a plain OpenAI-compatible server, against the contract.
import type { ScenarioInput } from "../../../src/lmx-server/scenario.ts";
import { createLmxProvider } from "../../../src/providers/lmx/provider.ts";
import { describeProvider, type ProviderFixture } from "../../contracts/provider.ts";
import { startScripted } from "../../support/lmx.ts";

async function create(scenario: ScenarioInput): Promise<ProviderFixture> {
  const server = await startScripted(scenario);
  const provider = createLmxProvider({ host: "localhost", port: server.port, fallbackHosts: [] });
  return {
    provider,
    chats: () => server.chats(),
    running: () => server.requests.filter(({ outcome }) => outcome === "pending").length,
    async [Symbol.asyncDispose]() {
      provider.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

describeProvider("LMX over WebSocket", create);
describeProvider("LMX over SSE", (scenario) =>
  create({ ...scenario, server: { ...scenario.server, webSocket: false } }),
);
