import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createStyle } from "../../../src/cli/output/style.ts";
import { OptaError } from "../../../src/protocol/error.ts";
import { createCapturedIo, createFakeClient, runWords } from "../../support/command-line.ts";

let directory = "";
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "opta-doctor-command-")));
  for (const name of ["git", "rg"]) symlinkSync("/bin/sh", join(directory, name));
});
afterEach(() => rmSync(directory, { recursive: true }));

const status = {
  server: "studio:1234",
  kind: "lmx",
  version: "0.9.2",
  ready: true,
  loadedModels: ["org/m\u001b[2J"],
};

function doctor(words: readonly string[] = [], answer: () => unknown = () => status) {
  return runWords(["doctor", ...words], {
    client: createFakeClient({ "lmx.status": answer }),
    variables: { OPTA_CONFIG_DIR: directory, PATH: directory },
  });
}

function refuse(): never {
  throw new OptaError("lmx-connection-refused", "nothing answers\nat studio", "one\ntwo");
}

/** The line about this machine's disk differs from day to day. */
function withoutDisk(text: string): string {
  return text.replace(/^. disk space .*\n( .*\n)*/m, "");
}

test("every finding is a line with a mark, and all is well", async () => {
  const { exitCode, stdout, stderr } = await doctor();
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(stdout).toContain(`disk space          `);
  expect(withoutDisk(stdout)).toBe(`opta 0.0.0-dev
✓ settings            ${directory}/config.json does not exist; the defaults hold
✓ settings directory  ${directory} is private
✓ model server        studio:1234 answers (lmx 0.9.2)
✓ model               org/m
✓ ripgrep             ${directory}/rg
✓ git                 ${directory}/git
- daemon              not running, and not needed: opta daemon start
`);
});

test("what failed and what to type stand below each other, and the exit code is 1", async () => {
  chmodSync(directory, 0o755);
  const { exitCode, stdout, stderr } = await doctor([], refuse);
  expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: "" });
  const [before, after] = withoutDisk(stdout).split("✓ ripgrep");
  expect(before).toEndWith(`! settings directory  others can look into ${directory}
                      → chmod 700 ${directory}
✗ model server        nothing answers
                      at studio
                      → one
                      → two
- model               unknown while no model server answers
`);
  expect(after).toContain("git");
});

test("a warning alone is no failure", async () => {
  chmodSync(directory, 0o755);
  expect((await doctor()).exitCode).toBe(0);
});

test("settings that are refused are a finding, not the end", async () => {
  writeFileSync(join(directory, "config.json"), "{");
  // Connecting fails as it does outside of tests: the settings are read first.
  const { exitCode, stdout } = await doctor([], () => {
    throw new OptaError("config-invalid", "config.json: not valid JSON");
  });
  expect(exitCode).toBe(1);
  expect(stdout).toContain(`✗ settings            ${directory}/config.json:1:2: not valid JSON`);
  expect(stdout).toContain("- model server        not asked while the settings cannot be read\n");
});

test("--json is one document, whatever was found", async () => {
  const good = await doctor(["--json"]);
  expect(good.exitCode).toBe(0);
  expect(JSON.parse(good.stdout)).toMatchObject({ version: "0.0.0-dev", ok: true });
  const bad = await doctor(["--json"], refuse);
  expect(bad.exitCode).toBe(1);
  expect(JSON.parse(bad.stdout).checks).toContainEqual({
    name: "model server",
    status: "fail",
    message: "nothing answers\nat studio",
    fix: "one\ntwo",
  });
});

test("on a terminal with colours the marks have them", async () => {
  const io = { ...createCapturedIo({ terminal: true }), style: () => createStyle(true) };
  const { stdout } = await runWords(["doctor"], {
    io,
    client: createFakeClient({ "lmx.status": refuse }),
    variables: { OPTA_CONFIG_DIR: directory, PATH: directory },
  });
  expect(stdout).toContain("\u001b[32m✓\u001b[39m settings");
  expect(stdout).toContain("\u001b[31m✗\u001b[39m model server");
});
