import { expect, test } from "bun:test";
import { homedir } from "node:os";
import { createEnvironment, readEnvironment } from "../../src/config/environment.ts";

test("the snapshot holds the process's variables and does not follow later changes", () => {
  process.env["OPTA_TEST_SNAPSHOT"] = "before";
  const environment = readEnvironment();
  process.env["OPTA_TEST_SNAPSHOT"] = "after";
  expect(environment.variables["OPTA_TEST_SNAPSHOT"]).toBe("before");
  delete process.env["OPTA_TEST_SNAPSHOT"];
});

test("home is HOME when that is absolute, else the account's", () => {
  expect(createEnvironment({ HOME: "/home/ada" }).home).toBe("/home/ada");
  expect(createEnvironment({ HOME: "somewhere" }).home).toBe(homedir());
  expect(createEnvironment({}).home).toBe(homedir());
});

test("a bare PATH is completed with the usual directories, once each, after the given ones", () => {
  expect(createEnvironment({ PATH: "/opt/tools:/usr/bin" }).toolPath).toBe(
    "/opt/tools:/usr/bin:/opt/homebrew/bin:/usr/local/bin:/bin:/usr/sbin:/sbin",
  );
  expect(createEnvironment({}).toolPath).toStartWith("/opt/homebrew/bin:");
});

test("relative and empty PATH entries are dropped, so that a repository cannot plant programs", () => {
  const { toolPath } = createEnvironment({ PATH: ":.:node_modules/.bin:/usr/bin" });
  expect(toolPath).toStartWith("/usr/bin:");
});
