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

/** The same server without anything that only LMX has: what is left is a vLLM. */
describeProvider("An OpenAI-compatible server", (scenario) => {
  const loaded = (scenario.models ?? [{ id: "scripted", contextLength: 32_768 }]).filter(
    ({ state = "loaded" }) => state === "loaded",
  );
  const data = loaded.map(({ id, contextLength }) => ({
    id,
    object: "model",
    owned_by: "vllm",
    max_model_len: contextLength ?? null,
  }));
  const missing = { status: 404, body: { detail: "Not Found" } };
  const routes = [
    ...["/healthz", "/health", "/admin/*", "/.well-known/*", "/v1/chat/stream"].map((path) => ({
      path,
      ...missing,
    })),
    { path: "/version", status: 200, body: { version: "0.11.0" } },
    { path: "/v1/models", status: 200, body: { object: "list", data } },
  ];
  return create({ ...scenario, server: { ...scenario.server, routes } });
});
