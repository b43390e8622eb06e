import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  addToConfig,
  getConfig,
  listConfig,
  setConfig,
  setConfigEntry,
  showConfigValue,
  unsetConfig,
} from "../../src/config/edit.ts";
import { createEnvironment } from "../../src/config/environment.ts";
import { loadConfig } from "../../src/config/load.ts";

let root = "";
let path = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "opta-config-"));
  path = join(root, "opta/config.json");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function load(variables: Record<string, string> = {}) {
  return loadConfig({
    environment: createEnvironment({ OPTA_CONFIG_DIR: join(root, "opta"), ...variables }),
  });
}
function writeFile(text: string): void {
  mkdirSync(join(root, "opta"), { recursive: true });
  writeFileSync(path, text);
}
const fileText = () => readFileSync(path, "utf8");

describe("set", () => {
  test("makes a private file in a private directory, and nothing else", async () => {
    await setConfig(path, "connection.host", "studio.local");
    expect(fileText()).toBe('{\n  "connection": {\n    "host": "studio.local"\n  }\n}\n');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(root, "opta")).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(root, "opta"))).toEqual(["config.json"]);
  });

  test("tightens a file that was readable by others", async () => {
    writeFile("{}");
    await setConfig(path, "connection.apiKey", "secret");
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("keeps the other keys and their order", async () => {
    writeFile('{"web":{"allowHosts":["a"]},"connection":{"port":5,"host":"old"},"limits":{}}');
    await setConfig(path, "connection.host", "new");
    await setConfig(path, "model.default", "m");
    expect(JSON.stringify(JSON.parse(fileText()))).toBe(
      '{"web":{"allowHosts":["a"]},"connection":{"port":5,"host":"new"},"limits":{},"model":{"default":"m"}}',
    );
  });

  test.each([
    ["connection.port", "8080", 8080],
    ["limits.maxSteps", " 12 ", 12],
    ["connection.fallbackHosts", "one, two:1235,", ["one", "two:1235"]],
    ["connection.fallbackHosts", '["one"]', ["one"]],
    ["connection.fallbackHosts", "", []],
    [
      "permissions.rules",
      '[{"decision":"deny","tool":"run_command"}]',
      [{ decision: "deny", tool: "run_command" }],
    ],
    ["model.default", "1234", "1234"],
    ["connection.host", "true", "true"],
  ])("%s takes %j by the type of the key", async (key, text, value) => {
    await setConfig(path, key, text);
    expect((await getConfig(await load(), key)).value).toEqual(value);
  });

  test("model with plain text means model.default", async () => {
    expect(await setConfig(path, "model", "qwen")).toBe("model.default");
    expect((await load()).config.model.default).toBe("qwen");
  });

  test.each([
    ["connection.port", "many", "connection.port must be a number"],
    ["connection.port", "0", "at least 1"],
    ["connection.port", "1e3", "must be a number"],
    ["permissions.mode", "yolo", "one of safe, auto"],
    ["permissions.rules", "allow everything", "must be a list"],
    [
      "permissions.rules",
      '[{"decision":"allow","tol":"x"}]',
      "did you mean permissions.rules.0.tool?",
    ],
    ["web.searxngUrl", "not a url", "http:// or https:// URL"],
  ])("%s refuses %j and writes nothing", async (key, text, problem) => {
    await expect(setConfig(path, key, text)).rejects.toThrow(problem);
    expect(() => fileText()).toThrow();
  });

  test("an unknown key is refused with the nearest known one", async () => {
    await expect(setConfig(path, "conection.host", "x")).rejects.toThrow(
      "there is no setting conection.host; did you mean connection.host?",
    );
    await expect(setConfig(path, "host", "x")).rejects.toThrow("did you mean connection.host?");
    await expect(setConfig(path, "connection", "x")).rejects.toThrow("connection is a group");
    await expect(setConfig(path, "__proto__.x", "x")).rejects.toThrow("there is no setting");
  });

  test("a file that would stay invalid is not written", async () => {
    writeFile('{"connection":{"hots":"x"}}');
    await expect(setConfig(path, "connection.host", "y")).rejects.toThrow("connection.hots");
    expect(fileText()).toBe('{"connection":{"hots":"x"}}');
  });

  test("a place that cannot be written gives one clear error", async () => {
    writeFileSync(join(root, "opta"), "a file where the directory should be");
    await expect(setConfig(path, "connection.host", "x")).rejects.toThrow("not a directory");
    rmSync(join(root, "opta"));
    await expect(setConfig("/dev/null/x/config.json", "model", "x")).rejects.toThrow("/dev/null/x");
  });
});

