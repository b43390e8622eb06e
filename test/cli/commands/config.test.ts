import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCapturedIo, runWords } from "../../support/command-line.ts";

let directory = "";
let path = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "opta-config-command-"));
  path = join(directory, "config.json");
});
afterEach(() => rmSync(directory, { recursive: true }));

function config(
  words: readonly string[],
  options: { readonly variables?: Record<string, string>; readonly stdin?: string } = {},
) {
  return runWords(["config", ...words], {
    variables: { OPTA_CONFIG_DIR: directory, ...options.variables },
    io: createCapturedIo(options.stdin === undefined ? {} : { stdin: options.stdin }),
  });
}
const settings = () => JSON.parse(readFileSync(path, "utf8")) as unknown;

describe("list", () => {
  test("shows every setting with its source and no secret", async () => {
    writeFileSync(path, '{"connection":{"apiKey":"k-123"},"limits":{"maxSteps":5}}');
    const { exitCode, stdout } = await config([], { variables: { OPTA_HOST: "studio" } });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^KEY +VALUE +SOURCE\n/);
    expect(stdout).toMatch(/^connection\.host +studio +environment$/m);
    expect(stdout).toMatch(/^connection\.apiKey +\*{8} +file$/m);
    expect(stdout).toMatch(/^limits\.maxSteps +5 +file$/m);
    expect(stdout).toMatch(/^model\.default +default$/m);
    expect(stdout).not.toContain("k-123");
  });

  test("--json has values with their types, secrets masked, null for what is unset", async () => {
    writeFileSync(path, '{"connection":{"apiKey":"k-123"}}');
    const document = JSON.parse((await config(["list", "--json"])).stdout);
    expect(document.path).toBe(path);
    expect(document.settings).toContainEqual({
      key: "connection.port",
      value: 1234,
      source: "default",
    });
    expect(document.settings).toContainEqual({
      key: "connection.apiKey",
      value: "********",
      source: "file",
    });
    expect(document.settings).toContainEqual({
      key: "connection.adminKey",
      value: null,
      source: "default",
    });
  });
});

describe("get", () => {
  test("prints the value alone; a secret only with --reveal", async () => {
    writeFileSync(path, '{"connection":{"apiKey":"k-123"}}');
    expect((await config(["get", "connection.port"])).stdout).toBe("1234\n");
    expect((await config(["get", "connection.apiKey"])).stdout).toBe("********\n");
    expect((await config(["get", "connection.apiKey", "--reveal"])).stdout).toBe("k-123\n");
  });

  test("what is unset or unknown is refused with the next command", async () => {
    expect(await config(["get", "model.default"])).toMatchObject({
      exitCode: 1,
      stderr: "opta: model.default is not set\n  opta config set model.default <value>\n",
    });
    expect(await config(["get", "connection.hots"])).toMatchObject({
      exitCode: 2,
      stderr:
        "opta: there is no setting connection.hots; did you mean connection.host?\n  opta config list\n",
    });
  });
});

describe("set and unset", () => {
  test("write the file and say what was written", async () => {
    expect(await config(["set", "connection.port", "8080"])).toMatchObject({
      exitCode: 0,
      stdout: "connection.port = 8080\n",
      stderr: "",
    });
    expect((await config(["set", "model", "qwen"])).stdout).toBe("model.default = qwen\n");
    expect(settings()).toEqual({ connection: { port: 8080 }, model: { default: "qwen" } });
    expect((await config(["unset", "connection.port"])).stdout).toBe("connection.port removed\n");
    expect((await config(["unset", "connection.port"])).stdout).toBe(
      "connection.port was not set\n",
    );
    expect(settings()).toEqual({ model: { default: "qwen" } });
  });

  test("a secret comes from stdin and is never printed", async () => {
    const result = await config(["set", "connection.apiKey", "-"], { stdin: "k-123\n" });
    expect(result).toMatchObject({
      exitCode: 0,
      stdout: "connection.apiKey = ********\n",
      stderr: "",
    });
    expect(settings()).toEqual({ connection: { apiKey: "k-123" } });
    expect(await config(["set", "connection.apiKey", "-"], { stdin: "\n" })).toMatchObject({
      exitCode: 2,
    });
    expect(settings()).toEqual({ connection: { apiKey: "k-123" } });
  });

  test("a secret on the command line works, with a warning", async () => {
    const { exitCode, stdout, stderr } = await config(["set", "connection.adminKey", "k-123"]);
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: "connection.adminKey = ********\n",
    });
    expect(stderr).toContain("opta config set connection.adminKey - < FILE");
    expect(stderr).not.toContain("k-123");
  });

  test("says when a variable still wins", async () => {
    const { stderr } = await config(["set", "connection.host", "a"], {
      variables: { OPTA_HOST: "b" },
    });
    expect(stderr).toBe("OPTA_HOST is set and still wins in this shell\n");
  });

  test("a wrong value is refused with exit code 2 and nothing is written", async () => {
    const { exitCode, stderr } = await config(["set", "connection.port", "many"]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('connection.port must be a number, but is "many"');
    expect(existsSync(path)).toBe(false);
  });

  test("a file that opta refuses can be mended with the command that the refusal names", async () => {
    writeFileSync(path, '{"connection":{"hots":"x"}}');
    const refusal = await config(["list"]);
    expect(refusal.exitCode).toBe(2);
    expect(refusal.stderr).toContain("\n  opta config unset connection.hots\n");
    expect((await config(["path"])).exitCode).toBe(0);
    expect((await config(["unset", "connection.hots"])).exitCode).toBe(0);
    expect((await config(["list"])).exitCode).toBe(0);
  });
});

test("path prints where the file would be and creates nothing", async () => {
  expect(await config(["path"])).toMatchObject({ exitCode: 0, stdout: `${path}\n` });
  expect(existsSync(path)).toBe(false);
});
