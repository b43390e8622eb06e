// The daemon's HTTP on the built binary: that every route of the API's description answers as described, who may
// ask, and what pages of other origins may see (contracts/daemon-v3.md sections 0 and 2).
import { Validator } from "@seriousme/openapi-schema-validator";
import { expect, test } from "bun:test";
import { until, startDaemon, type RunningDaemon } from "../support/daemon.ts";
import {
  ask,
  call,
  open,
  openSse,
  pathOf,
  type RouteName,
  routeNames,
  rowOf,
} from "../support/daemon-http.ts";
import { startScripted } from "../support/lmx.ts";
import { createPlace } from "../support/workspace.ts";

const page = "http://localhost:3004";

test("every route of the description answers as it is described", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    models: [
      { id: "org/loaded" },
      { id: "org/other", state: "on-disk" },
      { id: "org/remote", state: "downloadable" },
    ],
    turns: [
      { toolCalls: [{ name: "run_command", arguments: { command: "true" } }] },
      { text: "done" },
    ],
    server: { downloads: true },
  });
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  const sessionId = "s1";
  const read = async <T>(name: RouteName, params: object = {}) =>
    (await call(daemon, name, { ...params })).body as T;
  const requestId = async () => {
    let found: string | undefined;
    await until(async () => {
      const { events } = await read<{
        events: { event: string; payload: { requestId: string } }[];
      }>("events.list", { sessionId });
      found = events.find(({ event }) => event === "permission.request")?.payload.requestId;
      return found !== undefined;
    }, "the question");
    return found;
  };
  const processId = async () => {
    const { processes } = await read<{ processes: { processId: string }[] }>("background.list");
    return processes[0]?.processId;
  };
  const confirmationToken = async () => {
    const asked = await read<{ confirmation_token: string }>("lmx.load", { modelId: "org/remote" });
    return asked.confirmation_token;
  };
  const downloadId = async () => {
    const { downloads } = await read<{ downloads: { downloadId: string }[] }>("lmx.downloads", {
      includeInactive: true,
    });
    return downloads[0]?.downloadId;
  };
  const turn = { clientId: "c", writerId: "w", content: "go" };
  // In an order in which each finds what it needs.
  const steps: readonly (readonly [RouteName, object?])[] = [
    ["daemon.alive"],
    ["daemon.health"],
    ["daemon.metrics"],
    ["daemon.ticket"],
    ["daemon.openapi"],
    ["session.create", { sessionId, metadata: { workspace: place.workspace } }],
    ["session.resume", { sessionId }],
    ["session.get", { sessionId }],
    ["session.list", { limit: 5 }],
    ["session.context", { workspace: place.workspace }],
    ["turn.submit", { sessionId, ...turn }],
    ["permission.resolve", { sessionId, requestId, decision: "deny", decidedBy: "me" }],
    [
      "permission.explain",
      { workspace: place.workspace, tool: "run_command", args: { command: "true" } },
    ],
    ["turn.cancel", { sessionId }],
    ["events.list", { sessionId }],
    ["background.start", { sessionId, command: "sleep 30" }],
    ["background.list"],
    ["background.status", { processId }],
    ["background.output", { processId }],
    ["background.kill", { processId }],
    ["lmx.status"],
    ["lmx.models"],
    ["lmx.load", { modelId: "org/other" }],
    ["lmx.unload", { modelId: "org/other" }],
    ["lmx.download", { confirmationToken }],
    ["lmx.downloadProgress", { downloadId }],
    ["lmx.discovery"],
    ["lmx.memory"],
    ["lmx.available"],
    ["lmx.downloads"],
    ["lmx.startDownload", { repoId: "org/remote" }],
    ["lmx.deleteModel", { modelId: "org/other" }],
    ["operations.list"],
    ["operations.run", { id: "daemon.status" }],
    ["bridge.status"],
    ["bridge.connect"],
    ["bridge.disconnect"],
    ["device.bootstrap"],
    ["device.execute"],
    ["session.delete", { sessionId }],
    ["daemon.stop"],
  ];
  for (const [name, given = {}] of steps) {
    const params: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(given)) {
      params[key] = typeof value === "function" ? await (value as () => unknown)() : value;
    }
    const { status } = await call(daemon, name, params);
    const usual = rowOf(name).status ?? 200;
    expect([name, status]).toEqual([name, name === "lmx.startDownload" ? 202 : usual]);
  }
  expect(await daemon.process.exited).toBe(0);
  // These three go on for as long as the client stays; they are tested by themselves.
  const streams: readonly RouteName[] = ["daemon.healthStream", "events.stream", "events.socket"];
  expect([...steps.map(([name]) => name), ...streams].toSorted()).toEqual(routeNames.toSorted());
}, 60_000);

