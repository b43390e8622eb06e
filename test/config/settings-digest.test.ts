import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEnvironment } from "../../src/config/environment.ts";
import { type ConfigFlags, loadConfig } from "../../src/config/load.ts";
import {
  isSameWork,
  settingsDigest,
  settingsSourceDigest,
} from "../../src/config/settings-digest.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "opta-config-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const token = "the daemon's";
const environmentOf = (variables: Record<string, string> = {}) =>
  createEnvironment({ OPTA_CONFIG_DIR: directory, ...variables });
const write = (text: string) => writeFileSync(join(directory, "config.json"), text);

/** What a daemon says that reads the settings now. */
async function daemonDigests(variables?: Record<string, string>) {
  const environment = environmentOf(variables);
  const { config, text } = await loadConfig({ environment });
  return {
    settings: settingsDigest(config, environment, token),
    settingsSource: settingsSourceDigest(text, environment, token),
  };
}

interface Asked {
  readonly variables?: Record<string, string>;
  readonly flags?: ConfigFlags;
}

/** Whether a command would do the same, and whether it had to read its settings to know. */
async function ask(
  digests: Awaited<ReturnType<typeof daemonDigests>>,
  { variables, flags = {} }: Asked = {},
) {
  const environment = environmentOf(variables);
  let loads = 0;
  const same = await isSameWork({
    digests,
    token,
    directory,
    environment,
    flags,
    loadConfig() {
      loads += 1;
      return loadConfig({ environment, flags });
    },
  });
  return { same, loads };
}

describe("a command and a daemon do the same work", () => {
  test("with the same file and variables, which is known without reading what they say", async () => {
    expect(await ask(await daemonDigests())).toEqual({ same: true, loads: 0 });
    write('{"model": {"default": "m"}}');
    const digests = await daemonDigests({ OPTA_PORT: "8080" });
    expect(await ask(digests, { variables: { OPTA_PORT: "8080" } })).toEqual({
      same: true,
      loads: 0,
    });
  });

  test("with other sources that say the same: another layout, a variable, a flag", async () => {
    write('{"connection":{"port":8080}}');
    const digests = await daemonDigests();
    write('{ "connection": { "port": 8080 } }');
    expect(await ask(digests)).toEqual({ same: true, loads: 1 });
    rmSync(join(directory, "config.json"));
    expect(await ask(digests, { variables: { OPTA_PORT: "8080" } })).toMatchObject({ same: true });
    expect(await ask(digests, { flags: { "connection.port": 8080 } })).toMatchObject({
      same: true,
    });
  });

  test("but not with another setting, wherever it stands, nor with another cloud key", async () => {
    const digests = await daemonDigests();
    const others: Asked[] = [
      { variables: { OPTA_PORT: "8080" } },
      { flags: { "connection.port": 8080 } },
      { variables: { ANTHROPIC_API_KEY: "key" } },
    ];
    for (const asked of others) expect(await ask(digests, asked)).toMatchObject({ same: false });
    write('{"permissions": {"mode": "auto"}}');
    expect(await ask(digests)).toEqual({ same: false, loads: 1 });
  });

  test("nor with another home, which the rules of both may mean", async () => {
    write('{"permissions": {"rules": [{"decision": "deny", "path": "~/private/**"}]}}');
    const digests = await daemonDigests({ HOME: "/home/ada" });
    expect(await ask(digests, { variables: { HOME: "/home/bob" } })).toMatchObject({ same: false });
    expect(await ask(digests, { variables: { HOME: "/home/ada/" } })).toMatchObject({ same: true });
  });

  test("and flags that were not given are no other source", async () => {
    expect(await ask(await daemonDigests(), { flags: { "connection.port": undefined } })).toEqual({
      same: true,
      loads: 0,
    });
  });

  test("a file that became invalid is told, not worked around", async () => {
    const digests = await daemonDigests();
    write("{");
    await expect(ask(digests)).rejects.toMatchObject({ code: "config-invalid" });
  });

  test("with another token the digests are others: they tell nothing to anybody else", async () => {
    const environment = environmentOf();
    const { config, text } = await loadConfig({ environment });
    const { settings, settingsSource } = await daemonDigests();
    expect(settingsDigest(config, environment, "another")).not.toBe(settings);
    expect(settingsSourceDigest(text, environment, "another")).not.toBe(settingsSource);
  });
});
