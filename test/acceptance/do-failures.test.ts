// What `opta do` does when the model server is not there, refuses, breaks or stalls: one clear line, the next
// command to type, the right exit code, a consistent session, and never half a tool call run.
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { completeHistory, noAnswer } from "../../src/engine/message-history.ts";
import { eventsOf, optaDo } from "../support/do.ts";
import { startScripted } from "../support/lmx.ts";
import { createPlace, type Place } from "../support/workspace.ts";

const stackTrace = /\n\s+at |Error:|\.ts:\d/;

async function closedPort(): Promise<number> {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = server;
  server.stop(true);
  return port;
}

/** The session is valid JSON, every call has its result, roles alternate. */
function expectConsistent(place: Place): void {
  const [session] = place.sessions();
  expect(session).toBeDefined();
  expect(completeHistory(session?.messages ?? [])).toEqual(session?.messages ?? []);
  expect(place.sessionEntries()).toEqual([`${session?.id}.json`]);
}

test("no server: one line naming each candidate and why, one with the next command, exit 3", async () => {
  using place = createPlace();
  const [port, fallback] = [await closedPort(), await closedPort()];
  place.configure({ connection: { fallbackHosts: [`127.0.0.1:${fallback}`] } });
  const run = await optaDo(["hi"], { place, port });
  expect(run.exitCode).toBe(3);
  expect(run.stdout).toBe("");
  const [line, ...hint] = run.stderr.trimEnd().split("\n");
  expect(line).toContain(`127.0.0.1:${port}`);
  expect(line).toContain(`127.0.0.1:${fallback}`);
  expect(line).toContain("refused");
  expect(hint.join("\n").trim()).toBe(
    "opta status   (another server, once: --device HOST, or for good: opta config set connection.host HOST)",
  );
  expect(run.stderr).not.toMatch(stackTrace);
});

test("a server that accepts and then says nothing counts as not reachable", async () => {
  using place = createPlace();
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const run = await optaDo(["hi"], { place, port: silent.port });
  silent.stop(true);
  expect(run.exitCode).toBe(3);
  expect(run.stderr).toContain("timed out");
});

test("no model loaded: says which are on disk and the command that loads one, exit 3", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    models: [{ id: "org/on-disk-4bit", state: "on-disk" }],
    turns: [],
  });
  const run = await optaDo(["hi"], { place, port: lmx.port });
  expect(run.exitCode).toBe(3);
  expect(run.stderr).toContain("org/on-disk-4bit");
  expect(run.stderr).toContain("opta models load org/on-disk-4bit");
  expect(lmx.requests).toHaveLength(0);
});

test("a model that is not there is named, with those that are: exit 3", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ models: [{ id: "org/real" }], turns: [] });
  const run = await optaDo(["-m", "imaginary", "hi"], { place, port: lmx.port });
  expect(run.exitCode).toBe(3);
  expect(run.stderr).toContain("imaginary");
  expect(run.stderr).toContain("org/real");
});

test("a wrong key: exit 4 at once, the key is not printed", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "no" }], server: { apiKey: "right" } });
  const run = await optaDo(["hi"], {
    place,
    port: lmx.port,
    options: { env: { OPTA_API_KEY: "wrong-key" } },
  });
  expect(run.exitCode).toBe(4);
  expect(run.stderr).toContain("connection.apiKey");
  expect(run.stderr).not.toContain("wrong-key");
  expect(lmx.requests).toHaveLength(0);
});

test("the right key, from the environment, is accepted over both transports", async () => {
  for (const webSocket of [true, false]) {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [{ text: "yes" }],
      server: { apiKey: "right", webSocket },
    });
    const run = await optaDo(["hi"], {
      place,
      port: lmx.port,
      options: { env: { OPTA_API_KEY: "right" } },
    });
    expect(run.stdout).toBe("yes\n");
  }
});

const marker = "written-by-half-a-call";
const writeCall = { name: "write_file", arguments: { path: marker, content: "x" } };
const nineteenWords = Array.from({ length: 19 }, (_, index) => `word${index} `);

