import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nonPublicKind } from "../../src/tools/public-address.ts";
import { toReadableText } from "../../src/tools/readable-text.ts";
import type { ToolContext } from "../../src/tools/tool.ts";
import { createWebFetchTool } from "../../src/tools/web-fetch.ts";
import type { WebFetchOptions } from "../../src/tools/web-fetch.ts";

const directory = mkdtempSync(join(tmpdir(), "opta-web-fetch-"));
const requests: string[] = [];
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request) {
    const { pathname } = new URL(request.url);
    requests.push(`${request.headers.get("host")}${pathname}`);
    return answer(pathname);
  },
});
const origin = `http://127.0.0.1:${server.port}`;
const own = `127.0.0.1:${server.port}`;

afterAll(async () => {
  await server.stop(true);
  rmSync(directory, { recursive: true, force: true });
});

function answer(path: string): Response {
  const redirect = (to: string) => new Response("", { status: 302, headers: { location: to } });
  const typed = (
    body: string | Uint8Array<ArrayBuffer>,
    type: string,
    more: Record<string, string> = {},
  ) => new Response(body, { headers: { "content-type": type, ...more } });
  const steps = /^\/steps\/(\d+)$/.exec(path);
  if (steps)
    return steps[1] === "0" ? new Response("arrived") : redirect(`/steps/${Number(steps[1]) - 1}`);
  switch (path) {
    case "/page":
      return typed(
        "<title>x</title><nav>menu</nav><h1>Head</h1><p>Some <a href='/b#c'>link</a></p><script>evil()</script>",
        "text/html; charset=utf-8",
      );
    case "/json":
      return typed('{"a":1}', "application/json");
    case "/latin1":
      return typed(new Uint8Array([0x63, 0x61, 0x66, 0xe9]), "text/plain; charset=iso-8859-1");
    case "/unknown-charset":
      return typed("plain", "text/plain; charset=martian");
    case "/image":
      return typed(new Uint8Array(1234), "image/png");
    case "/untyped-binary":
      return new Response(new Blob([new Uint8Array([0, 1, 2])]));
    case "/long":
      return typed("0123456789".repeat(10_000), "text/plain");
    case "/endless":
      return typed("x".repeat(6 * 1024 * 1024), "text/plain");
    case "/bomb":
      return typed(Bun.gzipSync(new Uint8Array(60_000_000).fill(120)), "text/plain", {
        "content-encoding": "gzip",
      });
    case "/gzip":
      return typed(Bun.gzipSync("unpacked"), "text/plain", { "content-encoding": "gzip" });
    case "/brotli":
      return typed("?", "text/plain", { "content-encoding": "br" });
    case "/missing":
      return new Response("no such page", { status: 404 });
    case "/to-other-port":
      return redirect("http://127.0.0.1:1/secret");
    case "/to-metadata":
      return redirect("http://169.254.169.254/latest");
    case "/to-file":
      return redirect("file:///etc/passwd");
    case "/to-userinfo":
      return redirect(`http://user:pass@${own}/page`);
    case "/loop":
      return redirect("/loop");
    default:
      return new Response("hello");
  }
}

function context(signal: AbortSignal = new AbortController().signal): ToolContext {
  return {
    workspace: directory,
    outputDirectory: join(directory, "output"),
    callId: "call1",
    files: new Map(),
    effects: [],
    mayRead: () => true,
    mayList: () => true,
    signal,
  };
}

function run(url: string, options: Partial<WebFetchOptions> & { maxChars?: number } = {}) {
  const { maxChars, ...rest } = options;
  const tool = createWebFetchTool({ allowHosts: [own], ...rest });
  return tool.run({ url, ...(maxChars === undefined ? {} : { max_chars: maxChars }) }, context());
}

describe("web_fetch reads", () => {
  test("a page as text with complete links and without scripts and menus", async () => {
    const { ok, text } = await run(`${origin}/page`);
    expect(ok).toBe(true);
    expect(text).toBe(`${origin}/page\n\nHead\n\nSome link <${origin}/b#c>`);
  });

  test.each([
    { path: "/json", text: '{"a":1}' },
    { path: "/latin1", text: "café" },
    { path: "/unknown-charset", text: "plain" },
    { path: "/gzip", text: "unpacked" },
    { path: "/", text: "hello" },
  ])("$path as it is", async ({ path, text }) => {
    expect(await run(`${origin}${path}`)).toEqual({
      ok: true,
      text: `${origin}${path}\n\n${text}`,
    });
  });

  test("as many characters as asked, and says that there is more", async () => {
    const { text } = await run(`${origin}/long`, { maxChars: 15 });
    expect(text).toEndWith(
      "\n012345678901234\n\n(first 15 of 100000 characters; max_chars shows more)",
    );
  });

  test("20,000 characters unless asked for more", async () => {
    const { text } = await run(`${origin}/long`);
    expect(text).toContain("(first 20000 of 100000 characters");
  });

  test("no more than the output cap, the rest in a file", async () => {
    const { text } = await run(`${origin}/long`, { maxChars: 100_000 });
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(50 * 1024);
    expect(text).toContain(join(directory, "output"));
  });

  test.each(["/endless", "/bomb"])("the beginning of %s, which is too large", async (path) => {
    const { ok, text } = await run(`${origin}${path}`, { maxChars: 10 });
    expect(ok).toBe(true);
    expect(text).toContain(`(first 10 of more than ${5 * 1024 * 1024} characters`);
  });
});

