// A scripted model server for tests, in this process or (to be killed) in one of its own.
// `await using lmx = await startScripted({ turns: [{ text: "Hello" }] })`, then talk to lmx.port.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChatRequestBody } from "../../src/lmx-server/chat-request.ts";
import type { RecordedRequest } from "../../src/lmx-server/request-log.ts";
import type { ScenarioInput } from "../../src/lmx-server/scenario.ts";
import { startScriptedServer } from "../../src/lmx-server/scripted-server.ts";
import type { ScriptedServerOptions } from "../../src/lmx-server/scripted-server.ts";
import type { LmxServer } from "../../src/lmx-server/server.ts";

export interface ScriptedServer extends LmxServer {
  /** The model requests, parsed. */
  chats(): readonly ChatRequestBody[];
  /** The model requests, byte for byte. */
  chatTexts(): readonly string[];
}

/** In this process, on a free port of 127.0.0.1. */
export async function startScripted(
  scenario: ScenarioInput,
  options?: ScriptedServerOptions,
): Promise<ScriptedServer> {
  const server = startScriptedServer(scenario, options);
  return {
    ...server,
    chats: () => server.requests.map(({ body }) => JSON.parse(body) as ChatRequestBody),
    chatTexts: () => server.requests.map(({ body }) => body),
  };
}

export interface ScriptedProcess extends AsyncDisposable {
  readonly port: number;
  readonly url: string;
  /** What it recorded so far. */
  recorded(): Promise<{
    readonly requests: readonly RecordedRequest[];
    readonly traffic: readonly RecordedRequest[];
  }>;
  /** kill -9; resolves when it is gone. */
  kill(): Promise<void>;
}

const script = join(import.meta.dir, "../../scripts/scripted-server.ts");

/** In a process of its own, which ends with the test. */
export async function spawnScripted(scenario: ScenarioInput): Promise<ScriptedProcess> {
  const directory = await mkdtemp(join(tmpdir(), "opta-scenario-"));
  const file = join(directory, "scenario.json");
  await Bun.write(file, JSON.stringify(scenario));
  const child = Bun.spawn([process.execPath, script, file], { stdin: "ignore", stdout: "pipe" });
  const kill = async () => {
    child.kill("SIGKILL");
    await child.exited;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const { port } = JSON.parse(await readLine(child.stdout)) as { readonly port: number };
    const url = `http://127.0.0.1:${port}`;
    return {
      port,
      url,
      recorded: async () => (await fetch(`${url}/__requests`)).json() as never,
      kill,
      [Symbol.asyncDispose]: kill,
    };
  } catch (thrown) {
    await kill();
    throw thrown;
  }
}

async function readLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`scripted-server.ts ended after '${text}'`);
    text += decoder.decode(value, { stream: true });
  }
  return text.split("\n", 1)[0] ?? "";
}
