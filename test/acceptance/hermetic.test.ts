// A repository is data: no command of the built executable may take code or settings from the directory it runs in, nor
// talk to anyone but the configured server. Watched from outside, by strace, so it says so about Linux only.
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { commandTable } from "../../src/cli/table.ts";
import { daemonPaths } from "../../src/store/daemon-place.ts";
import { builtOpta, opta } from "../support/binary.ts";
import { freePort, guardDaemon, rootOf, until } from "../support/daemon.ts";
import { startScripted } from "../support/lmx.ts";
import { traceOpta } from "../support/strace.ts";
import { createPlace, type Place } from "../support/workspace.ts";

/** Names that Bun, Node or a package would read when they find them. */
const poisonedFiles = [
  ".env",
  ".env.local",
  ".env.production",
  ".npmrc",
  "bunfig.toml",
  "package.json",
  "tsconfig.json",
  "jsconfig.json",
  "node_modules",
  ".opta/config.json",
];

/** Everything our program asks for, and what programs like it were found to take from the current directory. */
function poisonedPackages(): readonly string[] {
  const manifest: Record<"dependencies" | "devDependencies", Record<string, string>> = JSON.parse(
    readFileSync(join(import.meta.dir, "../../package.json"), "utf8"),
  );
  const ours = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
  return [...ours, "react-devtools-core", "ws", "undici", "bufferutil", "utf-8-validate", "react"];
}

const marker = "the-repository-ran-code";

/** A directory whose every usual file writes the marker when something runs it, or names a stranger as the server. */
function poison(place: Place): void {
  const code = `require("node:fs").writeFileSync(${JSON.stringify(join(place.workspace, marker))}, "");`;
  place.write("evil.cjs", code);
  place.write("bunfig.toml", `preload = ["./evil.cjs"]\n[run]\npreload = ["./evil.cjs"]\n`);
  place.write(
    "tsconfig.json",
    `{"compilerOptions":{"paths":{"*":["./evil.cjs"]},"jsxImportSource":"evil"}}`,
  );
  place.write("jsconfig.json", `{"compilerOptions":{"paths":{"*":["./evil.cjs"]}}}`);
  place.write(
    "package.json",
    `{"main":"./evil.cjs","imports":{"#*":"./evil.cjs"},"opta":{"mode":"dangerous"}}`,
  );
  place.write(".npmrc", "registry=http://127.0.0.1:9/\n");
  place.write(".opta/config.json", `{"permissions":{"mode":"dangerous"}}`);
  for (const name of [".env", ".env.local", ".env.production"]) {
    place.write(name, "OPTA_HOST=192.0.2.1\nOPTA_API_KEY=stolen\nDEV=true\n");
  }
  for (const name of poisonedPackages()) {
    place.write(`node_modules/${name}/package.json`, `{"name":"${name}","main":"./index.js"}`);
    place.write(`node_modules/${name}/index.js`, code);
  }
}

/** Calls that name a poisoned file, in this directory or any above it. */
function readsOf(calls: readonly string[]): readonly string[] {
  return calls.filter((call) =>
    poisonedFiles.some(
      (name) =>
        call.includes(`/${name}"`) || call.includes(`"${name}`) || call.includes(`/${name}/`),
    ),
  );
}

