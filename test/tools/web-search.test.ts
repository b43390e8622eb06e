import { afterAll, describe, expect, test } from "bun:test";
import type { ToolContext } from "../../src/tools/tool.ts";
import { createWebSearchTool } from "../../src/tools/web-search.ts";

const asked: string[] = [];
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const query = searchParams.get("q");
    asked.push(`${pathname} ${query} ${searchParams.get("format")}`);
    if (query === "forbidden") return new Response("no", { status: 403 });
    if (query === "moved") return Response.redirect("http://127.0.0.1:1/", 302);
    if (query === "html") return new Response("<html>");
    if (query === "odd") return Response.json({ results: "none" });
    if (query === "nothing") return Response.json({ results: [] });
    const results = Array.from({ length: 30 }, (_, index) => ({
      title: `Title\n ${index + 1}`,
      url: `https://example.com/${index + 1}`,
      content: index === 1 ? null : `about  ${query} `.repeat(index === 2 ? 100 : 1),
      engine: "x",
    }));
    return Response.json({ query, results });
  },
});
const base = `http://127.0.0.1:${server.port}`;
afterAll(() => server.stop(true));

const context: ToolContext = {
  workspace: "/",
  outputDirectory: "/nonexistent",
  callId: "call1",
  files: new Map(),
  effects: [],
  mayRead: () => true,
  mayList: () => true,
  signal: new AbortController().signal,
};
const run = (
  args: { query: string; max_results?: number },
  searxngUrl: string | undefined = base,
) => createWebSearchTool({ searxngUrl }).run(args, context);

describe("web_search", () => {
  test("lists title, address and excerpt of each result", async () => {
    expect(await run({ query: "a b&c", max_results: 2 })).toEqual({
      ok: true,
      text: "1. Title 1\n   https://example.com/1\n   about a b&c\n\n2. Title 2\n   https://example.com/2",
    });
    expect(asked).toContain("/search a b&c json");
  });

  test("gives five results unless asked, with short excerpts", async () => {
    const { text } = await run({ query: "many" });
    expect(text).toContain("5. Title 5");
    expect(text).not.toContain("6. Title 6");
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(503);
  });

  test("keeps a path in the configured address", async () => {
    await run({ query: "deep" }, `${base}/searx`);
    await run({ query: "deeper" }, `${base}/searx/`);
    expect(asked).toContain("/searx/search deep json");
    expect(asked).toContain("/searx/search deeper json");
  });

  test.each([
    { query: "forbidden", says: "must list json under search.formats" },
    { query: "moved", says: "answered 302; no redirect is followed" },
    { query: "html", says: "did not answer as SearXNG does" },
    { query: "odd", says: "did not answer as SearXNG does" },
  ])("explains an answer that is $query", async ({ query, says }) => {
    const result = await run({ query });
    expect(result.ok).toBe(false);
    expect(result.text).toContain(says);
  });

  test("says when nothing was found", async () => {
    expect(await run({ query: "nothing" })).toEqual({
      ok: true,
      text: "nothing found for nothing",
    });
  });

  test("says what to type when no server is configured", async () => {
    const tool = createWebSearchTool({ searxngUrl: undefined });
    expect(await tool.effects({ query: "a" }, "/")).toEqual([]);
    const result = await tool.run({ query: "a" }, context);
    expect(result.ok).toBe(false);
    expect(result.text).toContain("opta config set web.searxngUrl http://");
  });

  test("says when the server is not there", async () => {
    const result = await run({ query: "a" }, "http://127.0.0.1:1");
    expect(result.ok).toBe(false);
    expect(result.text).toStartWith("the search server at 127.0.0.1:1 cannot be reached: ");
  });

  test("declares the host of the server", async () => {
    const effects = (searxngUrl: string) =>
      createWebSearchTool({ searxngUrl }).effects({ query: "a" }, "/");
    expect(await effects("https://Search.example/x")).toEqual([
      { kind: "network", host: "search.example:443" },
    ]);
    expect(await effects(base)).toEqual([{ kind: "network", host: `127.0.0.1:${server.port}` }]);
  });
});