test("the served description is a valid OpenAPI 3.1 document of this version", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  const { body } = await call(daemon, "daemon.openapi");
  const { body: health } = await call(daemon, "daemon.health");
  expect(await new Validator().validate(body as Record<string, unknown>)).toEqual({ valid: true });
  expect(body).toMatchObject({ info: { version: (health as { version: string }).version } });
});

test("without the token only /health answers, and it tells nothing; all refusals look alike", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  const alive = await ask(daemon, "GET /health", { headers: { authorization: "" } });
  expect([alive.status, alive.body]).toEqual([200, { status: "ok" }]);
  const params = { sessionId: "s", requestId: "r", processId: "p", downloadId: "d" };
  const others = routeNames.filter((name) => name !== "daemon.alive");
  const credentials = ["", "Bearer", "Bearer wrong", `Basic ${daemon.state.token}`];
  const refusals = await Promise.all(
    others.map((name, index) =>
      ask(
        daemon,
        `${rowOf(name).method} ${pathOf(name, { ...params, modelId: "m", id: "doctor" })}`,
        {
          headers: { authorization: credentials[index % credentials.length] ?? "" },
        },
      ),
    ),
  );
  for (const { status, body } of refusals) {
    expect([status, body]).toEqual([401, { error: "Unauthorized" }]);
  }
  const inUrl = await ask(daemon, `GET /v3/health?token=${daemon.state.token}`, {
    headers: { authorization: "" },
  });
  expect(inUrl.status).toBe(401);
  const otherCase = await ask(daemon, "GET /v3/health", {
    headers: { authorization: `bearer ${daemon.state.token}` },
  });
  expect(otherCase.status).toBe(200);
});

test("a path or method that is no route is a 404 with the words of existing clients, token or not", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  const wrong = [
    "GET /",
    "GET /v3",
    "GET /v3/nothing",
    "PUT /v3/sessions",
    "POST /v3/health",
    "GET /v3/sessions/a/b/c",
    "GET /v3/sessions//events",
    "GET /v3/health/",
    "DELETE /v3/lmx/models",
  ];
  for (const route of wrong) {
    const [method, path] = route.split(" ");
    for (const headers of [{}, { authorization: "" }]) {
      const { status, body } = await ask(daemon, route, { headers });
      expect([route, status, body]).toEqual([
        route,
        404,
        { message: `Route ${method}:${path} not found`, error: "Not Found", statusCode: 404 },
      ]);
    }
  }
  const badEscape = await ask(daemon, "GET /v3/sessions/%zz");
  expect(badEscape).toMatchObject({ status: 400, body: { code: "usage" } });
});

test("a body that is no JSON object in UTF-8 is a 400 that says why", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  const bodies = ["{", "[]", "null", '"text"', "5", `${"[".repeat(200_000)}`];
  for (const rawBody of bodies) {
    const answer = await ask(daemon, "POST /v3/sessions", { rawBody });
    expect([rawBody.slice(0, 9), answer.status, answer.body]).toEqual([
      rawBody.slice(0, 9),
      400,
      { error: expect.stringMatching(/body|nested/), code: "usage" },
    ]);
  }
  const { state } = daemon;
  const response = await fetch(`http://127.0.0.1:${state.port}/v3/sessions`, {
    method: "POST",
    headers: { authorization: `Bearer ${state.token}` },
    body: new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]),
  });
  expect([response.status, await response.json()]).toEqual([
    400,
    { error: "the body is not UTF-8 text", code: "usage" },
  ]);
  expect((await call(daemon, "session.list")).body).toMatchObject({ sessions: [] });
});

