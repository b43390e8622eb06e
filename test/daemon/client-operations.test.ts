import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { createEnvironment } from "../../src/config/environment.ts";
import { loadConfig } from "../../src/config/load.ts";
import {
  answerClientOperation,
  type ClientOperationContext,
  listClientOperations,
  runClientOperation,
} from "../../src/daemon/client-operations.ts";
import { defineClientOperation } from "../../src/daemon/client-operations/client-operation.ts";
import { modelOperations } from "../../src/daemon/client-operations/models.ts";
import { inTime } from "../../src/daemon/client-operations/client-operation.ts";
import { type ErrorCode, OptaError } from "../../src/protocol/error.ts";
import { createFakeClient } from "../support/command-line.ts";

let directory = "";
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "opta-client-operations-")));
});
afterEach(() => rmSync(directory, { recursive: true }));

const startedAt = new Date(Date.now() - 90_000).toISOString();
const logLines = [
  { ts: "2026-01-01T00:00:00.000Z", level: "info", msg: "listening", raw: '{"msg":"listening"}' },
  { ts: "2026-01-01T00:00:01.000Z", level: "warn", msg: "slow", raw: '{"msg":"slow"}' },
];

/** The engine's operations answer from the given functions; the settings are real. */
function contextOf(
  answers: Parameters<typeof createFakeClient>[0] = {},
  variables: Readonly<Record<string, string>> = {},
): ClientOperationContext {
  const environment = createEnvironment({ OPTA_CONFIG_DIR: directory, ...variables });
  return {
    call: createFakeClient(answers).call,
    loadConfig: () => loadConfig({ environment }),
    daemon: {
      status: () => ({
        pid: 42,
        port: 9999,
        version: "1.2.3",
        startedAt,
        logsPath: "/logs/daemon.log",
        installedAs: "systemd",
      }),
      logs: (lines) => logLines.slice(-lines),
    },
    signal: new AbortController().signal,
    home: directory,
  };
}

/** The result of a success; anything else fails the test. */
async function run(
  id: string,
  input: object = {},
  context = contextOf(),
): Promise<Record<string, unknown>> {
  const { status, body } = await runClientOperation(id, { input }, context);
  expect({ status, body }).toMatchObject({ status: 200, body: { ok: true, id } });
  return (body as { readonly result: Record<string, unknown> }).result;
}

/** Status and code, or message where there is no code. */
async function refusal(
  id: string,
  input: object = {},
  context = contextOf(),
): Promise<readonly [number, unknown]> {
  const { status, body } = await runClientOperation(id, { input }, context);
  const { error } = body as { readonly error: string | { readonly code: string } };
  return [status, typeof error === "string" ? error : error.code];
}

function configure(settings: object): void {
  writeFileSync(join(directory, "config.json"), JSON.stringify(settings));
}

function configured(): unknown {
  return JSON.parse(readFileSync(join(directory, "config.json"), "utf8"));
}

const at = "2026-01-02T03:04:05.000Z";
const summary = {
  sessionId: "one",
  title: "about one",
  workspace: "/w",
  model: "org/m",
  createdAt: at,
  updatedAt: at,
  messageCount: 2,
};
const session = {
  id: "one",
  title: "about one",
  messages: [
    { role: "user", content: "hello" },
    { role: "assistant", content: "hi\u001b[2J there" },
  ],
  metadata: { workspace: "/w", model: "org/m", createdAt: at, updatedAt: at },
  created: at,
  updated: at,
  model: "org/m",
  cwd: "/w",
  tags: ["work"],
  toolCallCount: 0,
  compacted: false,
  seq: 3,
};