describe("add", () => {
  const rule = { decision: "allow", prefix: ["npm", "test"] };

  test("appends to what the file has, and begins a list that is not there", async () => {
    await addToConfig(path, "permissions.rules", JSON.stringify(rule));
    await addToConfig(path, "permissions.rules", '{"decision":"deny","tool":"web_fetch"}');
    await addToConfig(path, "connection.fallbackHosts", "a,b");
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
      permissions: { rules: [rule, { decision: "deny", tool: "web_fetch" }] },
      connection: { fallbackHosts: ["a", "b"] },
    });
  });

  test("refuses what is no list, and an element that does not fit, and changes nothing", async () => {
    await expect(addToConfig(path, "connection.host", "x")).rejects.toThrow("not a list");
    await expect(addToConfig(path, "permissions.rules", '{"decision":"maybe"}')).rejects.toThrow(
      "permissions.rules",
    );
    expect(() => readFileSync(path)).toThrow("ENOENT");
  });
});

describe("an entry of a map", () => {
  test("is set and removed alone, also in a map inside a group, and the last one takes the map along", async () => {
    await setConfigEntry(path, "mcp.servers", { name: "a.b", value: { command: "one" } });
    await setConfigEntry(path, "mcp.servers", { name: "c", value: { url: "https://example.com" } });
    await setConfigEntry(path, "aliases", { name: "fast", value: "m" });
    await setConfigEntry(path, "mcp.servers", { name: "c", value: undefined });
    expect(JSON.parse(fileText())).toEqual({
      mcp: { servers: { "a.b": { command: "one" } } },
      aliases: { fast: "m" },
    });
    await setConfigEntry(path, "mcp.servers", { name: "a.b", value: undefined });
    expect(JSON.parse(fileText())).toEqual({ aliases: { fast: "m" } });
  });

  test("that does not fit is refused, and nothing changes", async () => {
    const entry = { name: "a", value: { command: "" } };
    await expect(setConfigEntry(path, "mcp.servers", entry)).rejects.toThrow("mcp.servers.a");
    expect(() => fileText()).toThrow();
  });
});

test("changes made at once are all there afterwards, and no lock is left", async () => {
  const hosts = Array.from({ length: 20 }, (_, index) => `host${index}`);
  const module = join(import.meta.dir, "../../src/config/edit.ts");
  const children = hosts.map((host) => {
    const code = `await (await import(${JSON.stringify(module)})).addToConfig(${JSON.stringify(path)}, "connection.fallbackHosts", "${host}")`;
    return Bun.spawn([process.execPath, "-e", code], { stderr: "inherit" });
  });
  const codes = await Promise.all(children.map((child) => child.exited));
  expect(codes).toEqual(hosts.map(() => 0));
  const written = JSON.parse(readFileSync(path, "utf8")).connection.fallbackHosts;
  expect(written.toSorted()).toEqual(hosts.toSorted());
  expect(readdirSync(join(root, "opta"))).toEqual(["config.json"]);
});

describe("unset", () => {
  test("brings the default back and leaves no empty group", async () => {
    writeFile('{"limits":{"maxSteps":5},"connection":{"port":5,"host":"old"}}');
    expect(await unsetConfig(path, "connection.port")).toBe(true);
    expect(await unsetConfig(path, "limits.maxSteps")).toBe(true);
    expect(JSON.parse(fileText())).toEqual({ connection: { host: "old" } });
    expect(await unsetConfig(path, "connection.port")).toBe(false);
  });

  test("removes an unknown key, which mends a file that is refused", async () => {
    writeFile('{"connection":{"hots":"x","port":5}}');
    await expect(load()).rejects.toThrow("connection.hots");
    expect(await unsetConfig(path, "connection.hots")).toBe(true);
    expect((await load()).config.connection.port).toBe(5);
  });

  test("an unknown key that is not there is refused, and no file is made", async () => {
    await expect(unsetConfig(path, "connection.prt")).rejects.toThrow("connection.port?");
    expect(await unsetConfig(path, "connection.port")).toBe(false);
    expect(readdirSync(root)).toEqual([]);
  });
});

describe("list and get", () => {
  test("every setting has its value and its source, secrets masked when shown", async () => {
    writeFile('{"connection":{"apiKey":"key-in-file"}}');
    const entries = listConfig(await load({ OPTA_PORT: "99", OPTA_ADMIN_KEY: "key-in-variable" }));
    const shown = Object.fromEntries(
      entries.map((entry) => [entry.key, [showConfigValue(entry), entry.source]]),
    );
    expect(shown).toMatchObject({
      "connection.host": ["localhost", "default"],
      "connection.port": ["99", "environment"],
      "connection.fallbackHosts": ["[]", "default"],
      "connection.adminKey": ["********", "environment"],
      "connection.apiKey": ["********", "file"],
      "model.default": ["", "default"],
      "permissions.mode": ["safe", "default"],
    });
    expect(JSON.stringify(shown)).not.toContain("key-in");
  });

  test("get refuses an unknown key", async () => {
    await expect(getConfig(await load(), "model.defualt")).rejects.toThrow("model.default?");
  });
});