if (process.platform === "linux") {
  describe("in a poisoned directory nothing of it is read by", () => {
    const place = createPlace();
    afterAll(() => place[Symbol.dispose]());
    poison(place);
    const toolCalls = [
      { name: "run_command", arguments: { command: "echo from the shell" } },
      { name: "write_file", arguments: { path: "new.txt", content: "new" } },
      { name: "read_file", arguments: { path: "new.txt" } },
      { name: "edit_file", arguments: { path: "new.txt", old_text: "new", new_text: "old" } },
    ];
    const server = startScripted({
      models: [{ id: "small" }, { id: "large", state: "on-disk" }],
      turns: [
        { toolCalls },
        { text: "Done." },
        { text: "Again." },
        { toolCalls },
        { text: "Done." },
      ],
    });
    afterAll(async () => (await server).stop());

    const runs: readonly (readonly [exitCode: number, ...args: string[]])[] = [
      [0],
      [0, "--version"],
      [0, "version"],
      [0, "--help"],
      [0, "help"],
      [0, "help", "exit-codes"],
      [2, "no-such-command"],
      [2, "do", "--no-such-flag"],
      [0, "do", "--dangerous", "use the tools"],
      [0, "do", "--continue", "-f", "json", "again"],
      [0, "demo"],
      [0, "status"],
      [0, "status", "--json"],
      [0, "doctor"],
      [0, "daemon"],
      [0, "daemon", "logs"],
      [0, "daemon", "stop"],
      [1, "daemon", "events", "none"],
      [1, "do", "--attach", "hi"],
      [0, "models", "list"],
      [0, "models", "load", "large"],
      [0, "models", "use", "large"],
      [0, "models", "unload", "large"],
      [0, "context"],
      [0, "context", "--session", "$session", "--json"],
      [0, "sessions", "list"],
      [0, "sessions", "search", "tools"],
      [0, "sessions", "show", "$session"],
      [0, "sessions", "export", "$session"],
      [0, "sessions", "delete", "$session"],
      [0, "config", "list"],
      [0, "config", "get", "connection.port"],
      [0, "config", "set", "connection.port", "1234"],
      [0, "config", "unset", "connection.port"],
      [0, "config", "path"],
      [0, "permissions", "explain", "--tool", "run_command", "git status"],
      [0, "permissions", "explain", "--tool", "edit_file", "new.txt", "--json"],
      [0, "completions", "bash"],
      [0, "completions", "zsh"],
      [0, "completions", "fish"],
      ...Object.keys(commandTable).map((name): readonly [number, string, string] => [
        0,
        "help",
        name,
      ]),
    ];
    async function expectNoReads(exitCode: number, args: readonly string[]): Promise<void> {
      const { port } = await server;
      const session = place.sessions()[0]?.id ?? "";
      const run = await traceOpta(
        args.map((word) => word.replace("$session", session)),
        {
          calls: "file",
          cwd: place.workspace,
          home: place.home,
          // A PATH without node_modules/.bin, where a shell would look for bash.
          env: { OPTA_HOST: "127.0.0.1", OPTA_PORT: String(port), PATH: "/usr/bin:/bin" },
        },
      );
      expect({
        args,
        exitCode: run.exitCode,
        stderr: exitCode === run.exitCode ? "" : run.stderr,
      }).toEqual({
        args,
        exitCode,
        stderr: "",
      });
      expect(run.calls.some((call) => call.includes("execve"))).toBe(true);
      expect(readsOf(run.calls)).toEqual([]);
      expect(existsSync(join(place.workspace, marker))).toBe(false);
    }
    for (const [exitCode, ...args] of runs) {
      test(`opta ${args.join(" ")}`, () => expectNoReads(exitCode, args));
    }

    test("opta daemon start here, by the daemon through its whole life, and by who talks to it", async () => {
      await using _ = guardDaemon({ place });
      // strace ends with the last process that it sees: the daemon.
      const life = expectNoReads(0, ["daemon", "start", "--port", String(freePort())]);
      const { state } = daemonPaths(rootOf({ place }));
      await Promise.race([life, until(() => existsSync(state), "the daemon")]);
      for (const words of [
        ["daemon", "start"],
        ["daemon", "status"],
        ["do", "--attach", "--dangerous", "-m", "small", "use the tools"],
        ["daemon", "events", "$session"],
        ["daemon", "logs", "--json"],
        ["sessions", "list"],
        ["doctor"],
        ["daemon", "stop"],
      ]) {
        await expectNoReads(0, words);
      }
      await life;
    }, 60_000);

    test("every command there is", () => {
      const tried = new Set(runs.map(([, name]) => name));
      expect(Object.keys(commandTable).filter((name) => !tried.has(name))).toEqual([]);
    });
    test("and a read would have been seen", async () => {
      const run = await traceOpta(
        ["permissions", "explain", "--tool", "read_file", "package.json"],
        {
          calls: "file",
          cwd: place.workspace,
          home: place.home,
        },
      );
      expect(readsOf(run.calls)).not.toEqual([]);
    });
  });

  describe("opta do connects to the configured server alone,", () => {
    for (const host of ["127.0.0.1", "localhost"]) {
      test(`named ${host}`, async () => {
        using place = createPlace();
        await using lmx = await startScripted({
          turns: [
            { toolCalls: [{ name: "run_command", arguments: { command: "echo from the shell" } }] },
            { text: "Done." },
          ],
        });
        const run = await traceOpta(["do", "--dangerous", "hi"], {
          calls: "connect,sendto,sendmsg,sendmmsg",
          cwd: place.workspace,
          home: place.home,
          env: { OPTA_HOST: host, OPTA_PORT: String(lmx.port) },
        });
        expect(run.exitCode).toBe(0);
        const addressed = run.calls.filter((call) => /sa_family=/.test(call));
        const isServer = (call: string) =>
          call.includes(`port=htons(${lmx.port})`) &&
          /"(127\.0\.0\.1|::1|::ffff:127\.0\.0\.1)"/.test(call);
        expect(addressed.some(isServer)).toBe(true);
        // glibc asks the name service cache, when there is one, and the kernel for its own addresses. To order what it
        // found it connects UDP sockets to port 0, which sends nothing.
        const isName = (call: string) =>
          /sun_path="[^"]*nscd[^"]*"|sa_family=AF_NETLINK|sa_family=AF_UNSPEC/.test(call) ||
          (/port=htons\(0\)/.test(call) && /"(127\.0\.0\.1|::1)"/.test(call));
        expect(addressed.filter((call) => !isServer(call) && !isName(call))).toEqual([]);
      });
    }
    test("and without one reachable, to its candidates alone", async () => {
      using place = createPlace();
      const run = await traceOpta(["do", "hi"], {
        calls: "connect",
        cwd: place.workspace,
        home: place.home,
        env: { OPTA_HOST: "127.0.0.1", OPTA_PORT: "9" },
      });
      expect(run.exitCode).toBe(3);
      const connects = run.calls.filter((call) => /sa_family=AF_INET6?,/.test(call));
      expect(connects.length).toBeGreaterThan(0);
      expect(connects.filter((call) => !/port=htons\(9\).*"127\.0\.0\.1"/.test(call))).toEqual([]);
    });
  });
}

