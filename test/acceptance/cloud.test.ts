// The cloud on the built binary: nothing without the opt-in, in place of a local server only before a turn began,
// said on every turn it serves, and nobody else is contacted. The cloud is a server here that speaks its API.
import { describe, expect, test } from "bun:test";
import type { ScenarioInput } from "../../src/lmx-server/scenario.ts";
import { startAnthropic, type AnthropicServer } from "../support/anthropic-server.ts";
import { opta } from "../support/binary.ts";
import { eventsOf, optaDo } from "../support/do.ts";
import { until } from "../support/fake-model-server.ts";
import { startScripted } from "../support/lmx.ts";
import { traceOpta } from "../support/strace.ts";
import { createPlace, type Place } from "../support/workspace.ts";

const key = "sk-ant-acceptance-0123456789";
const cloudModel = "claude-test-1";
/** Nothing listens there. */
const deadPort = 9;
const notice = `opta: Anthropic answers, in the cloud: ${cloudModel}; this conversation leaves your network`;
const optIn = { provider: { fallback: "anthropic", anthropicModel: cloudModel } };

function startCloud(turns: ScenarioInput["turns"], more: Partial<ScenarioInput> = {}) {
  const models = [{ id: cloudModel, contextLength: 200_000 }];
  return startAnthropic({ turns, models, ...more }, { apiKey: key, thinks: true });
}

function cloudEnv(cloud: AnthropicServer) {
  return { ANTHROPIC_API_KEY: key, ANTHROPIC_BASE_URL: cloud.url };
}

function run(args: readonly string[], place: Place, cloud: AnthropicServer, port = deadPort) {
  return optaDo(args, { place, port, options: { env: cloudEnv(cloud) } });
}

function status(args: readonly string[], place: Place, cloud: AnthropicServer, port = deadPort) {
  const env = { ...cloudEnv(cloud), OPTA_HOST: "127.0.0.1", OPTA_PORT: String(port) };
  return opta(["status", ...args], { cwd: place.workspace, home: place.home, env });
}

describe("without the opt-in", () => {
  test("a key and a local server that is down bring no request to the cloud", async () => {
    using place = createPlace();
    await using cloud = await startCloud([{ text: "never" }]);
    const answer = await run(["hi"], place, cloud);
    expect(answer.exitCode).toBe(3);
    expect(answer.stderr).not.toContain("cloud");
    expect((await status([], place, cloud)).exitCode).toBe(3);
    expect(cloud.traffic).toEqual([]);
  });
  test.each(["--provider=lmx", `--device=127.0.0.1:${deadPort}`])(
    "%s takes the opt-in back for one run",
    async (flag) => {
      using place = createPlace();
      place.configure(optIn);
      await using cloud = await startCloud([{ text: "never" }]);
      expect((await run([flag, "hi"], place, cloud)).exitCode).toBe(3);
      expect(cloud.traffic).toEqual([]);
    },
  );
});