describe("the table", () => {
  test("names what clients need, with the four keys that they check strictly", () => {
    const rows = listClientOperations();
    expect(rows.map(({ id, safety }) => `${id} ${safety}`)).toEqual([
      "sessions.list read",
      "sessions.get read",
      "sessions.search read",
      "sessions.export write",
      "sessions.delete write",
      "daemon.status read",
      "daemon.logs read",
      "doctor read",
      "models.list read",
      "models.load write",
      "models.unload write",
      "models.use write",
      "models.health read",
      "models.browse.library read",
      "models.aliases.set write",
      "models.aliases.list read",
      "models.aliases.delete write",
      "mcp.list read",
      "mcp.add write",
      "mcp.remove write",
      "config.get read",
      "config.set write",
      "config.list read",
      "keychain.status read",
      "account.status read",
      "browser.host read",
    ]);
    for (const row of rows) {
      expect(Object.keys(row)).toEqual(["id", "title", "description", "safety"]);
      expect(row.description).toMatch(/^[A-Z].*\.$/);
    }
  });
});

describe("the answer", () => {
  test("comes for a wrapped input, a bare one, an empty one and none at all", async () => {
    const bodies = [{ input: { key: "limits.maxSteps" } }, { key: "limits.maxSteps", extra: 1 }];
    for (const body of bodies) {
      expect(await runClientOperation("config.get", body, contextOf())).toEqual({
        status: 200,
        body: {
          ok: true,
          id: "config.get",
          safety: "read",
          result: { key: "limits.maxSteps", value: 60, source: "default" },
        },
      });
    }
    for (const body of [undefined, null, {}, { input: undefined }, { input: null }]) {
      const { status } = await runClientOperation("account.status", body, contextOf());
      expect(status).toBe(200);
    }
  });

  test("to an operation that is not served is 404", async () => {
    for (const id of ["env.list", "__proto__", "", "sessions"]) {
      expect(await runClientOperation(id, undefined, contextOf())).toEqual({
        status: 404,
        body: {
          ok: false,
          id,
          safety: "read",
          error: { code: "not_found", message: `there is no operation ${id}` },
        },
      });
    }
  });

  test("to an input that does not fit is 400 with what is wrong where", async () => {
    const { status, body } = await runClientOperation("config.get", { input: {} }, contextOf());
    expect({ status, body }).toMatchObject({
      status: 400,
      body: { error: expect.stringContaining("key: "), details: [{ path: ["key"] }] },
    });
    for (const body of ["text", 5, [1], { input: "text" }, { input: [] }]) {
      expect((await runClientOperation("config.get", body, contextOf())).status).toBe(400);
    }
  });

  test("to a dangerous operation is 403 until it is confirmed", async () => {
    const dangerous = defineClientOperation({
      id: "test.dangerous",
      title: "Test",
      description: "Test.",
      safety: "dangerous",
      input: z.object({}),
      run: async () => ({ done: true }),
    });
    for (const body of [undefined, {}, { input: {} }, { input: {}, confirmDangerous: "true" }]) {
      expect(await answerClientOperation(dangerous, body, contextOf())).toMatchObject({
        status: 403,
        body: {
          ok: false,
          id: "test.dangerous",
          safety: "dangerous",
          error: { code: "dangerous_confirmation_required" },
        },
      });
    }
    for (const body of [{ input: {}, confirmDangerous: true }, { confirmDangerous: true }]) {
      expect((await answerClientOperation(dangerous, body, contextOf())).body).toEqual({
        ok: true,
        id: "test.dangerous",
        safety: "dangerous",
        result: { done: true },
      });
    }
  });

  test.each<[ErrorCode, number, string | undefined]>([
    ["usage", 400, undefined],
    ["config-invalid", 400, undefined],
    ["denied", 403, "permission_denied"],
    ["not-found", 404, "not_found"],
    ["model-not-found", 404, "not_found"],
    ["session-locked", 409, "conflict"],
    ["state-conflict", 409, "conflict"],
    ["lmx-connection-refused", 503, "upstream_unavailable"],
    ["no-model-loaded", 503, "upstream_unavailable"],
    ["daemon-unreachable", 503, "upstream_unavailable"],
    ["model-server-busy", 500, "execution_failed"],
    ["storage-full", 500, "execution_failed"],
    ["lmx-timeout", 503, "upstream_unavailable"],
  ])("to a failure with %s is %d", async (code, status, name) => {
    const context = contextOf({
      "lmx.models": () => {
        throw new OptaError(code, "it went wrong", "opta status");
      },
    });
    const answer = await runClientOperation("models.list", undefined, context);
    const error = { code: name, message: "it went wrong", details: { code, hint: "opta status" } };
    expect(answer).toEqual({
      status,
      body:
        name === undefined
          ? {
              error: "it went wrong",
              details: [{ code: "custom", path: [], message: "opta status" }],
            }
          : { ok: false, id: "models.list", safety: "read", error },
    });
  });

  test("to an unexpected failure is 500 without a stack", async () => {
    const context = contextOf({
      "lmx.models": () => {
        throw new TypeError("x is undefined");
      },
    });
    const { status, body } = await runClientOperation("models.list", undefined, context);
    expect({ status, body }).toEqual({
      status: 500,
      body: {
        ok: false,
        id: "models.list",
        safety: "read",
        error: {
          code: "execution_failed",
          message: "x is undefined",
          details: { code: "internal" },
        },
      },
    });
  });

  test("to a key that the model server refused does not read as if ours were refused", async () => {
    const context = contextOf({
      "lmx.models": () => {
        throw new OptaError("auth-failed", "studio refused the key (HTTP 401: Unauthorized)");
      },
    });
    const { status, body } = await runClientOperation("models.list", undefined, context);
    expect(status).toBe(503);
    expect(JSON.stringify(body)).not.toMatch(/401|403|unauthorized/i);
  });
});