test("pages of allowed origins get what a browser asks for, on streams and refusals too; others get 403 before all else", async () => {
  using place = createPlace();
  place.configure({ daemon: { allowedOrigins: [page] } });
  await using daemon = await startDaemon({ place });
  const cors = {
    "access-control-allow-origin": page,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "ETag",
    vary: "Origin",
  };
  const shown = (headers: Headers) =>
    Object.fromEntries(Object.keys(cors).map((name) => [name, headers.get(name)]));
  const ofPage = { origin: page };

  const preflight = await open(daemon, "OPTIONS /v3/sessions/a/turns", {
    headers: { ...ofPage, authorization: "" },
  });
  expect(preflight.status).toBe(204);
  expect(shown(preflight.headers)).toEqual(cors);
  const allowed = preflight.headers.get("access-control-allow-headers") ?? "";
  expect(allowed.toLowerCase().split(",").toSorted()).toEqual([
    "authorization",
    "content-type",
    "if-none-match",
  ]);
  for (const method of ["GET", "POST", "DELETE"]) {
    expect(preflight.headers.get("access-control-allow-methods")).toContain(method);
  }

  const answers = [
    await ask(daemon, "GET /v3/health", { headers: ofPage }),
    await ask(daemon, "GET /health", { headers: ofPage }),
    await ask(daemon, "GET /v3/health", { headers: { ...ofPage, authorization: "" } }),
    await ask(daemon, "GET /v3/nothing", { headers: ofPage }),
    await ask(daemon, "GET /v3/sessions/none", { headers: ofPage }),
    await ask(daemon, "POST /v3/sessions", { headers: ofPage, rawBody: "{" }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 401, 404, 404, 400]);
  for (const { headers } of answers) expect(shown(headers)).toEqual(cors);
  for (const path of ["/v3/health/stream", "/v3/sse/events?sessionId=a"]) {
    await using stream = await openSse(daemon, path, ofPage);
    expect(shown(stream.headers)).toEqual(cors);
  }

  const foreign = ["http://localhost:3005", "https://localhost:3004", "null", "http://evil.test"];
  for (const origin of foreign) {
    for (const route of ["OPTIONS /v3/health", "GET /health", "GET /v3/health", "GET /v3/ws"]) {
      const { status, body, headers } = await ask(daemon, route, { headers: { origin } });
      expect([origin, route, status, body]).toEqual([origin, route, 403, { error: "Forbidden" }]);
      expect(headers.get("access-control-allow-origin")).toBeNull();
    }
  }
  const none = await ask(daemon, "GET /v3/health");
  expect(none.headers.get("access-control-allow-origin")).toBeNull();
  const own = { origin: `http://127.0.0.1:${daemon.state.port}` };
  expect((await ask(daemon, "GET /v3/health", { headers: own })).status).toBe(200);
});

test("daemon.allowQueryToken lets pages of allowed origins send the token in the URL, and nobody else", async () => {
  using place = createPlace();
  place.configure({ daemon: { allowedOrigins: [page], allowQueryToken: true } });
  await using daemon = await startDaemon({ place });
  const query = `token=${daemon.state.token}`;
  const bare = { authorization: "" };
  const ofPage = { ...bare, origin: page };
  await using stream = await openSse(daemon, `/v3/health/stream?${query}`, ofPage);
  expect(await stream.nextData()).toMatchObject({ status: "ok", ts: expect.any(Number) });
  const statusOf = async (path: string, headers: Record<string, string>) =>
    (await ask(daemon, `GET ${path}`, { headers })).status;
  expect(await statusOf(`/v3/health?${query}`, ofPage)).toBe(200);
  expect(await statusOf(`/v3/health?${query}`, bare)).toBe(401);
  expect(await statusOf("/v3/health?token=wrong", ofPage)).toBe(401);
  // A header that is there counts.
  expect(await statusOf(`/v3/health?${query}`, { origin: page, authorization: "Bearer x" })).toBe(
    401,
  );
});

test("what a page may do is a matter of the settings as they are now, whichever way they changed", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  await call(daemon, "session.create", { sessionId: "a" });
  const ofPage = { origin: page, authorization: "" };
  const routes = ["GET /v3/metrics", "GET /v3/sessions/a/events", "POST /v3/sessions"];
  const statuses = async () => {
    const seen: number[] = [];
    for (const route of routes) {
      const { status } = await ask(daemon, `${route}?token=${daemon.state.token}`, {
        headers: ofPage,
      });
      seen.push(status);
    }
    return seen;
  };
  expect(await statuses()).toEqual([403, 403, 403]);
  for (const route of routes) {
    // Nobody but the page asks in between.
    place.configure({ daemon: { allowedOrigins: [page], allowQueryToken: true } });
    const request = `${route}?token=${daemon.state.token}`;
    expect((await ask(daemon, request, { headers: ofPage })).status).toBeLessThan(202);
    place.configure({ daemon: { allowedOrigins: [page], allowQueryToken: false } });
    expect((await ask(daemon, request, { headers: ofPage })).status).toBe(401);
    place.configure({ daemon: { allowQueryToken: true } });
    expect((await ask(daemon, request, { headers: ofPage })).status).toBe(403);
  }
});

