import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEnvironment } from "../../src/config/environment.ts";
import { configDirectory } from "../../src/config/directory.ts";
import { loadConfig } from "../../src/config/load.ts";
import { OptaError } from "../../src/protocol/error.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "opta-config-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function load(variables: Record<string, string> = {}, flags: Record<string, unknown> = {}) {
  return loadConfig({
    environment: createEnvironment({ OPTA_CONFIG_DIR: directory, ...variables }),
    flags,
  });
}

function writeFile(content: unknown): string {
  const path = join(directory, "config.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

async function failure(promise: Promise<unknown>): Promise<OptaError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OptaError)) throw new Error(`no OptaError but ${String(error)}`);
  return error;
}

describe("where the settings lie", () => {
  const directoryOf = (variables: Record<string, string>) =>
    configDirectory(createEnvironment({ HOME: "/home/ada", ...variables }));

  test("~/.config/opta unless told otherwise", () => {
    expect(directoryOf({})).toBe("/home/ada/.config/opta");
    expect(directoryOf({ XDG_CONFIG_HOME: "/xdg" })).toBe("/xdg/opta");
    expect(directoryOf({ XDG_CONFIG_HOME: "/xdg", OPTA_CONFIG_DIR: "/own" })).toBe("/own");
  });

  test("a relative XDG_CONFIG_HOME is ignored, a relative OPTA_CONFIG_DIR is made absolute", () => {
    expect(directoryOf({ XDG_CONFIG_HOME: "xdg" })).toBe("/home/ada/.config/opta");
    expect(directoryOf({ OPTA_CONFIG_DIR: "own" })).toBe(join(process.cwd(), "own"));
  });
});

describe("which value wins", () => {
  test("without a file every value is the default and nothing is created", async () => {
    rmSync(directory, { recursive: true });
    const loaded = await load();
    expect(loaded.config.connection).toEqual({
      host: "localhost",
      port: 1234,
      fallbackHosts: [],
      allowCloudModels: false,
    });
    expect(new Set(Object.values(loaded.sources))).toEqual(new Set(["default"]));
    expect(loaded.path).toBe(join(directory, "config.json"));
    expect(() => readdirSync(directory)).toThrow();
  });

  test("flags beat environment beats file beats default, each key by itself", async () => {
    writeFile({
      connection: { host: "file", port: 1, apiKey: "file" },
      model: { default: "file" },
    });
    const { config, sources } = await load(
      { OPTA_PORT: "2", OPTA_MODEL: "environment" },
      { "model.default": "flag", "limits.maxSteps": undefined },
    );
    expect(config.connection).toEqual({
      host: "file",
      port: 2,
      apiKey: "file",
      fallbackHosts: [],
      allowCloudModels: false,
    });
    expect(config.model).toEqual({ default: "flag" });
    expect(sources).toMatchObject({
      "connection.host": "file",
      "connection.port": "environment",
      "model.default": "flag",
      "limits.maxSteps": "default",
    });
  });

  test("all five variables are read, and empty ones are as if unset", async () => {
    const { config } = await load({
      OPTA_HOST: "studio",
      OPTA_PORT: "",
      OPTA_MODEL: "qwen",
      OPTA_ADMIN_KEY: "admin",
      OPTA_API_KEY: "api",
    });
    expect(config.connection).toEqual({
      host: "studio",
      port: 1234,
      adminKey: "admin",
      apiKey: "api",
      fallbackHosts: [],
      allowCloudModels: false,
    });
    expect(config.model.default).toBe("qwen");
  });
});