describe("sessions", () => {
  const older = { ...summary, sessionId: "two", model: "other", updatedAt: "2025-01-01T00:00:00Z" };
  const tagged = { ...summary, sessionId: "three", workspace: "/v", tags: ["work"] };

  function listing(sessions: readonly object[] = [summary, older, tagged]) {
    const asked: object[] = [];
    const context = contextOf({
      "session.list": (params) => {
        asked.push(params);
        return { sessions, corrupt: ["/s/bad.json"], nextCursor: null };
      },
      "session.get": () => session,
      "session.delete": (params) => {
        asked.push(params);
        return { deleted: true };
      },
    });
    return { context, asked };
  }

  test("list gives either spelling of id and time, as many as asked for", async () => {
    const { context } = listing();
    const result = await run("sessions.list", { limit: "1", unknown: true }, context);
    expect(result).toEqual({
      sessions: [{ ...summary, id: "one", updated_at: at, tags: [] }],
      total: 3,
      corrupt: ["/s/bad.json"],
    });
  });

  test.each([
    [{}, ["one", "two", "three"]],
    [{ limit: 250 }, ["one", "two", "three"]],
    [{ model: "m" }, ["one", "three"]],
    [{ model: "other" }, ["two"]],
    [{ since: "2026-01-01" }, ["one", "three"]],
    [{ since: Date.parse(at) + 1 }, []],
    [{ tag: "work" }, ["three"]],
  ])("list with %j", async (input, ids) => {
    const { sessions } = await run("sessions.list", input, listing().context);
    expect((sessions as { readonly id: string }[]).map(({ id }) => id)).toEqual(ids);
  });

  test("list asks the engine for a workspace, and refuses what is no time", async () => {
    const { context, asked } = listing();
    await run("sessions.list", { workspace: "/w" }, context);
    expect(asked).toEqual([{ workspace: "/w" }]);
    expect(await refusal("sessions.list", { since: "yesterday" }, context)).toEqual([
      400,
      expect.stringContaining("since: "),
    ]);
  });

  test("get takes id or sessionId and gives what the client shows", async () => {
    for (const input of [{ id: "one" }, { sessionId: "one" }, { id: "two", sessionId: "one" }]) {
      expect(await run("sessions.get", input, listing().context)).toMatchObject({
        id: "one",
        sessionId: "one",
        title: "about one",
        workspace: "/w",
        updatedAt: at,
        updated_at: at,
        model: "org/m",
        tags: ["work"],
        messageCount: 2,
        messages: session.messages,
      });
    }
    expect((await refusal("sessions.get", { id: "../x" }))[0]).toBe(400);
  });

  test("search is an object with how many there are in all", async () => {
    const { context, asked } = listing();
    const result = await run("sessions.search", { query: "hello", limit: 1 }, context);
    expect(result).toMatchObject({ sessions: [{ id: "one", sessionId: "one" }], total: 3 });
    expect(asked).toEqual([{ query: "hello" }]);
  });

  test("delete takes either spelling", async () => {
    const { context, asked } = listing();
    expect(await run("sessions.delete", { sessionId: "one" }, context)).toEqual({
      sessionId: "one",
      deleted: true,
    });
    await run("sessions.delete", { id: "two" }, context);
    expect(asked).toEqual([{ sessionId: "one" }, { sessionId: "two" }]);
  });

  test("export keeps a private file beside the session", async () => {
    const { context } = listing();
    const markdown = await run(
      "sessions.export",
      { sessionId: "one", format: "markdown" },
      context,
    );
    const path = join(directory, "sessions/one/export.md");
    expect(markdown).toEqual({ path, sizeBytes: statSync(path).size });
    expect(readFileSync(path, "utf8")).toStartWith("# about one\n");
    expect(readFileSync(path, "utf8")).toContain("hi there");
    expect(statSync(path).mode & 0o777).toBe(0o600);

    const json = await run("sessions.export", { id: "one", format: "json" }, context);
    expect(json["path"]).toBe(join(directory, "sessions/one/export.json"));
    expect(JSON.parse(readFileSync(String(json["path"]), "utf8"))).toEqual(session);
    await run("sessions.export", { id: "one" }, context);
  });

  test("export writes a new file where it is told, and never over another one", async () => {
    const { context } = listing();
    const outputPath = join(directory, "out.json");
    const input = { sessionId: "one", format: "json", outputPath };
    expect(await run("sessions.export", input, context)).toEqual({
      path: outputPath,
      sizeBytes: statSync(outputPath).size,
    });
    expect(statSync(outputPath).mode & 0o777).toBe(0o600);
    writeFileSync(outputPath, "mine");
    expect(await refusal("sessions.export", input, context)).toEqual([409, "conflict"]);
    expect(readFileSync(outputPath, "utf8")).toBe("mine");
    const relative = { ...input, outputPath: "out.json" };
    expect(await refusal("sessions.export", relative, context)).toEqual([
      400,
      "outputPath: must be an absolute path",
    ]);
    const nowhere = { ...input, outputPath: join(directory, "gone/out.json") };
    expect(await refusal("sessions.export", nowhere, context)).toEqual([500, "execution_failed"]);
    expect(existsSync(join(directory, "sessions"))).toBe(false);
  });
});