describe("web_fetch refuses", () => {
  test.each([
    { url: "example.com", why: "not a URL" },
    { url: "file:///etc/passwd", why: "only http and https" },
    { url: "ftp://example.com/", why: "only http and https" },
    { url: "data:text/plain,x", why: "only http and https" },
    { url: "http://user:pass@example.com/", why: "user name or password" },
    { url: "http://user@example.com/", why: "user name or password" },
  ])("$url and declares no effect", async ({ url, why }) => {
    const tool = createWebFetchTool({ allowHosts: [] });
    expect(await tool.effects({ url }, directory)).toEqual([]);
    const result = await run(url);
    expect(result.ok).toBe(false);
    expect(result.text).toContain(why);
  });

  test.each([
    "http://127.0.0.1/",
    "http://127.1/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://１２７.0.0.1/",
    "http://0.0.0.0/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://169.254.169.254/",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[ff02::1]/",
    "http://[::7f00:1]/",
  ])("the address in %s", async (url) => {
    const result = await run(url);
    expect(result.ok).toBe(false);
    expect(result.text).toContain("only public addresses are fetched");
  });

  test.each(["127.0.0.1", "::1", "10.0.0.7", "::ffff:192.168.1.1", "not an address"])(
    "a name that resolves to %s, before any connection",
    async (address) => {
      const before = requests.length;
      const result = await run(`http://public.example:${server.port}/`, {
        resolve: async () => [address],
      });
      expect(result.ok).toBe(false);
      expect(result.text).toContain(`public.example leads to ${address}`);
      expect(requests.length).toBe(before);
    },
  );

  test("a name with one public and one private address", async () => {
    const resolve = async () => ["93.184.216.34", "127.0.0.1"];
    const result = await run(`http://public.example:${server.port}/`, { resolve });
    expect(result.text).toContain("leads to 127.0.0.1 (loopback)");
  });

  test("the system's own name for this machine", async () => {
    const result = await run(`http://localhost:${server.port}/`);
    expect(result.text).toContain("loopback");
  });

  test("a name that does not resolve", async () => {
    const result = await run("http://nowhere.example/", {
      resolve: () => Promise.reject(new Error("no such name")),
    });
    expect(result).toEqual({ ok: false, text: "nowhere.example cannot be resolved: no such name" });
  });

  test.each([
    { path: "/image", why: "is image/png (1234 bytes), which is not text" },
    { path: "/untyped-binary", why: "which is not text" },
    { path: "/brotli", why: "the server sent br" },
    { path: "/missing", why: "answered 404\nno such page" },
  ])("$path", async ({ path, why }) => {
    const result = await run(`${origin}${path}`);
    expect(result.ok).toBe(false);
    expect(result.text).toContain(why);
  });

  test("a server that is not there, in one line", async () => {
    const result = await run("http://127.0.0.1:1/", { allowHosts: ["127.0.0.1"] });
    expect(result.ok).toBe(false);
    expect(result.text).toStartWith("http://127.0.0.1:1/ cannot be fetched: ");
    expect(result.text).not.toContain("\n");
  });

  test("to wait for a resolver after an abort", async () => {
    const abort = new AbortController();
    const resolve = () => {
      abort.abort();
      return Promise.withResolvers<readonly string[]>().promise;
    };
    const tool = createWebFetchTool({ allowHosts: [], resolve });
    const result = await tool.run({ url: "http://slow.example/" }, context(abort.signal));
    expect(result.text).toStartWith("slow.example cannot be resolved: ");
  });

  test("to go on after an abort", async () => {
    const abort = AbortSignal.abort();
    const result = await createWebFetchTool({ allowHosts: [own] }).run(
      { url: `${origin}/` },
      context(abort),
    );
    expect(result.ok).toBe(false);
  });
});

describe("web_fetch and redirects", () => {
  test("follows them on the same host, at most five", async () => {
    expect((await run(`${origin}/steps/5`)).text).toBe(`${origin}/steps/0\n\narrived`);
    expect((await run(`${origin}/steps/6`)).text).toContain("redirects more than 5 times");
    expect((await run(`${origin}/loop`)).ok).toBe(false);
  });

  test("tells the model of another host instead, so that the policy sees it", async () => {
    for (const path of ["/to-other-port", "/to-metadata"]) {
      const result = await run(`${origin}${path}`, { allowHosts: ["127.0.0.1"] });
      expect(result.ok).toBe(false);
      expect(result.text).toContain(
        "redirects to another host; to go on call web_fetch with http://1",
      );
    }
  });

  test("does not leave http or take credentials along", async () => {
    expect((await run(`${origin}/to-file`)).text).toContain("only http and https");
    expect((await run(`${origin}/to-userinfo`)).text).toContain("user name or password");
  });

  test("resolves and checks again at every step", async () => {
    const answers = ["127.0.0.1", "127.0.0.1"];
    const looked: string[] = [];
    const name = `rebind.example:${server.port}`;
    const result = await run(`http://${name}/steps/1`, {
      allowHosts: [name],
      resolve: async (host) => {
        looked.push(host);
        return [answers.shift() ?? "0.0.0.0"];
      },
    });
    expect(result.text).toContain("arrived");
    expect(looked).toEqual(["rebind.example", "rebind.example"]);
  });
});

