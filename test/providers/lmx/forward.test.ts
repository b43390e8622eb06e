import { describe, expect, test } from "bun:test";
import { OptaError } from "../../../src/protocol/error.ts";
import { createLmxProvider } from "../../../src/providers/lmx/provider.ts";
import type { ForwardRequest, Provider } from "../../../src/providers/provider.ts";
import { neverAborted, startFake, until } from "../../support/fake-model-server.ts";
import { startScripted } from "../../support/lmx.ts";

const memory: ForwardRequest = { method: "GET", path: "/admin/memory" };

/** What passing the request on gave: the answer, or the error. */
async function pass(provider: Provider, request = memory, signal = neverAborted) {
  if (provider.forward === undefined) throw new Error("this provider passes nothing on");
  try {
    return await provider.forward(request, signal);
  } catch (thrown) {
    if (thrown instanceof OptaError) return thrown;
    throw thrown;
  } finally {
    provider.close();
  }
}

const answering = (answer: () => Response | Promise<Response>) =>
  startFake({ routes: { "/admin/memory": answer } });

test("method, path, query, body and keys arrive as they are, and the answer comes back so", async () => {
  const seen: unknown[] = [];
  const echo = async (request: Request) => {
    const { pathname, search } = new URL(request.url);
    const body = await request.text();
    seen.push({ method: request.method, pathname, search, body });
    return Response.json([{ ok: true }], { status: 202 });
  };
  using fake = startFake({
    routes: { "/admin/models/org%2FModel-7B": echo, "/admin/models/downloads": echo },
  });
  const provider = () => fake.provider({ adminKey: "admin", apiKey: "api" });
  const deletion = { method: "DELETE", path: "/admin/models/org%2FModel-7B" } as const;
  expect(await pass(provider(), deletion)).toEqual({
    status: 202,
    body: [{ ok: true }],
    server: fake.server,
    fallbackHosts: [],
  });
  const path = "/admin/models/downloads?include_inactive=true&q=a%20b";
  await pass(provider(), { method: "GET", path });
  await pass(provider(), { method: "POST", path, body: { repo_id: "org/Model" } });
  expect(seen).toEqual([
    { method: "DELETE", pathname: "/admin/models/org%2FModel-7B", search: "", body: "" },
    {
      method: "GET",
      pathname: "/admin/models/downloads",
      search: "?include_inactive=true&q=a%20b",
      body: "",
    },
    {
      method: "POST",
      pathname: "/admin/models/downloads",
      search: "?include_inactive=true&q=a%20b",
      body: '{"repo_id":"org/Model"}',
    },
  ]);
  const sent = fake.headers.at(-1);
  expect(sent?.get("x-admin-key")).toBe("admin");
  expect(sent?.get("authorization")).toBe("Bearer api");
  expect(sent?.get("content-type")).toBe("application/json");
});

describe("whatever the server answers", () => {
  test("a refusal is an answer, with the server's own body", async () => {
    const body = { error: { message: "in use", code: "model_in_use" } };
    using fake = answering(() => Response.json(body, { status: 409 }));
    expect(await pass(fake.provider())).toMatchObject({ status: 409, body, server: fake.server });
    expect(fake.requests).toEqual(["GET /healthz", "GET /admin/memory"]);
  });
  test("a refusal in HTML or in nothing at all becomes an error in words", async () => {
    const page = "<html><title>502 Bad Gateway</title></html>";
    using html = answering(() => new Response(page, { status: 502 }));
    expect(await pass(html.provider())).toMatchObject({
      status: 502,
      body: { error: "502 Bad Gateway" },
    });
    using empty = answering(() => new Response("", { status: 500 }));
    expect(await pass(empty.provider())).toMatchObject({
      status: 500,
      body: { error: "HTTP 500" },
    });
  });
  test("a success without a body is an empty object", async () => {
    using fake = answering(() => new Response(null, { status: 204 }));
    expect(await pass(fake.provider())).toMatchObject({
      status: 200,
      body: {},
      server: fake.server,
    });
  });
  test("a success that is no JSON is a failure of the server", async () => {
    using fake = answering(() => new Response("hello"));
    expect(await pass(fake.provider())).toMatchObject({
      code: "model-server-failed",
      message: `${fake.server}: /admin/memory is no JSON`,
    });
  });
  test("8 MiB are read, a byte more is not, however it is packed", async () => {
    const limitBytes = 8 * 1024 * 1024;
    const text = (bytes: number) => JSON.stringify("x".repeat(bytes - 2));
    using full = answering(() => new Response(text(limitBytes)));
    expect(await pass(full.provider())).toMatchObject({ status: 200 });
    using over = answering(() => {
      const packed = Bun.gzipSync(text(limitBytes + 1));
      return new Response(packed, { headers: { "content-encoding": "gzip" } });
    });
    expect(await pass(over.provider())).toMatchObject({
      code: "model-server-failed",
      message: `${over.server}: /admin/memory is larger than 8 MiB`,
    });
  });
  test("a redirect is not followed: the keys stay with this server", async () => {
    using other = startFake();
    using fake = answering(() => Response.redirect(`http://${other.server}/admin/memory`, 307));
    expect(await pass(fake.provider({ adminKey: "admin" }))).toMatchObject({
      code: "lmx-connection-refused",
    });
    expect(other.requests).toEqual([]);
  });
});

describe("a server that does not answer", () => {
  test("is unreachable, and looked for anew by the next request", async () => {
    using fake = startFake();
    const { port } = fake;
    fake[Symbol.dispose]();
    const provider = createLmxProvider({ host: "127.0.0.1", port, fallbackHosts: [] });
    expect(await pass(provider)).toMatchObject({ code: "lmx-connection-refused" });
  });
  test("that is lost between two requests makes room for a fallback", async () => {
    await using primary = await startScripted({ turns: [] });
    await using fallback = await startScripted({ turns: [] });
    const provider = createLmxProvider({
      host: "127.0.0.1",
      port: primary.port,
      fallbackHosts: [`127.0.0.1:${fallback.port}`],
    });
    expect(await pass(provider)).toMatchObject({ server: `127.0.0.1:${primary.port}` });
    await primary.stop();
    expect(await pass(provider)).toMatchObject({ code: "lmx-connection-refused" });
    expect(await pass(provider)).toMatchObject({ server: `127.0.0.1:${fallback.port}` });
  });
  test("in time is a time-out that names the path without its query", async () => {
    using fake = answering(() => new Promise(() => undefined));
    const provider = fake.provider({ timeouts: { lookUpMs: 20 } });
    expect(await pass(provider, { method: "GET", path: "/admin/memory?a=1" })).toMatchObject({
      code: "lmx-timeout",
      message: `${fake.server}: /admin/memory timed out after 0.02 s`,
    });
  });
  test("is given up when the caller aborts", async () => {
    using fake = answering(() => new Promise(() => undefined));
    const stop = new AbortController();
    const passing = pass(fake.provider(), memory, stop.signal);
    await until(() => fake.requests.includes("GET /admin/memory"));
    stop.abort();
    expect(await passing).toMatchObject({ code: "cancelled" });
  });
});

test("another make of server is not asked for what only LMX has", async () => {
  using fake = startFake({
    routes: {
      "/healthz": () => new Response("", { status: 404 }),
      "/v1/models": () => Response.json({ object: "list", data: [{ id: "m" }] }),
    },
  });
  expect(await pass(fake.provider())).toMatchObject({
    code: "usage",
    message: `${fake.server} (OpenAI-compatible) is no LMX: it has no /admin/memory`,
  });
  expect(fake.requests).not.toContain("GET /admin/memory");
});