describe("the daemon", () => {
  test("status says that it runs, since when, and no token", async () => {
    const result = await run("daemon.status");
    expect(result).toEqual({
      state: "running",
      running: true,
      pid: 42,
      port: 9999,
      version: "1.2.3",
      startedAt,
      uptime: expect.any(Number),
      logPath: "/logs/daemon.log",
      installedAs: "systemd",
    });
    expect(result["uptime"]).toBeWithin(90, 100);
  });

  test("logs have the names that the client reads", async () => {
    expect(await run("daemon.logs", { lines: 1 })).toEqual({
      logs: [
        {
          timestamp: "2026-01-01T00:00:01.000Z",
          level: "warn",
          message: "slow",
          raw: '{"msg":"slow"}',
        },
      ],
    });
    expect((await run("daemon.logs"))["logs"]).toHaveLength(2);
  });

  test("doctor reports, with and without an input", async () => {
    const context = contextOf({
      "lmx.status": () => {
        throw new OptaError("lmx-connection-refused", "nothing answers", "opta status");
      },
    });
    const result = await run("doctor", { fix: false }, context);
    expect(result).toMatchObject({ version: expect.any(String), ok: false });
    expect(result["checks"]).toContainEqual({
      name: "daemon",
      status: "pass",
      message: "runs as process 42 on port 9999",
    });
  });
});