describe("web_fetch connects", () => {
  test("to the address that was checked, with the name in Host", async () => {
    const name = `named.example:${server.port}`;
    const result = await run(`http://${name}/x`, {
      allowHosts: [name],
      resolve: async () => ["127.0.0.1"],
    });
    expect(result.text).toBe(`http://${name}/x\n\nhello`);
    expect(requests).toContain(`${name}/x`);
  });

  test("to the next address when one does not answer", async () => {
    const name = `named.example:${server.port}`;
    const resolve = async () => ["::1", "127.0.0.1"];
    expect((await run(`http://${name}/x`, { allowHosts: [name], resolve })).ok).toBe(true);
  });

  test("over TLS only to a server that proves the name", async () => {
    const pem = (file: string) => join(directory, file);
    const made = Bun.spawnSync(
      [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        pem("key"),
        "-out",
        pem("cert"),
        "-days",
        "2",
        "-subj",
        "/CN=named.example",
        "-addext",
        "subjectAltName=DNS:named.example",
      ],
      { stderr: "ignore" },
    );
    expect(made.exitCode).toBe(0);
    const certificateAuthority = readFileSync(pem("cert"), "utf8");
    const tls = { key: readFileSync(pem("key"), "utf8"), cert: certificateAuthority };
    const secure = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      tls,
      fetch: () => new Response("secret"),
    });
    try {
      const get = (name: string) =>
        run(`https://${name}:${secure.port}/`, {
          allowHosts: [name],
          resolve: async () => ["127.0.0.1"],
          certificateAuthority,
        });
      expect((await get("named.example")).text).toEndWith("secret");
      const wrong = await get("other.example");
      expect(wrong.ok).toBe(false);
      expect(wrong.text).toContain("ERR_TLS_CERT_ALTNAME_INVALID");
    } finally {
      await secure.stop(true);
    }
  });

  test("directly, whatever proxy the environment names", async () => {
    const script = `
      import { createWebFetchTool } from ${JSON.stringify(join(import.meta.dir, "../../src/tools/web-fetch.ts"))};
      const tool = createWebFetchTool({ allowHosts: [${JSON.stringify(own)}] });
      const context = { workspace: "/", outputDirectory: "/nonexistent", callId: "c", files: new Map(), effects: [], signal: new AbortController().signal };
      console.log(JSON.stringify(await tool.run({ url: ${JSON.stringify(`${origin}/json`)} }, context)));`;
    const proxy = "http://127.0.0.1:1";
    const child = Bun.spawn([process.execPath, "-e", script], {
      env: { HTTP_PROXY: proxy, http_proxy: proxy, ALL_PROXY: proxy, PATH: "/usr/bin:/bin" },
    });
    const printed = await new Response(child.stdout).text();
    expect(JSON.parse(printed)).toEqual({ ok: true, text: `${origin}/json\n\n{"a":1}` });
  });
});

describe("web_fetch declares", () => {
  test.each([
    { url: "https://Example.COM/a?b", host: "example.com:443" },
    { url: "http://example.com/", host: "example.com:80" },
    { url: "http://example.com:8080/", host: "example.com:8080" },
    { url: "http://2130706433/", host: "127.0.0.1:80" },
    { url: "http://[::1]/", host: "[::1]:80" },
  ])("$host for $url", async ({ url, host }) => {
    expect(await createWebFetchTool({ allowHosts: [] }).effects({ url }, directory)).toEqual([
      { kind: "network", host },
    ]);
  });
});

describe("addresses", () => {
  test.each(["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2001:4860:4860::8888"])(
    "%s is public",
    async (address) => {
      expect(await nonPublicKind(address)).toBeUndefined();
    },
  );

  test.each([
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.5",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.0.1",
    "100::1",
    "2001:db8::1",
    "3fff::1",
    "4000::1",
    "fec0::1",
    "fe80::1%eth0",
    "",
  ])("%s is not", async (address) => {
    expect(await nonPublicKind(address)).toBeString();
  });
});

describe("readable text", () => {
  test("shows tables as rows and keeps code", async () => {
    const html =
      "<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table><pre>x\n  y</pre>";
    expect(await toReadableText(html, "https://example.com/")).toBe("A | B |\n1 | 2 |\n\nx\n  y");
  });

  test("of hostile pages is made in bounded time", async () => {
    const pages = [
      "<div>".repeat(200_000),
      "<a ".repeat(300_000),
      `<table>${"<tr><td>a".repeat(50_000)}`,
      `<pre>${" ".repeat(500_000)}x</pre>`,
    ];
    for (const page of pages)
      expect(await toReadableText(page, "https://example.com/")).toBeString();
  }, 60_000);
});