for (const webSocket of [true, false]) {
  const transport = webSocket ? "WebSocket" : "SSE";
  for (const kind of ["drop", "close"] as const) {
    test(`${transport} ${kind} at every frame of a 20-frame answer: never a success, never a half tool call`, async () => {
      // 19 text frames and one whole tool call, cut before frame k for every k, and before the finish.
      const cutAt = async (atChunk: number) => {
        using place = createPlace();
        await using lmx = await startScripted({
          turns: [{ text: nineteenWords, toolCalls: [writeCall], fault: { kind, atChunk } }],
          server: { webSocket },
        });
        const run = await optaDo(["--dangerous", "-f", "json", "go"], { place, port: lmx.port });
        expect(run.exitCode).toBe(5);
        expect(run.stderr).not.toMatch(stackTrace);
        const kinds = eventsOf(run).map((event) => event.event);
        expect(kinds).not.toContain("turn.done");
        expect(kinds).not.toContain("tool.start");
        expect(existsSync(join(place.workspace, marker))).toBe(false);
        expectConsistent(place);
        expect(lmx.requests).toHaveLength(1); // a prefill is never sent again by itself
        const kept = place.sessions()[0]?.messages.at(-1);
        expect(kept?.["interrupted"]).toBe(true);
        // A TCP reset may take what was not yet read with it.
        const content = String(kept?.content);
        expect(content === noAnswer || nineteenWords.join("").startsWith(content)).toBe(true);
      };
      for (let atChunk = 0; atChunk <= 20; atChunk += 2) {
        await Promise.all([cutAt(atChunk), ...(atChunk < 20 ? [cutAt(atChunk + 1)] : [])]);
      }
    }, 60_000);
  }

  test(`${transport}: a server that is killed in the middle ends the turn with exit 5`, async () => {
    using place = createPlace();
    const { spawnScripted } = await import("../support/lmx.ts");
    await using lmx = await spawnScripted({
      turns: [{ repeat: { text: "x ", times: 100_000 }, delays: { betweenChunksMs: 5 } }],
      server: { webSocket },
    });
    const { startOptaDo } = await import("../support/do.ts");
    await using started = await startOptaDo(["go"], { place, port: lmx.port });
    const reader = started.process.stdout.getReader();
    await reader.read();
    await lmx.kill();
    expect(await started.process.exited).toBe(5);
    expectConsistent(place);
  });

  test(`${transport}: an error frame in the middle is an error, not an answer`, async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [
        { text: "half an answer", fault: { kind: "error", atChunk: 2, message: "GPU on fire" } },
      ],
      server: { webSocket },
    });
    const run = await optaDo(["go"], { place, port: lmx.port });
    expect(run.exitCode).toBe(5);
    expect(run.stderr).toContain("GPU on fire");
    expect(run.stdout).toEndWith("\n");
    expectConsistent(place);
  });
}

test("a busy server is waited for as it asks, then answers", async () => {
  using place = createPlace();
  const busy = { fault: { kind: "http", status: 429, retryAfterSeconds: 0 } } as const;
  await using lmx = await startScripted({
    turns: [busy, { text: "finally" }],
    server: { webSocket: false },
  });
  const run = await optaDo(["go"], { place, port: lmx.port });
  expect(run.stdout).toBe("finally\n");
  expect(run.exitCode).toBe(0);
});

test("a server that is too busy to list its models is asked again", async () => {
  using place = createPlace();
  const busy = {
    path: "/admin/models",
    times: 1,
    status: 429,
    headers: { "Retry-After": "0" },
    body: {},
  };
  await using lmx = await startScripted({ turns: [{ text: "hello" }], server: { routes: [busy] } });
  const run = await optaDo(["go"], { place, port: lmx.port });
  expect(run.stdout).toBe("hello\n");
});

test("a denial is reported however the turn ends: cut off, out of steps, or at the output limit", async () => {
  const denied = { toolCalls: [writeCall] };
  const endings = [
    { turns: [denied, { text: "half", fault: { kind: "drop", atChunk: 1 } }], words: "incomplete" },
    {
      turns: [denied, { toolCalls: [{ name: "list_dir", arguments: {} }] }],
      words: "after 2 steps",
    },
    { turns: [denied, { text: "half", finishReason: "length" }], words: "output limit" },
  ] as const;
  for (const { turns, words } of endings) {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [...turns] as never });
    const run = await optaDo(["--max-steps", "2", "go"], { place, port: lmx.port });
    expect(run.exitCode).toBe(6);
    expect(run.stderr).toContain(words);
    expect(run.stderr).toContain("write_file");
    expect(run.stderr).toContain("--auto");
  }
});

test("an answer without text or call is an error, exit 5", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "" }] });
  const run = await optaDo(["go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(5);
  expectConsistent(place);
});

test("a fallback host answers when the primary is down", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "from the fallback" }] });
  place.configure({ connection: { fallbackHosts: [`127.0.0.1:${lmx.port}`] } });
  const run = await optaDo(["hi"], { place, port: await closedPort() });
  expect(run.stdout).toBe("from the fallback\n");
});

test("--device names one server and no other", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "from the device" }] });
  const dead = await closedPort();
  const run = await optaDo(["--device", `127.0.0.1:${lmx.port}`, "hi"], { place, port: dead });
  expect(run.stdout).toBe("from the device\n");
  place.configure({ connection: { fallbackHosts: [`127.0.0.1:${lmx.port}`] } });
  const lost = await optaDo(["--device", `127.0.0.1:${dead}`, "hi"], { place, port: lmx.port });
  expect(lost.exitCode).toBe(3);
});