describe("models", () => {
  const models = [
    { modelId: "org/big", state: "loaded", sizeBytes: 5, contextLength: 8192 },
    { modelId: "org/ill", state: "quarantined", sizeBytes: 5, contextLength: null },
    { modelId: "org/new", state: "loading", sizeBytes: 5, contextLength: null },
    { modelId: "org/small", state: "on-disk", sizeBytes: 2, contextLength: null },
  ];

  function serving() {
    const asked: unknown[] = [];
    const context = contextOf({
      "lmx.models": () => ({ server: "studio:1234", models }),
      "lmx.status": () => ({ latencyMs: 3.6 }),
      "lmx.load": ({ modelId }: { readonly modelId: string }) => {
        asked.push(modelId);
        return { status: "loaded", modelId, memoryBytes: 5, loadTimeMs: 1 };
      },
      "lmx.unload": ({ modelId }: { readonly modelId: string }) => {
        asked.push(modelId);
        return { modelId, freedBytes: 7 };
      },
    });
    return { context, asked };
  }

  test("list has the server's models", async () => {
    const result = await run("models.list", {}, serving().context);
    expect(result["server"]).toBe("studio:1234");
    expect(result["models"]).toMatchObject([
      { modelId: "org/big", id: "org/big", loaded: true, contextLength: 8192 },
      { loaded: false },
      { loaded: false },
      { state: "on-disk" },
    ]);
  });

  test("load and unload take any spelling and the user's own names", async () => {
    configure({ aliases: { fast: "org/small" } });
    const { context, asked } = serving();
    for (const input of [{ modelId: "a" }, { model: "b" }, { id: "c" }, { name: "fast" }]) {
      expect(await run("models.load", input, context)).toMatchObject({ status: "loaded" });
    }
    expect(await run("models.unload", { model_id: "fast" }, context)).toEqual({
      status: "unloaded",
      modelId: "org/small",
      freedBytes: 7,
    });
    expect(asked).toEqual(["a", "b", "c", "org/small", "org/small"]);
    expect((await refusal("models.load", {}, context))[0]).toBe(400);
  });

  test("work that takes longer than a client waits goes on without it", async () => {
    const { signal } = new AbortController();
    const options = { limitMs: 5, signal };
    expect(await inTime(Promise.resolve("done"), options)).toBe("done");
    const slow = Promise.withResolvers<string>();
    expect(await inTime(slow.promise, options)).toBeUndefined();
    // Nobody waits for it any more: its failure must not end the process.
    slow.reject(new Error("too late"));
    await Bun.sleep(0);
    const failing = Promise.reject(new Error("at once"));
    await expect(inTime(failing, options)).rejects.toThrow("at once");
  });

  test("use makes a model that the server has the default", async () => {
    const { context } = serving();
    expect(await run("models.use", { model: "SMALL" }, context)).toEqual({
      modelId: "org/small",
      state: "on-disk",
    });
    expect(configured()).toEqual({ model: { default: "org/small" } });
    expect(await refusal("models.use", { model: "none" }, context)).toEqual([404, "not_found"]);
  });

  test("use changes nothing once its client was told that it takes too long", async () => {
    const { context } = serving();
    await run("models.use", { model: "org/big" }, context);
    const before = configured();
    const use = modelOperations.find(({ id }) => id === "models.use");
    const late = { ...context, signal: AbortSignal.abort(new Error("told already")) };
    const using = use?.run({ modelId: "org/small" }, late) ?? Promise.resolve();
    await expect(using).rejects.toThrow("told already");
    expect(configured()).toEqual(before);
  });

  test("health is one word for each", async () => {
    expect(await run("models.health", {}, serving().context)).toEqual({
      models: [
        { modelId: "org/big", status: "healthy", latencyMs: 4 },
        { modelId: "org/ill", status: "degraded", latencyMs: 4 },
        { modelId: "org/new", status: "degraded", latencyMs: 4 },
        { modelId: "org/small", status: "unavailable", latencyMs: 4 },
      ],
    });
  });

  test("the library is what the server has", async () => {
    const result = await run("models.browse.library", { query: " L", limit: 1 }, serving().context);
    expect(result).toMatchObject({ models: [{ modelId: "org/ill" }], total: 2 });
  });

  test("aliases are set, listed and deleted one at a time", async () => {
    await run("models.aliases.set", { alias: "fast", target: "org/small", provider: "lmx" });
    expect(await run("models.aliases.set", { alias: "smart", model: "org/big" })).toEqual({
      alias: "smart",
      target: "org/big",
      model: "org/big",
    });
    expect(await run("models.aliases.delete", { alias: "fast" })).toMatchObject({ deleted: true });
    expect(await run("models.aliases.list")).toEqual({
      aliases: [{ alias: "smart", target: "org/big", model: "org/big" }],
    });
    expect(await refusal("models.aliases.delete", { alias: "fast" })).toEqual([404, "not_found"]);
    expect(await refusal("models.aliases.set", { alias: "x", target: "smart" })).toEqual([
      400,
      "smart is an alias itself; name the model: org/big",
    ]);
  });
});

