import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEnvironment } from "../../src/config/environment.ts";
import { loadConfig } from "../../src/config/load.ts";
import {
  type DoctorCheck,
  type DoctorOptions,
  judgeDiskSpace,
  runDoctor,
} from "../../src/daemon/doctor.ts";
import { OptaError } from "../../src/protocol/error.ts";
import type { ServerStatus } from "../../src/protocol/model.ts";

let root = "";
let directory = "";
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "opta-doctor-")));
  directory = join(root, "opta");
  mkdirSync(directory, { mode: 0o700 });
});
afterEach(() => rmSync(root, { recursive: true }));

const serving: ServerStatus = {
  server: "studio:1234",
  kind: "lmx",
  version: "0.9.2",
  ready: true,
  transport: "websocket",
  loadedModels: ["org/m"],
  windows: [],
  memory: null,
  latencyMs: 3,
  candidates: [],
};

function examine(options: Partial<DoctorOptions> = {}) {
  const environment = createEnvironment({ OPTA_CONFIG_DIR: directory });
  return runDoctor({
    loadConfig: () => loadConfig({ environment }),
    call: async () => serving,
    home: root,
    toolPath: join(root, "bin"),
    signal: new AbortController().signal,
    ...options,
  });
}

async function check(name: string, options: Partial<DoctorOptions> = {}) {
  const { checks } = await examine(options);
  return checks.find((each) => each.name === name) as DoctorCheck;
}

test("everything is checked, in one order, and all is well", async () => {
  mkdirSync(join(root, "bin"));
  for (const name of ["git", "rg"]) symlinkSync("/bin/sh", join(root, "bin", name));
  writeFileSync(join(directory, "config.json"), "{}", { mode: 0o600 });
  const { version, ok, checks } = await examine({ daemon: { pid: 42, port: 9999 } });
  expect({ version, ok }).toEqual({ version: "0.0.0-dev", ok: true });
  // How full this machine's disk is differs from day to day.
  const told = checks.map((each) => (each.name === "disk space" ? each.name : each));
  expect(told).toEqual([
    { name: "settings", status: "pass", message: `${directory}/config.json is valid` },
    { name: "settings directory", status: "pass", message: `${directory} is private` },
    "disk space",
    { name: "model server", status: "pass", message: "studio:1234 answers (lmx 0.9.2)" },
    { name: "model", status: "pass", message: "org/m" },
    { name: "ripgrep", status: "pass", message: `${root}/bin/rg` },
    { name: "git", status: "pass", message: `${root}/bin/git` },
    { name: "daemon", status: "pass", message: "runs as process 42 on port 9999" },
  ]);
});

test("a daemon that does not answer is a failure, with what to type", async () => {
  const { ok, checks } = await examine({
    daemon: { pid: 42, port: 9999, problem: "the daemon does not answer" },
  });
  expect(ok).toBe(false);
  expect(checks.at(-1)).toEqual({
    name: "daemon",
    status: "fail",
    message: "the daemon does not answer (process 42, port 9999)",
    fix: "opta daemon restart",
  });
});

describe("settings", () => {
  test("without a file the defaults hold", async () => {
    expect(await check("settings")).toMatchObject({
      status: "pass",
      message: `${directory}/config.json does not exist; the defaults hold`,
    });
  });

  test("a file that is refused fails with the way to mend it, and everything else is still checked", async () => {
    writeFileSync(join(directory, "config.json"), '{"connection":{"hots":"x"}}');
    const { ok, checks } = await examine();
    expect(ok).toBe(false);
    expect(checks[0]).toMatchObject({
      status: "fail",
      message: expect.stringContaining("connection.hots"),
      fix: "opta config unset connection.hots",
    });
    expect(checks[1]).toMatchObject({ name: "settings directory", status: "skip" });
    expect(checks.slice(2).map(({ name }) => name)).toEqual([
      "disk space",
      "model server",
      "model",
      "ripgrep",
      "git",
      "daemon",
    ]);
  });
});

describe("the settings directory", () => {
  test("that does not exist yet is no fault", async () => {
    rmSync(directory, { recursive: true });
    expect((await check("settings directory")).status).toBe("skip");
  });

  test.each([
    [0o700, "pass"],
    [0o750, "warn"],
    [0o705, "warn"],
    [0o770, "fail"],
    [0o707, "fail"],
  ] as const)("with mode %o is a %s", async (mode, status) => {
    chmodSync(directory, mode);
    const found = await check("settings directory");
    expect(found.status).toBe(status);
    expect(found.fix).toBe(status === "pass" ? undefined : `chmod 700 ${directory}`);
  });
});

test("a full disk fails, a nearly full one warns", () => {
  const judged = [5.25e9, 1e9, 999_999_999, 200e6, 199e6, 0].map((bytes) => {
    const { status, message } = judgeDiskSpace(bytes, "/home/me");
    return `${status}: ${message}`;
  });
  expect(judged).toEqual([
    "pass: 5.3 GB free for /home/me",
    "pass: 1.0 GB free for /home/me",
    "warn: 999 MB free for /home/me",
    "warn: 200 MB free for /home/me",
    "fail: 199 MB free for /home/me",
    "fail: 0 MB free for /home/me",
  ]);
});

describe("the model server", () => {
  function failing(error: OptaError): Partial<DoctorOptions> {
    return { call: () => Promise.reject(error) };
  }

  test("that does not answer fails with its own words", async () => {
    const { ok, checks } = await examine(
      failing(new OptaError("lmx-connection-refused", "studio: refused", "opta config set …")),
    );
    expect(ok).toBe(false);
    expect(checks).toContainEqual({
      name: "model server",
      status: "fail",
      message: "studio: refused",
      fix: "opta config set …",
    });
    expect(checks).toContainEqual({
      name: "model",
      status: "skip",
      message: "unknown while no model server answers",
    });
  });

  test("is not blamed for settings that cannot be read", async () => {
    const options = failing(new OptaError("config-invalid", "config.json: …"));
    expect((await check("model server", options)).status).toBe("skip");
  });

  test.each([
    ["lmx", "opta models load MODEL"],
    ["llama-server", "opta models list"],
  ] as const)("without a loaded model fails: %s", async (kind, fix) => {
    const idle = { ...serving, kind, version: null, ready: false, loadedModels: [] };
    const { checks } = await examine({ call: async () => idle });
    expect(checks).toContainEqual({
      name: "model server",
      status: "pass",
      message: `studio:1234 answers (${kind})`,
    });
    expect(checks).toContainEqual({
      name: "model",
      status: "fail",
      message: "none is loaded",
      fix,
    });
  });

  test("that loads on demand passes", async () => {
    const idle: ServerStatus = { ...serving, kind: "ollama", loadedModels: [] };
    expect(await check("model", { call: async () => idle })).toMatchObject({
      status: "pass",
      message: "loaded when first asked for",
    });
  });

  test("that never answers does not hold up the report", async () => {
    const silent = { call: () => new Promise<ServerStatus>(() => {}), serverLimitMs: 10 };
    expect(await check("model server", silent)).toMatchObject({
      status: "fail",
      message: "no answer within 0.01 s",
    });
  });
});

test("without git it warns, without ripgrep there is our own", async () => {
  expect(await check("git")).toMatchObject({ status: "warn", fix: "install git" });
  expect((await check("ripgrep")).status).toBe("skip");
});

test("who gives up gets no report", async () => {
  const stop = new AbortController();
  const report = examine({ call: () => new Promise(() => {}), signal: stop.signal });
  stop.abort(new Error("given up"));
  await expect(report).rejects.toThrow("given up");
});
