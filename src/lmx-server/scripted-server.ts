// A scenario served over real sockets: what the demo, the tests and the benchmarks talk to.
import { createScriptedEngine } from "./scripted-engine.ts";
import { createScriptedModels } from "./scripted-models.ts";
import { createRouteScript } from "./scripted-routes.ts";
import { parseScenario } from "./scenario.ts";
import type { ScenarioInput } from "./scenario.ts";
import { startLmxServer } from "./server.ts";
import type { LmxServer, LmxServerOptions } from "./server.ts";

export type ScriptedServerOptions = Pick<LmxServerOptions, "port" | "hostname" | "inspect">;

/** Listens at once, on a free port of 127.0.0.1 unless told otherwise. @throws OptaError config-invalid */
export function startScriptedServer(
  input: ScenarioInput,
  options: ScriptedServerOptions = {},
): LmxServer {
  const scenario = parseScenario(input);
  const { webSocket, routes, downloads: _, ...server } = scenario.server;
  return startLmxServer({
    ...server,
    ...options,
    engine: createScriptedEngine(scenario, createScriptedModels(scenario)),
    webSocketPath: typeof webSocket === "string" ? webSocket : webSocket ? undefined : null,
    intercept: createRouteScript(routes),
  });
}