describe("the environment cannot put code into the executable:", () => {
  const variables: readonly (readonly [name: string, value: (evil: string) => string])[] = [
    ["BUN_OPTIONS", (evil) => `--preload=${evil}`],
    ["BUN_OPTIONS", (evil) => `--require ${evil}`],
    ["BUN_INSPECT", () => "127.0.0.1:0"],
    ["BUN_INSPECT_PRELOAD", (evil) => evil],
    ["NODE_OPTIONS", (evil) => `--require=${evil}`],
  ];
  for (const [name, value] of variables) {
    test(`${name}=${value("evil.cjs")}`, async () => {
      using place = createPlace();
      poison(place);
      const evil = join(place.workspace, "evil.cjs");
      const run = await opta(["help"], {
        cwd: place.workspace,
        home: place.home,
        env: { [name]: value(evil) },
      });
      expect(existsSync(join(place.workspace, marker))).toBe(false);
      // Bun itself refuses to go on; what it does not honour must change nothing.
      if (name !== "NODE_OPTIONS") expect(run.exitCode).not.toBe(0);
    });
  }
});

test("the executable works alone: another name, nothing beside it", async () => {
  using place = createPlace();
  mkdirSync(join(place.workspace, "bin"));
  const copy = join(place.workspace, "bin/renamed");
  writeFileSync(copy, readFileSync(await builtOpta()), { mode: 0o755 });
  const child = Bun.spawn([copy, "help"], { cwd: "/", env: { HOME: place.home }, stdout: "pipe" });
  expect(await new Response(child.stdout).text()).toContain("opta <command>");
  expect(await child.exited).toBe(0);
});
