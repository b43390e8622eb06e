import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import type { EngineSettings } from "../../src/engine/engine-settings.ts";
import { createEventLog } from "../../src/engine/event-log.ts";
import { createEngine } from "../../src/engine/engine.ts";
import type { OptaEvent } from "../../src/protocol/event.ts";
import type { Provider, ProviderToolCall } from "../../src/providers/provider.ts";
import { createMemoryEventStore } from "../../src/store/memory-event-store.ts";
import { createSessionStore } from "../../src/store/session-file.ts";
import { defineTool } from "../../src/tools/tool.ts";

/** A provider that asks for `calls` once, then answers; it stands for any of them. */
function providerOf(calls: readonly ProviderToolCall[], parallelTools: boolean): Provider {
  let requests = 0;
  const unused = () => Promise.reject(new Error("not asked for"));
  return {
    id: "test",
    connect: async () => ({
      model: "m",
      contextLength: null,
      windowSource: "unknown",
      parallelTools,
      server: "nowhere:1",
    }),
    async *stream() {
      requests += 1;
      if (requests > 1) yield { type: "text", text: "done" };
      else for (const call of calls) yield { type: "tool_call", call };
      yield { type: "done", finishReason: requests > 1 ? "stop" : "tool_calls", usage: null };
    },
    status: unused,
    models: unused,
    load: unused,
    unload: unused,
    close: () => undefined,
  };
}

async function turnWith(calls: readonly ProviderToolCall[], { parallelTools = true } = {}) {
  const directory = mkdtempSync(join(tmpdir(), "opta-tool-call-"));
  const running = { now: 0, most: 0, ran: 0 };
  const look = defineTool({
    name: "look",
    description: "looks",
    parameters: z.object({ at: z.string() }),
    readOnly: true,
    effects: async () => [],
    async run({ at }) {
      running.ran += 1;
      running.now += 1;
      running.most = Math.max(running.most, running.now);
      await Bun.sleep(5);
      running.now -= 1;
      return { ok: true, text: `saw ${at}` };
    },
  });
  const settings: EngineSettings = {
    provider: providerOf(calls, parallelTools),
    tools: [look],
    model: undefined,
    permissions: { mode: "safe", rules: [], timeoutMs: 60_000 },
    maxSteps: 5,
  };
  const events = createMemoryEventStore();
  const engine = createEngine({
    events,
    log: createEventLog({ daemonId: "test", now: () => new Date(0), store: events }),
    settings: () => settings,
    refreshSettings: async () => undefined,
    startProcess: () => {
      throw new Error("not asked for");
    },
    toolPath: "/usr/bin:/bin",
    report: () => undefined,
    store: createSessionStore({ directory: join(directory, "sessions") }),
    home: directory,
    settingsDirectory: directory,
    platform: "linux",
    now: () => new Date(0),
  });
  const { signal } = new AbortController();
  const { sessionId } = await engine.call(
    "session.create",
    { metadata: { workspace: directory } },
    signal,
  );
  const seen: OptaEvent[] = [];
  const ids = { clientId: "t", writerId: "t" };
  await engine.call("turn.submit", { sessionId, ...ids, content: "go", mode: "do" }, signal);
  for await (const event of engine.events(sessionId, 0, signal)) {
    seen.push(event);
    if (event.event === "turn.done" || event.event === "turn.error") break;
  }
  const { messages } = await engine.call("session.get", { sessionId }, signal);
  await engine.close();
  rmSync(directory, { recursive: true, force: true });
  return { events: seen, messages, running };
}

const call = (id: string): ProviderToolCall => ({ id, name: "look", arguments: `{"at":"${id}"}` });

test("a call with a problem never runs: the model is told what is wrong, and its siblings run", async () => {
  const problem = "truncated tool call: cut off at character 12; required: at (string)";
  const broken = { ...call("a"), arguments: '{"at": "a', problem };
  const { events, messages, running } = await turnWith([broken, call("b")]);
  expect(running.ran).toBe(1);
  const results = events.flatMap((event) => (event.event === "tool.result" ? [event.payload] : []));
  expect(results).toMatchObject([
    { id: "a", ok: false, outcome: "invalid", result: problem },
    { id: "b", ok: true, result: "saw b" },
  ]);
  expect(messages.filter(({ role }) => role === "tool").map(({ content }) => content)).toEqual([
    problem,
    "saw b",
  ]);
  // A server's template must be able to read the call.
  expect(messages.find(({ tool_calls }) => tool_calls)?.tool_calls?.[0]?.function.arguments).toBe(
    "{}",
  );
});

test("a problem counts even where the arguments would do", async () => {
  const { running } = await turnWith([{ ...call("a"), problem: "ambiguous" }]);
  expect(running.ran).toBe(0);
});

test("read-only calls run at once, and one by one for a model that is set to parallelTools: false", async () => {
  const calls = ["a", "b", "c", "d"].map(call);
  expect((await turnWith(calls)).running).toMatchObject({ ran: 4, most: 4 });
  const single = await turnWith(calls, { parallelTools: false });
  expect(single.running).toMatchObject({ ran: 4, most: 1 });
  const results = single.messages.filter(({ role }) => role === "tool");
  expect(results.map(({ content }) => content)).toEqual(["saw a", "saw b", "saw c", "saw d"]);
});