describe("with provider.fallback", () => {
  test("the cloud answers in place of a server that is down, and says so without a terminal and with -q", async () => {
    using place = createPlace();
    place.configure(optIn);
    await using cloud = await startCloud([{ text: "one" }, { text: "two" }, { text: "three" }]);
    for (const [args, text] of [
      [["hi"], "one"],
      [["-q", "--continue", "and?"], "two"],
    ] as const) {
      const { exitCode, stdout, stderr } = await run(args, place, cloud);
      expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: `${text}\n` });
      expect(stderr).toStartWith(notice);
      expect(stderr).toContain(`127.0.0.1:${deadPort} (connection refused)`);
      expect(stderr.match(/in the cloud/g)).toHaveLength(1);
    }
    const json = await run(["-f", "json", "--continue", "again"], place, cloud);
    const told = eventsOf(json).filter(({ event }) => event === "turn.progress");
    expect(told).toMatchObject([{ payload: { phase: "cloud", provider: "anthropic" } }]);
    expect(json.stderr).toStartWith(notice);
    const [session] = place.sessions();
    expect(session).toMatchObject({
      model: cloudModel,
      metadata: { model: cloudModel, provider: "anthropic" },
    });
    expect(JSON.stringify(place.sessions()) + json.stdout + json.stderr).not.toContain(key);
  });
  test("it answers in place of a server that has no model loaded", async () => {
    using place = createPlace();
    place.configure(optIn);
    await using cloud = await startCloud([{ text: "from above" }]);
    await using lmx = await startScripted({ turns: [], models: [{ id: "m", state: "on-disk" }] });
    const { stdout, stderr } = await run(["hi"], place, cloud, lmx.port);
    expect(stdout).toBe("from above\n");
    expect(stderr).toContain("has no model loaded");
  });
  test("a local server that answers is used, and the cloud hears nothing", async () => {
    using place = createPlace();
    place.configure(optIn);
    await using cloud = await startCloud([{ text: "never" }]);
    await using lmx = await startScripted({ turns: [{ text: "local" }] });
    const { stdout, stderr } = await run(["hi"], place, cloud, lmx.port);
    expect({ stdout, stderr }).toEqual({ stdout: "local\n", stderr: "" });
    expect(place.sessions()[0]?.metadata.provider).toBe("lmx");
    expect(cloud.traffic).toEqual([]);
  });
  test("a session of the cloud goes on with the local model when that is back", async () => {
    using place = createPlace();
    place.configure(optIn);
    const calls = [{ name: "read_file", arguments: { path: "a.txt" } }];
    place.write("a.txt", "text of a");
    await using cloud = await startCloud([
      { thinking: "hm", toolCalls: calls },
      { text: "from above" },
    ]);
    await using lmx = await startScripted({ turns: [{ expect: "and?", text: "from here" }] });
    expect((await run(["hi"], place, cloud)).stdout).toBe("from above\n");
    expect((await run(["--continue", "and?"], place, cloud, lmx.port)).stdout).toBe("from here\n");
    expect(place.sessions()[0]).toMatchObject({ model: "scripted", metadata: { provider: "lmx" } });
    expect(lmx.chatTexts()[0]).not.toContain("anthropic");
  });
  for (const webSocket of [true, false]) {
    test(`a local server lost in the middle of an answer never brings the cloud (${webSocket ? "WebSocket" : "SSE"})`, async () => {
      using place = createPlace();
      place.configure(optIn);
      await using cloud = await startCloud([{ text: "never" }]);
      await using lmx = await startScripted({
        turns: [{ text: ["half ", "an ", "answer"], fault: { kind: "drop", atChunk: 2 } }],
        server: { webSocket },
      });
      const { exitCode, stdout } = await run(["hi"], place, cloud, lmx.port);
      expect({ exitCode, stdout }).toEqual({ exitCode: 5, stdout: "half an \n" });
      expect(cloud.traffic).toEqual([]);
    });
    test(`nor does one lost between two steps (${webSocket ? "WebSocket" : "SSE"})`, async () => {
      using place = createPlace();
      place.configure(optIn);
      await using cloud = await startCloud([{ text: "never" }]);
      const wait = {
        name: "run_command",
        arguments: { command: "until [ -e go ]; do sleep 0.02; done" },
      };
      await using lmx = await startScripted({
        turns: [{ toolCalls: [wait] }],
        server: { webSocket },
      });
      const running = run(["--dangerous", "hi"], place, cloud, lmx.port);
      await until(() => lmx.requests[0]?.outcome === "done");
      await lmx.stop();
      place.write("go", "");
      const { exitCode } = await running;
      expect([3, 5]).toContain(exitCode);
      expect(cloud.traffic).toEqual([]);
    });
  }
  test("a missing key is said before anything is asked, exit 4", async () => {
    using place = createPlace();
    place.configure(optIn);
    await using cloud = await startCloud([{ text: "never" }]);
    const env = { ANTHROPIC_BASE_URL: cloud.url };
    const { exitCode, stderr } = await optaDo(["hi"], { place, port: deadPort, options: { env } });
    expect(exitCode).toBe(4);
    expect(stderr).toContain("ANTHROPIC_API_KEY is not set");
    expect(stderr).toContain("connection refused");
    expect(cloud.traffic).toEqual([]);
  });
});

