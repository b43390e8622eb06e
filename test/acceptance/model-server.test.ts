// What a person sees of the model server: the wait for the first token, limits, the second run's warm start,
// downloads, names and settings of models.
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { opta } from "../support/binary.ts";
import { eventsOf, optaDo } from "../support/do.ts";
import { fakeModel, sse, startFake, until } from "../support/fake-model-server.ts";
import { startScripted } from "../support/lmx.ts";
import { llamaServer, routesOf } from "../support/recorded-servers.ts";
import { doInTerminal, optaInTerminal } from "../support/terminal.ts";
import { createPlace, type Place } from "../support/workspace.ts";

/** Any command of the binary, on the server at that port. */
function run(args: readonly string[], { place, port }: { place: Place; port: number }) {
  const env = { OPTA_HOST: "127.0.0.1", OPTA_PORT: String(port) };
  return opta(args, { cwd: place.workspace, home: place.home, env });
}

describe("the wait for the first token", () => {
  test("is counted in place on a terminal, and the line is gone when the answer comes", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [{ text: "here it is", delays: { firstTokenMs: 2_500 } }],
    });
    await using terminal = await doInTerminal(["hi"], { place, port: lmx.port });
    expect(await terminal.exitCode()).toBe(0);
    const screen = terminal.screen();
    expect(screen).toContain("\r\u001b[K  reading the prompt, 1 s (");
    expect(screen).toContain("reading the prompt, 2 s");
    expect(screen).toContain("tokens estimated)\r\u001b[Khere");
  });
  test("is an event every second without one, and nothing on stderr", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [{ text: "ok", delays: { firstTokenMs: 1_300 } }],
      server: { webSocket: false },
    });
    const done = await optaDo(["-f", "json", "hi"], { place, port: lmx.port });
    const notes = eventsOf(done).filter(
      (event) => event.event === "turn.progress" && event.payload.phase === "reading",
    );
    expect(notes).toHaveLength(1);
    expect(done.stderr).toBe("");
  });
  test.each([true, false])("ends at the limit that is set (WebSocket: %p)", async (webSocket) => {
    using place = createPlace();
    place.configure({ limits: { firstTokenMinutes: 0.005 } });
    await using lmx = await startScripted({
      turns: [{ text: "never", delays: { firstTokenMs: 60_000 } }],
      server: { webSocket },
    });
    const done = await optaDo(["hi"], { place, port: lmx.port });
    expect(done.exitCode).toBe(5);
    expect(done.stderr).toContain("timed out after 0.3 s of silence, before any text");
    expect(lmx.requests).toHaveLength(1);
  });
  test("silence within the answer ends at its own limit", async () => {
    using place = createPlace();
    place.configure({ limits: { idleMinutes: 0.005 } });
    await using lmx = await startScripted({
      turns: [{ text: ["a", "b"], delays: { betweenChunksMs: 60_000 } }],
    });
    const done = await optaDo(["hi"], { place, port: lmx.port });
    expect(done.exitCode).toBe(5);
    expect(done.stderr).toContain("of silence, after 1 characters");
  });
});

describe("the second run", () => {
  test("sends its request after one handshake, and remembers in a private file", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "one" }, { text: "two" }] });
    expect((await optaDo(["hi"], { place, port: lmx.port })).stdout).toBe("one\n");
    const cache = join(place.home, ".config/opta/cache/endpoints.json");
    expect(statSync(cache).mode & 0o777).toBe(0o600);
    const before = lmx.traffic.length;
    expect((await optaDo(["hi"], { place, port: lmx.port })).stdout).toBe("two\n");
    const [first, second] = lmx.traffic.slice(before);
    expect([first?.path, first?.transport]).toEqual(["/v1/chat/stream", "upgrade"]);
    expect(second?.body).toContain('"type":"chat.request"');
  });
  test("works when the server was replaced by one of another kind", async () => {
    using place = createPlace();
    const lmx = await startScripted({ turns: [{ text: "lmx" }] });
    await optaDo(["hi"], { place, port: lmx.port });
    const cache = join(place.home, ".config/opta/cache/endpoints.json");
    const text = readFileSync(cache, "utf8");
    await lmx.stop();
    using llama = startFake({
      routes: {
        ...routesOf(llamaServer),
        "/v1/chat/completions": () =>
          sse(['data: {"choices":[{"delta":{"content":"llama"},"finish_reason":"stop"}]}\n\n']),
      },
    });
    await Bun.write(cache, text.replaceAll(String(lmx.port), String(llama.port)));
    const done = await optaDo(["hi"], { place, port: llama.port });
    expect([done.stdout, done.exitCode]).toEqual(["llama\n", 0]);
    expect(place.sessions().map(({ model }) => model)).toContain("unsloth/Qwen3.6-35B-A3B-GGUF");
  });
});

