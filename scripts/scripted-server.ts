// A scenario served by a process of its own, for acceptance tests and benchmarks:
// `bun scripts/scripted-server.ts SCENARIO.json [--port N]` prints one line `{"port":N}` and runs until it is
// killed. GET /__requests answers `{requests, traffic}` as src/lmx-server/request-log.ts describes them.
import { parseArgs } from "node:util";
import { toOptaError } from "../src/protocol/error.ts";
import { startScriptedServer } from "../src/lmx-server/scripted-server.ts";

try {
  const { values, positionals } = parseArgs({
    args: Bun.argv.slice(2),
    options: { port: { type: "string", default: "0" } },
    allowPositionals: true,
  });
  const [file] = positionals;
  if (file === undefined)
    throw new Error("usage: bun scripts/scripted-server.ts SCENARIO.json [--port N]");
  const server = startScriptedServer(await Bun.file(file).json(), {
    port: Number(values.port),
    inspect: true,
  });
  console.log(JSON.stringify({ port: server.port }));
} catch (thrown) {
  console.error(toOptaError(thrown).message);
  process.exit(2);
}