describe("with --provider anthropic", () => {
  test("the local server is not asked; tools work; every request begins with the one before", async () => {
    using place = createPlace({ "a.txt": "text of a" });
    place.configure({ provider: { anthropicModel: cloudModel } });
    const call = (name: string, args: object) => ({ name, arguments: { ...args } });
    const steps = Array.from({ length: 6 }, (_, step) => ({
      thinking: `thought ${step}`,
      text: `step ${step} `,
      toolCalls: [call("read_file", { path: "a.txt" }), call("run_command", { command: "env" })],
    }));
    await using cloud = await startCloud([...steps, { text: "done" }, ...steps, { text: "again" }]);
    await using lmx = await startScripted({ turns: [{ text: "never" }] });
    const flags = ["--provider", "anthropic", "--dangerous"];
    const first = await run([...flags, "hi"], place, cloud, lmx.port);
    expect({ exitCode: first.exitCode, answer: first.stdout.endsWith("done\n") }).toEqual({
      exitCode: 0,
      answer: true,
    });
    expect(first.stderr).toBe(`${notice}\n`);
    const second = await run([...flags, "--continue", "more"], place, cloud, lmx.port);
    expect(second.exitCode).toBe(0);
    expect(lmx.traffic).toEqual([]);
    const texts = cloud.chatTexts();
    expect(texts).toHaveLength(14);
    for (const [index, text] of texts.slice(0, -1).entries()) {
      expect(texts[index + 1]?.startsWith(text.slice(0, -"]}".length))).toBe(true);
    }
    expect(texts.at(-1)).toContain("thought 0");
    // Neither the request nor what a command sees of the environment holds the key.
    expect(texts.join("")).not.toContain(key);
    expect(JSON.stringify(place.sessions())).not.toContain(key);
  });
  test("-m names a model of the cloud; one that it does not have is an error, exit 3", async () => {
    using place = createPlace();
    place.configure({ model: { default: "qwen" }, provider: { anthropicModel: cloudModel } });
    await using cloud = await startCloud([{ text: "a" }, { text: "b" }], {
      models: [{ id: cloudModel }, { id: "claude-test-2" }],
    });
    const flags = ["--provider", "anthropic"];
    expect((await run([...flags, "hi"], place, cloud)).stdout).toBe("a\n");
    expect((await run([...flags, "-m", "claude-test-2", "hi"], place, cloud)).stdout).toBe("b\n");
    expect(cloud.chats().map(({ model }) => model)).toEqual([cloudModel, "claude-test-2"]);
    const wrong = await run([...flags, "-m", "claude-test-3", "hi"], place, cloud);
    expect(wrong.exitCode).toBe(3);
    expect(wrong.stderr).toContain("claude-test-3");
  });
  test("an overloaded cloud is waited for, an answer that breaks off is kept and marked", async () => {
    using place = createPlace();
    place.configure({ provider: { default: "anthropic", anthropicModel: cloudModel } });
    const busy = {
      fault: { kind: "http", status: 529, code: "overloaded_error", retryAfterSeconds: 0 },
    } as const;
    await using cloud = await startCloud([
      busy,
      { text: ["half ", "way"], fault: { kind: "drop", atChunk: 1 } },
    ]);
    const { exitCode, stdout } = await run(["hi"], place, cloud);
    expect({ exitCode, stdout }).toEqual({ exitCode: 5, stdout: "half \n" });
    expect(place.sessions()[0]?.messages.at(-1)).toMatchObject({
      content: "half ",
      interrupted: true,
    });
  });
});

describe("opta status says who would serve:", () => {
  test("the cloud, when it is the choice or the local server is down", async () => {
    using place = createPlace();
    place.configure(optIn);
    await using cloud = await startCloud([]);
    for (const flags of [[], ["--provider", "anthropic"]]) {
      const text = await status(flags, place, cloud);
      expect(text.exitCode).toBe(0);
      expect(text.stdout).toContain("kind       Anthropic, in the cloud");
      expect(text.stdout).toContain(cloudModel);
      const json = JSON.parse((await status([...flags, "--json"], place, cloud)).stdout);
      expect(json).toMatchObject({ reachable: true, kind: "anthropic", ready: true });
    }
    expect(cloud.chats()).toEqual([]);
  });
  test("the local server, with the cloud standing by unasked", async () => {
    using place = createPlace();
    place.configure(optIn);
    await using cloud = await startCloud([]);
    await using lmx = await startScripted({ turns: [] });
    const { stdout } = await status([], place, cloud, lmx.port);
    expect(stdout).toContain("kind       Opta LMX");
    expect(stdout).toContain("Anthropic: stands by in the cloud");
    expect(cloud.traffic).toEqual([]);
  });
});

if (process.platform === "linux") {
  test("a turn of the cloud connects to the local candidates and the cloud's address, and to nobody else", async () => {
    using place = createPlace();
    place.configure(optIn);
    await using cloud = await startCloud([{ text: "hello" }]);
    const { exitCode, calls } = await traceOpta(["do", "hi"], {
      calls: "connect,sendto,sendmsg,sendmmsg",
      cwd: place.workspace,
      home: place.home,
      env: { ...cloudEnv(cloud), OPTA_HOST: "127.0.0.1", OPTA_PORT: String(deadPort) },
    });
    expect(exitCode).toBe(0);
    const addressed = calls.filter((call) => /sa_family=AF_INET6?,/.test(call));
    const goesTo = (port: number) => (call: string) =>
      call.includes(`port=htons(${port})`) && call.includes('"127.0.0.1"');
    expect(addressed.some(goesTo(cloud.port))).toBe(true);
    const strangers = addressed.filter(
      (call) => !goesTo(cloud.port)(call) && !goesTo(deadPort)(call),
    );
    expect(strangers).toEqual([]);
  });
  test("and reads no file of the SDK's own (profile, credentials), which prints nothing either", async () => {
    using place = createPlace();
    place.configure(optIn);
    await using cloud = await startCloud([{ text: "hello" }]);
    const { calls, stdout } = await traceOpta(["do", "hi"], {
      calls: "file",
      cwd: place.workspace,
      home: place.home,
      env: {
        ...cloudEnv(cloud),
        OPTA_HOST: "127.0.0.1",
        OPTA_PORT: String(deadPort),
        ANTHROPIC_PROFILE: "p",
        ANTHROPIC_LOG: "debug",
      },
    });
    expect(stdout).toBe("hello\n");
    expect(calls.some((call) => call.includes("config.json"))).toBe(true);
    expect(calls.filter((call) => /anthropic/i.test(call) && !call.includes("execve"))).toEqual([]);
  });
}
