// The change-over from a local provider to the cloud, with providers made by hand: what takes over, what never does.
import { describe, expect, test } from "bun:test";
import { OptaError, type ErrorCode } from "../../src/protocol/error.ts";
import type { ServerStatus } from "../../src/protocol/model.ts";
import { createCloudOptIn, type CloudOptIn } from "../../src/providers/cloud-opt-in.ts";
import type { Provider } from "../../src/providers/provider.ts";
import { chatRequest, collect, neverAborted } from "../support/fake-model-server.ts";

const status: ServerStatus = {
  server: "studio:1234",
  kind: "lmx",
  version: null,
  ready: true,
  transport: "sse",
  loadedModels: ["m"],
  windows: [],
  memory: null,
  latencyMs: 1,
  candidates: [{ server: "studio:1234", outcome: "answers" }],
};

/** A provider that answers with its own name; `fails` makes its connects fail. */
function fake(id: string, model: string, fails?: ErrorCode) {
  const wants: (string | undefined)[] = [];
  const refuse = () => Promise.reject(new OptaError(fails ?? "internal", `${id} says ${fails}`));
  const provider: Provider & { readonly wants: typeof wants } = {
    id,
    wants,
    connect: async (wanted) => {
      wants.push(wanted);
      return fails === undefined
        ? { model, contextLength: 1, windowSource: "server", parallelTools: true, server: id }
        : refuse();
    },
    async *stream() {
      yield { type: "text", text: id };
    },
    status: async () => (fails === undefined ? { ...status, server: id } : refuse()),
    models: async () => ({ server: id, models: [] }),
    load: refuse,
    unload: refuse,
    close: () => undefined,
  };
  return provider;
}

function optIn(more: Partial<CloudOptIn> & Pick<CloudOptIn, "local">) {
  const cloud = fake("anthropic", "claude-1");
  let loads = 0;
  const provider = createCloudOptIn({
    use: "fallback",
    name: "Anthropic",
    isCloudModel: (id) => id.startsWith("claude-"),
    load: async () => {
      loads += 1;
      return cloud;
    },
    ...more,
  });
  return { provider, cloud, loads: () => loads };
}

const said = async (provider: Provider, model: string) =>
  collect(provider.stream(chatRequest({ model }), neverAborted));

describe("as a fallback", () => {
  test("a local server that answers serves, and the cloud's code is not even loaded", async () => {
    const { provider, loads } = optIn({ local: fake("lmx", "m") });
    expect(await provider.connect("m", neverAborted)).toMatchObject({ model: "m", server: "lmx" });
    expect(await said(provider, "m")).toEqual([{ type: "text", text: "lmx" }]);
    expect((await provider.status(neverAborted)).candidates.at(-1)?.outcome).toContain("stands by");
    expect(loads()).toBe(0);
  });
  test.each(["lmx-connection-refused", "no-model-loaded"] as const)(
    "%s brings the cloud",
    async (code) => {
      const { provider, cloud } = optIn({ local: fake("lmx", "m", code) });
      expect(await provider.connect("m", neverAborted)).toMatchObject({ model: "claude-1" });
      // The local wish means nothing there.
      expect(cloud.wants).toEqual([undefined]);
      expect(await said(provider, "claude-1")).toEqual([
        {
          type: "progress",
          message: `Anthropic answers, in the cloud: claude-1; this conversation leaves your network (lmx says ${code})`,
          phase: "cloud",
          provider: "anthropic",
        },
        { type: "text", text: "anthropic" },
      ]);
    },
  );
  test.each([
    "model-not-found",
    "auth-failed",
    "lmx-timeout",
    "model-server-failed",
    "cancelled",
    "internal",
  ] as const)("%s does not", async (code) => {
    const { provider, loads } = optIn({ local: fake("lmx", "m", code) });
    const thrown: unknown = await provider
      .connect("m", neverAborted)
      .catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code });
    expect(loads()).toBe(0);
  });
  test("a server that was only remembered and is gone counts as a connect that failed, at a turn's beginning only", async () => {
    const gone = { code: "lmx-connection-refused", message: "gone" } as const;
    const local: Provider = {
      ...fake("lmx", "m"),
      async *stream() {
        yield { type: "error", ...gone };
      },
    };
    const { provider } = optIn({ local });
    await provider.connect("m", neverAborted);
    const events = await said(provider, "m");
    expect(events.map((event) => event.type)).toEqual(["model", "progress", "text"]);
    const { provider: midTurn, loads } = optIn({ local });
    await midTurn.connect("m", neverAborted);
    const messages = [
      { role: "user", content: "go" },
      { role: "tool", tool_call_id: "c", content: "x" },
    ] as const;
    const request = chatRequest({ model: "m", messages: [...messages] });
    expect(await collect(midTurn.stream(request, neverAborted))).toEqual([
      { type: "error", ...gone },
    ]);
    expect(loads()).toBe(0);
  });
  test("every connect asks the local server first, and each model goes on where it was connected", async () => {
    const local = fake("lmx", "m", "lmx-connection-refused");
    const { provider } = optIn({ local });
    await provider.connect(undefined, neverAborted);
    await provider.connect("claude-1", neverAborted);
    expect(local.wants).toEqual([undefined, "claude-1"]);
    // A model that the cloud never connected stays local: a turn that is under way cannot change over.
    expect(await said(provider, "m")).toEqual([{ type: "text", text: "lmx" }]);
  });
  test("a model of the cloud that was asked for is asked for there", async () => {
    const { provider, cloud } = optIn({ local: fake("lmx", "m", "no-model-loaded") });
    await provider.connect("claude-7", neverAborted);
    expect(cloud.wants).toEqual(["claude-7"]);
  });
  test("an abort while the local server is asked ends there", async () => {
    const { provider, loads } = optIn({ local: fake("lmx", "m", "lmx-connection-refused") });
    const thrown: unknown = await provider
      .connect("m", AbortSignal.abort())
      .catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(OptaError);
    expect(loads()).toBe(0);
  });
  test("when neither can, both are told, and the cloud's hint", async () => {
    const broken = fake("anthropic", "claude-1", "auth-failed");
    const { provider } = optIn({
      local: fake("lmx", "m", "no-model-loaded"),
      load: async () => broken,
    });
    for (const failing of [provider.connect("m", neverAborted), provider.status(neverAborted)]) {
      const thrown: unknown = await failing.catch((error: unknown) => error);
      expect(thrown).toMatchObject({
        code: "auth-failed",
        message: "lmx says no-model-loaded; anthropic says auth-failed",
      });
    }
  });
});

describe("as the only one", () => {
  test("the local server is not asked for anything", async () => {
    const local = fake("lmx", "m");
    const { provider, cloud } = optIn({ use: "only", local });
    await provider.connect("x", neverAborted);
    expect([local.wants, cloud.wants]).toEqual([[], ["x"]]);
    expect((await said(provider, "claude-1"))[0]).toMatchObject({ phase: "cloud" });
    expect((await provider.status(neverAborted)).server).toBe("anthropic");
    expect((await provider.models(neverAborted)).server).toBe("anthropic");
    expect(provider.id).toBe("anthropic");
  });
});