describe("MCP servers", () => {
  test("are added and removed one at a time, and the others stay", async () => {
    expect(await run("mcp.list")).toEqual({});
    configure({ limits: { maxSteps: 5 }, mcp: { servers: { old: { command: "old" } } } });
    await run("mcp.add", { name: "files", command: "npx", args: ["-y", "files"], env: {} });
    await run("mcp.add", { name: "web.site", url: "https://example.com/mcp" });
    expect(await run("mcp.list")).toEqual({
      old: { transport: "stdio", command: "old", args: [], url: null },
      files: { transport: "stdio", command: "npx", args: ["-y", "files"], url: null },
      "web.site": { transport: "http", command: null, args: [], url: "https://example.com/mcp" },
    });
    expect(await run("mcp.remove", { name: "files" })).toEqual({ name: "files", removed: true });
    await run("mcp.remove", { name: "web.site" });
    expect(configured()).toEqual({
      limits: { maxSteps: 5 },
      mcp: { servers: { old: { command: "old" } } },
    });
    await run("mcp.remove", { name: "old" });
    expect(configured()).toEqual({ limits: { maxSteps: 5 } });
    expect(await refusal("mcp.remove", { name: "old" })).toEqual([404, "not_found"]);
  });

  test("are not replaced by another one of the same name", async () => {
    const server = { name: "files", command: "npx", args: ["files"] };
    await run("mcp.add", server);
    await run("mcp.add", server);
    const other = { name: "files", command: "other" };
    expect(await refusal("mcp.add", other)).toEqual([409, "conflict"]);
    expect(await run("mcp.list")).toMatchObject({ files: { command: "npx" } });
  });

  test.each([
    [{ name: "a" }, "an MCP server has either a command or a url"],
    [{ name: "a", command: "x", url: "https://y" }, "an MCP server has either a command or a url"],
    [{ name: "a", url: "https://me:secret@y" }, "url: must be a URL without a user or password"],
    [{ name: "a", url: "file:///x" }, expect.stringContaining("url: ")],
    [{ name: "", command: "x" }, expect.stringContaining("name: ")],
  ])("%j is refused, and nothing is written", async (input, message) => {
    expect(await refusal("mcp.add", input)).toEqual([400, message]);
    expect(existsSync(join(directory, "config.json"))).toBe(false);
  });
});