test("health and metrics count what there is; the health stream begins with what health says", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "a", fault: { kind: "silence" } }] });
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  const before = (await call(daemon, "daemon.metrics")).body as { runtime: { ingressSeq: number } };
  expect(before.runtime).toMatchObject({
    sessionCount: 0,
    activeTurnCount: 0,
    queuedTurnCount: 0,
    subscriberCount: 0,
  });
  await call(daemon, "session.create", { sessionId: "a" });
  const turn = { sessionId: "a", clientId: "c", writerId: "w", content: "go" };
  await call(daemon, "turn.submit", turn);
  await call(daemon, "turn.submit", turn);
  await using events = await openSse(daemon, "/v3/sse/events?sessionId=a");
  expect(await events.next()).toBe(": connected");
  const { body } = await call(daemon, "daemon.metrics");
  expect(body).toMatchObject({
    daemonId: daemon.state.daemonId,
    runtime: { sessionCount: 1, activeTurnCount: 1, queuedTurnCount: 1, subscriberCount: 1 },
  });
  const { ingressSeq } = (body as typeof before).runtime;
  expect(ingressSeq).toBeGreaterThanOrEqual(before.runtime.ingressSeq + 5);

  await using stream = await openSse(daemon, "/v3/health/stream");
  const { runtime: _, ...told } = (await call(daemon, "daemon.health")).body as { runtime: object };
  expect(await stream.nextData()).toMatchObject({ ...told, ts: expect.any(Number) });
  expect(told).toMatchObject({
    status: "ok",
    daemonId: daemon.state.daemonId,
    contract: { name: "opta-daemon-v3", version: 1 },
  });
});

test("what health and the client operations tell has no token in it", async () => {
  using place = createPlace();
  await using daemon: RunningDaemon = await startDaemon({ place });
  const told = await Promise.all([
    call(daemon, "daemon.health"),
    call(daemon, "daemon.metrics"),
    call(daemon, "operations.run", { id: "daemon.status" }),
    call(daemon, "operations.run", { id: "daemon.logs" }),
    call(daemon, "operations.run", { id: "config.list" }),
    call(daemon, "operations.run", { id: "doctor" }),
  ]);
  for (const { status, body } of told) {
    expect(status).toBe(200);
    expect(JSON.stringify(body)).not.toContain(daemon.state.token);
  }
});

test("client operations: the list has four keys each, input comes bare or wrapped, unknown keys are ignored", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  const { operations } = (await call(daemon, "operations.list")).body as { operations: object[] };
  expect(operations.length).toBeGreaterThan(20);
  for (const each of operations) {
    expect(Object.keys(each).toSorted()).toEqual(["description", "id", "safety", "title"]);
  }
  const run = async (id: string, body: object) => call(daemon, "operations.run", { id, ...body });
  await call(daemon, "session.create", { sessionId: "a", title: "first" });
  const wrapped = await run("sessions.list", { input: { limit: 5, fancy: true } });
  const bare = await run("sessions.list", { limit: 5 });
  expect(wrapped.body).toEqual(bare.body);
  expect(bare.body).toMatchObject({
    ok: true,
    id: "sessions.list",
    safety: "read",
    result: { sessions: [{ id: "a", sessionId: "a", title: "first" }], total: 1 },
  });
  const set = { input: { key: "daemon.dialect", value: "opta-code" } };
  expect((await run("config.set", set)).status).toBe(200);
  expect((await run("config.get", { key: "daemon.dialect" })).body).toMatchObject({
    result: { value: "opta-code" },
  });
  expect(await run("config.get", { key: "no.such" })).toMatchObject({
    status: 404,
    body: { ok: false, id: "config.get", safety: "read", error: { code: "not_found" } },
  });
  expect(await run("sessions.get", { input: { id: 5 } })).toMatchObject({
    status: 400,
    body: { error: expect.any(String), details: [{ path: ["sessionId"] }] },
  });
  expect(await run("no.such", {})).toMatchObject({
    status: 404,
    body: { ok: false, id: "no.such", error: { code: "not_found" } },
  });
  expect(await run("models.list", {})).toMatchObject({
    status: 503,
    body: { ok: false, error: { code: "upstream_unavailable" } },
  });
});