describe("a model that must be downloaded", () => {
  const far = { id: "lab/Far-8B", state: "downloadable", sizeGb: 5 } as const;
  const server = { downloads: true };

  test("is asked about on a terminal, then followed with size and rate until it is loaded", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [],
      models: [{ ...far, downloadMs: 2_600 }],
      server,
    });
    await using terminal = await optaInTerminal(["models", "load", "lab/Far-8B"], {
      place,
      port: lmx.port,
    });
    await terminal.waitFor("Download it (5.0 GiB)?");
    terminal.type("y\n");
    await terminal.waitFor("GiB/s");
    expect(terminal.screen()).toMatch(/[█░]{20} \d+ % {2}[\d.]+ [GM]iB of 5\.0 GiB/);
    expect(await terminal.exitCode()).toBe(0);
    expect(terminal.screen()).toContain("loaded lab/Far-8B");
  });
  test("is not, after a no", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [], models: [far], server });
    await using terminal = await optaInTerminal(["models", "load", "lab/Far-8B"], {
      place,
      port: lmx.port,
    });
    await terminal.waitFor("Download it");
    terminal.type("n\n");
    expect(await terminal.exitCode()).toBe(1);
    expect(terminal.screen()).toContain("was not downloaded");
    expect(lmx.traffic.map(({ path }) => path)).not.toContain("/admin/models/load/confirm");
  });
  test("is, without a question, with --yes", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [],
      models: [{ ...far, downloadMs: 100 }],
      server,
    });
    const done = await run(["models", "load", "lab/Far-8B", "--yes"], { place, port: lmx.port });
    expect(done).toMatchObject({ exitCode: 0, stderr: "" });
    expect(done.stdout).toStartWith("loaded lab/Far-8B");
  });
  test("goes on downloading on the server after Ctrl+C, which is said", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [],
      models: [{ ...far, downloadMs: 60_000 }],
      server,
    });
    await using terminal = await optaInTerminal(["models", "load", "lab/Far-8B", "--yes"], {
      place,
      port: lmx.port,
    });
    await terminal.waitFor("downloading lab/Far-8B");
    terminal.type("\u0003");
    expect(await terminal.exitCode()).toBe(130);
    expect(terminal.screen()).toContain(
      `127.0.0.1:${lmx.port} goes on downloading lab/Far-8B, and loads it when that is done`,
    );
    const answer = await fetch(`${lmx.url}/admin/models/downloads`);
    expect(await answer.json()).toMatchObject({ downloads: [{ status: "downloading" }] });
  });
});

describe("names and settings of models", () => {
  test("an alias is used by -m and by model.default, and its model is what the server is asked for", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      models: [{ id: "lab/Small" }, { id: "lab/Large" }],
      turns: [{ text: "one" }, { text: "two" }],
    });
    const at = { place, port: lmx.port };
    expect((await run(["models", "alias", "big", "lab/Large"], at)).stdout).toBe(
      "big = lab/Large\n",
    );
    expect((await optaDo(["-m", "big", "hi"], at)).stdout).toBe("one\n");
    await run(["config", "set", "model.default", "big"], at);
    expect((await optaDo(["hi"], at)).stdout).toBe("two\n");
    expect(lmx.chats().map(({ model }) => model)).toEqual(["lab/Large", "lab/Large"]);
  });
  test("a temperature and a window that were set for a model hold for it", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      models: [{ id: "lab/Small" }],
      turns: [{ text: "a" }],
    });
    const at = { place, port: lmx.port };
    const words = ["models", "settings", "Small", "temperature=0.25", "window=16384"];
    expect((await run(words, at)).stdout).toBe("Small  temperature=0.25 window=16384\n");
    await optaDo(["hi"], at);
    expect(JSON.parse(lmx.chatTexts()[0] ?? "{}")).toMatchObject({ temperature: 0.25 });
    expect((await run(["status"], at)).stdout).toContain("lab/Small, window 16,384 (your setting)");
  });
  test("cloud models behind the server are refused until they are allowed", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      models: [{ id: "copilot/gpt-5" }],
      turns: [{ text: "from far away" }],
    });
    const at = { place, port: lmx.port };
    const refused = await optaDo(["-m", "copilot/gpt-5", "hi"], at);
    expect([refused.exitCode, lmx.requests.length]).toEqual([3, 0]);
    expect(refused.stderr).toContain("opta config set connection.allowCloudModels true");
    await run(["config", "set", "connection.allowCloudModels", "true"], at);
    expect((await optaDo(["-m", "copilot/gpt-5", "hi"], at)).stdout).toBe("from far away\n");
  });
});

test("--device reaches a server of another make, and status names its kind, window and models", async () => {
  using place = createPlace();
  using llama = startFake({
    routes: {
      ...routesOf(llamaServer),
      "/v1/chat/completions": () =>
        sse(['data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n']),
    },
  });
  const at = { place, port: 1 };
  const status = await run(["status", "--device", llama.server], at);
  expect(status.stdout).toContain("kind       llama-server (llama.cpp) b8681-Debian\n");
  expect(status.stdout).toContain("models     unsloth/Qwen3.6-35B-A3B-GGUF, window 65,536\n");
  expect((await optaDo(["--device", llama.server, "hi"], at)).stdout).toBe("hi\n");
});

test("a place where nothing can be remembered is no reason to fail", async () => {
  using place = createPlace();
  place.configure({});
  // A file where the directory would be.
  await Bun.write(join(place.home, ".config/opta/cache"), "");
  await using lmx = await startScripted({ models: [{ id: fakeModel }], turns: [{ text: "ok" }] });
  const done = await optaDo(["hi"], { place, port: lmx.port });
  expect(done).toMatchObject({ exitCode: 0, stdout: "ok\n", stderr: "" });
  await until(() => existsSync(join(place.home, ".config/opta/sessions")));
});