describe("settings", () => {
  const secrets = { OPTA_ADMIN_KEY: "key-in-variable" };

  test("get gives a value, null for what is unset, an object for a group, 404 for the rest", async () => {
    configure({ connection: { host: "studio" } });
    expect(await run("config.get", { key: "connection.host" })).toEqual({
      key: "connection.host",
      value: "studio",
      source: "file",
    });
    expect(await run("config.get", { key: "model.default" })).toMatchObject({ value: null });
    expect(await run("config.get", { key: "model" })).toEqual({ key: "model", value: {} });
    expect(await run("config.get", { key: "connection" })).toMatchObject({
      value: { host: "studio", port: 1234 },
    });
    for (const key of ["ui.theme", "connection.hots", "__proto__", "aliases.x"]) {
      expect(await refusal("config.get", { key })).toEqual([404, "not_found"]);
    }
  });

  test("secrets are never told", async () => {
    configure({ connection: { apiKey: "key-in-file" } });
    const context = contextOf({}, secrets);
    const told = [
      await run("config.get", { key: "connection.apiKey" }, context),
      await run("config.get", { key: "connection" }, context),
      await run("config.list", {}, context),
      await run("config.set", { key: "connection.apiKey", value: "key-given" }, context),
    ];
    expect(JSON.stringify(told)).not.toContain("key-");
    expect(told[1]).toMatchObject({ value: { apiKey: "********", adminKey: "********" } });
    expect(configured()).toEqual({ connection: { apiKey: "key-given" } });
  });

  test("a mask that is written back leaves the secret", async () => {
    configure({ connection: { apiKey: "key-in-file" } });
    await run("config.set", { key: "connection.apiKey", value: "********" });
    expect(configured()).toEqual({ connection: { apiKey: "key-in-file" } });
  });

  test.each([
    ["connection.port", 8080, { connection: { port: 8080 } }],
    ["connection.port", "8080", { connection: { port: 8080 } }],
    ["connection.allowCloudModels", true, { connection: { allowCloudModels: true } }],
    ["connection.fallbackHosts", ["a", "b"], { connection: { fallbackHosts: ["a", "b"] } }],
    ["aliases", { fast: "m" }, { aliases: { fast: "m" } }],
    ["model", "qwen", { model: { default: "qwen" } }],
    ["model.default", "qwen", { model: { default: "qwen" } }],
    ["connection.host", null, {}],
  ])("set %s to %j", async (key, value, written) => {
    configure({ connection: { host: "old" } });
    await run("config.set", { key: "connection.host", value: null });
    expect(await run("config.set", { key, value })).toEqual({
      key: key === "model" ? "model.default" : key,
    });
    expect(configured()).toEqual(written);
  });

  test.each([
    ["connection.port", "many"],
    ["connection.prt", 1],
    ["connection", { host: "x" }],
    ["model", { default: "x" }],
    ["model", null],
    ["model.default", undefined],
  ])("set %s to %j is refused, and nothing changes", async (key, value) => {
    configure({ model: { default: "old" } });
    expect((await refusal("config.set", { key, value }))[0]).toBe(400);
    expect(configured()).toEqual({ model: { default: "old" } });
  });

  test("list is nested, with the defaults", async () => {
    configure({ aliases: { "a.b": "m" } });
    expect(await run("config.list")).toMatchObject({
      connection: { host: "localhost", port: 1234 },
      aliases: { "a.b": "m" },
      limits: { maxSteps: 60 },
    });
  });
});

describe("what opta does not have", () => {
  test("has the shapes that the client needs", async () => {
    expect(await run("keychain.status")).toEqual({
      providers: {
        anthropic: { stored: false },
        lmx: { stored: false },
        gemini: { stored: false },
        openai: { stored: false },
        "opencode-zen": { stored: false },
      },
    });
    expect(await run("account.status")).toEqual({ loggedIn: false, email: null, userId: null });
    expect(await run("browser.host", { action: "status" })).toEqual({
      running: false,
      safePorts: [],
      slots: [],
      requiredPortCount: 0,
      maxSessionSlots: 0,
    });
    expect(await refusal("browser.host", { action: "start" })).toEqual([404, "not_found"]);
  });
});