describe("what is refused, with the file, the key and the next command", () => {
  test("an unknown key, naming the nearest known one", async () => {
    const path = writeFile({ connection: { hots: "x" } });
    const error = await failure(load());
    expect(error.code).toBe("config-invalid");
    expect(error.message).toBe(
      `${path}: there is no setting connection.hots; did you mean connection.host?`,
    );
    expect(error.hint).toBe("opta config unset connection.hots");
  });

  test.each([
    [{ host: "x" }, "host; did you mean connection.host?"],
    [{ modle: {} }, "modle; did you mean model?"],
    [{ permissions: { rulse: [] } }, "permissions.rulse; did you mean permissions.rules?"],
    [
      { permissions: { rules: [{ decision: "allow", comand: "ls" }] } },
      "permissions.rules.0.comand; did you mean permissions.rules.0.command?",
    ],
    [{ somethingElse: 1 }, "somethingElse"],
  ])("%j", async (content, problem) => {
    writeFile(content);
    expect((await failure(load())).message).toEndWith(`there is no setting ${problem}`);
  });

  test.each([
    [{ connection: { port: "1234" } }, 'connection.port must be a number, but is "1234"'],
    [{ connection: { port: 70000 } }, "connection.port must be at most 65535, but is 70000"],
    [{ connection: { port: 1.5 } }, "connection.port must be a whole number, but is 1.5"],
    [{ connection: [] }, "connection must be an object, but is []"],
    [
      { permissions: { mode: "yolo" } },
      'permissions.mode must be one of safe, auto, plan, review, dangerous, but is "yolo"',
    ],
    [
      { permissions: { rules: [{ decision: "allow" }] } },
      "permissions.rules.0 needs a condition: tool, path, command, prefix or host",
    ],
    [
      { permissions: { rules: [{}] } },
      "permissions.rules.0.decision must be one of allow, ask, deny, but is missing",
    ],
    [
      { web: { searxngUrl: "ftp://x" } },
      'web.searxngUrl must be an http:// or https:// URL, but is "ftp://x"',
    ],
    [{ connection: { host: "" } }, 'connection.host must not be empty, but is ""'],
    [{ model: "qwen" }, 'model must be an object, but is "qwen"'],
  ])("%j", async (content, problem) => {
    const path = writeFile(content);
    expect((await failure(load())).message).toBe(`${path}: ${problem}`);
  });

  test("every problem gets a line", async () => {
    writeFile({ connection: { port: 0, hots: "x" } });
    expect((await failure(load())).message.split("\n")).toHaveLength(2);
  });

  test("a secret's value is never repeated", async () => {
    writeFile({ connection: { apiKey: 12345678 } });
    const { message } = await failure(load());
    expect(message).toEndWith("connection.apiKey must be text, but is a secret");
    expect(message).not.toContain("12345678");
  });

  test.each([
    ["line feed", "abc\nhidden"],
    ["non-Latin-1 character", "hidden\u20ac"],
    ["control character", "hidden\u0001"],
  ])("a key with a %s, which no header can carry", async (_name, value) => {
    for (const variable of ["OPTA_API_KEY", "OPTA_ADMIN_KEY"]) {
      const { code, message } = await failure(load({ [variable]: value }));
      expect(code).toBe("config-invalid");
      expect(message).toMatch(/^OPTA_\w+: connection.\w+ must be one line of ASCII or Latin-1$/);
    }
    writeFile({ connection: { apiKey: value } });
    expect((await failure(load())).message).not.toContain("hidden");
  });

  test("a password in an address, without repeating it", async () => {
    const words = (key: string, what: string) =>
      `${key} must be a ${what} without a user or password`;
    const variable = await failure(load({ OPTA_HOST: "http://me:hidden@studio" }));
    expect(variable.code).toBe("config-invalid");
    expect(variable.message).toBe(`OPTA_HOST: ${words("connection.host", "host")}`);
    const path = writeFile({
      connection: { fallbackHosts: ["me:hidden@studio"] },
      web: { searxngUrl: "https://me:hidden@search.example/" },
    });
    expect((await failure(load())).message.split("\n")).toEqual([
      `${path}: ${words("connection.fallbackHosts.0", "host")}`,
      `${path}: ${words("web.searxngUrl", "URL")}`,
    ]);
    const port = await failure(load({ OPTA_PORT: "me:hidden@studio:1" }));
    expect(port.message).toStartWith(
      "OPTA_PORT: connection.port must be a number, but is something that may hold a password\n",
    );
  });

  test("a token in place of a user", async () => {
    const { message } = await failure(load({ OPTA_HOST: "hidden@studio" }));
    expect(message).not.toContain("hidden");
  });

  test("a variable or flag is named as the culprit, not the file", async () => {
    const variable = await failure(load({ OPTA_PORT: "http" }));
    expect(variable.message).toBe('OPTA_PORT: connection.port must be a number, but is "http"');
    expect(variable.hint).toContain("OPTA_PORT");
    const flag = await failure(load({}, { "connection.port": 0 }));
    expect(flag.message).toBe("command line: connection.port must be at least 1, but is 0");
  });

  test("a variable does not paper over a broken file", async () => {
    writeFile({ model: "qwen" });
    expect((await failure(load({ OPTA_MODEL: "other" }))).message).toContain(
      "model must be an object",
    );
  });

  test("broken JSON, with line and column", async () => {
    const path = writeFile('{\n  "connection": {,}\n}');
    const error = await failure(load());
    expect(error.message).toBe(
      `${path}:2:18: not valid JSON: expected a name in double quotes or }, but there is ,`,
    );
    expect(error.hint).toContain("opta config path");
  });

  test.each([
    ["", "the file is empty"],
    ["[]", "must be a JSON object"],
    ["null", "must be a JSON object"],
  ])("content %j", async (content, problem) => {
    writeFile(content);
    expect((await failure(load())).message).toContain(problem);
  });

  test("a directory, a file that is not text, and a directory that is a file", async () => {
    const path = join(directory, "config.json");
    mkdirSync(path);
    expect((await failure(load())).message).toBe(`${path} is a directory, not a file`);
    rmSync(path, { recursive: true });
    writeFileSync(path, Buffer.from([0xff, 0xfe, 0x7b]));
    expect((await failure(load())).message).toBe(`${path} is not UTF-8 text`);
    expect((await failure(load({ OPTA_CONFIG_DIR: path }))).code).toBe("config-invalid");
  });
});
