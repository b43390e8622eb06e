import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRunCommandTool } from "../../src/tools/run-command.ts";
import { runningWith, uniqueSleep } from "../support/processes.ts";

let workspace = "";
beforeAll(() => {
  workspace = realpathSync(mkdtempSync(join(tmpdir(), "opta-command-")));
});
afterAll(() => rmSync(workspace, { recursive: true, force: true }));

const tool = createRunCommandTool({
  environment: {
    PATH: "/usr/local/bin:/usr/bin:/bin",
    HOME: "/root",
    BUN_BE_BUN: "1",
    SOME_API_KEY: "hunter2",
  },
});
const contextWith = (signal: AbortSignal, directory = workspace) => ({
  workspace: directory,
  outputDirectory: join(workspace, "output"),
  callId: "call_1",
  files: new Map(),
  effects: [],
  mayRead: () => true,
  mayList: () => true,
  signal,
});
const run = (command: string, timeout?: number) =>
  tool.run({ command, timeout }, contextWith(new AbortController().signal));

/** A process of opta's that runs the command, until it is killed. */
const startDriver = (command: string, variables: Record<string, string> = {}) =>
  Bun.spawn(
    [process.execPath, join(import.meta.dir, "../support/run-command-driver.ts"), command],
    {
      cwd: workspace,
      env: { ...process.env, ...variables },
      stdout: "ignore",
      stderr: "ignore",
    },
  );

async function expectGone(words: string): Promise<void> {
  const deadline = performance.now() + 2_000;
  while ((await runningWith(words)).length > 0 && performance.now() < deadline) await Bun.sleep(50);
  expect(await runningWith(words)).toEqual([]);
}

describe("run_command", () => {
  test("declares the command itself as its effect", async () => {
    expect(await tool.effects({ command: "ls | wc" }, workspace)).toEqual([
      { kind: "exec", command: "ls | wc" },
    ]);
  });

  test("gives output and exit code", async () => {
    expect(await run("echo hello")).toEqual({ ok: true, text: "hello\nexit code 0" });
    expect(await run("echo no >&2; exit 3")).toEqual({ ok: false, text: "no\nexit code 3" });
    expect(await run("true")).toEqual({ ok: true, text: "exit code 0" });
  });

  test("keeps stdout and stderr in the order in which they were written", async () => {
    const { text } = await run("for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done");
    const lines = [1, 2, 3, 4, 5].flatMap((i) => [`out ${i}`, `err ${i}`]);
    expect(text).toBe(`${lines.join("\n")}\nexit code 0`);
  });

  test("runs in the workspace, with bash, without input or a terminal", async () => {
    const { text } = await run(
      'pwd; echo "$0 ${BASH_VERSION:+bash}"; cat; [ -t 1 ] || echo no tty',
    );
    expect(text).toBe(`${workspace}\n/bin/bash bash\nno tty\nexit code 0`);
  });

  test("can write to /dev/stdout and /dev/stderr", async () => {
    const { text } = await run("echo a > /dev/stdout; echo b > /dev/stderr");
    expect(text).toBe("a\nb\nexit code 0");
  });

  test("passes on no keys and no descriptors of ours", async () => {
    const { text } = await run("env; ls /proc/self/fd | tr '\\n' ' '");
    expect(text).toContain("HOME=/root");
    expect(text).not.toMatch(/hunter2|BUN_BE_BUN|SOME_API_KEY/);
    // 3 is the directory that ls itself reads.
    expect(text).toMatch(/\n0 1 2 3 \nexit code 0$/);
  });

  test("reads no startup files", async () => {
    const home = join(workspace, "home");
    mkdirSync(home);
    for (const name of [".bashrc", ".profile", ".bash_profile"])
      writeFileSync(join(home, name), "echo started");
    const hostile = createRunCommandTool({
      environment: { PATH: "/usr/bin:/bin", HOME: home, BASH_ENV: join(home, ".bashrc") },
    });
    const context = contextWith(new AbortController().signal);
    expect((await hostile.run({ command: "echo only" }, context)).text).toBe("only\nexit code 0");
  });

  test("names the signal that ended the command", async () => {
    const result = await run("kill -SEGV $$");
    expect(result).toEqual({ ok: false, text: "killed by SIGSEGV (exit code 139)" });
  });

  test("says why it could not start", async () => {
    const gone = join(workspace, "gone");
    const context = contextWith(new AbortController().signal, gone);
    const missing = await tool.run({ command: "true" }, context);
    expect(missing.ok).toBe(false);
    expect(missing.text).toStartWith(`could not start /bin/bash in ${gone}: `);
    expect(missing.text).toContain("ENOENT");
    const long = await run(`: ${"x".repeat(200_000)}`);
    expect(long.ok).toBe(false);
    expect(long.text).toContain("write a script file");
    expect((await run("echo a\0b")).ok).toBe(false);
  });

  test("reports a timeout with the output so far", async () => {
    const result = await run("echo before; sleep 30", 1_000);
    expect(result).toEqual({ ok: false, text: "before\ntimed out after 1 s" });
  });

  test("a timeout lets the command say its last words", async () => {
    const { text } = await run("trap 'echo bye; exit 0' TERM; while :; do sleep 0.02; done", 300);
    expect(text).toMatch(/bye\ntimed out after 300 ms$/);
  });

  test("reports a cancel with the output so far, and does not start when already cancelled", async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);
    const context = contextWith(controller.signal);
    expect(await tool.run({ command: "echo before; sleep 30" }, context)).toEqual({
      ok: false,
      text: "before\ncancelled",
    });
    const marker = join(workspace, "started");
    const late = await tool.run({ command: `touch ${marker}` }, context);
    expect(late).toEqual({ ok: false, text: "cancelled" });
    expect(await Bun.file(marker).exists()).toBe(false);
  });

  test("waits for output that comes just after the shell", async () => {
    const { text } = await run("echo late > >(sleep 0.05; cat)");
    expect(text).toBe("late\nexit code 0");
  });

  test("waits for a command that closed its output", async () => {
    expect((await run("exec >&- 2>&-; sleep 0.3; exit 4")).text).toBe("exit code 4");
  });

  test("a process left in the background neither hangs the call nor outlives it", async () => {
    const seconds = uniqueSleep();
    const result = await run(`sleep ${seconds} & echo started`);
    expect(result).toEqual({
      ok: true,
      text: "started\n(what still ran in the background was ended)\nexit code 0",
    });
    expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
  });

  const escapes = (seconds: string): readonly (readonly [string, string])[] => [
    ["50 children", `for i in $(seq 50); do sleep ${seconds} & done`],
    ["setsid", `setsid sleep ${seconds} &`],
    ["nohup", `nohup sleep ${seconds} >/dev/null 2>&1 &`],
    ["double fork", `( ( sleep ${seconds} >/dev/null 2>&1 & ) & )`],
    ["double fork with setsid", `( ( setsid sleep ${seconds} >/dev/null 2>&1 & ) & )`],
    ["own process groups", `set -m; sleep ${seconds} &`],
    ["a cleared environment", `env -i sleep ${seconds} &`],
    ["deaf to SIGTERM", `(trap '' TERM; sleep ${seconds}; sleep ${seconds}) &`],
  ];
  for (const [name] of escapes(""))
    test(`nothing is left after a timeout: ${name}`, async () => {
      const seconds = uniqueSleep();
      const script = escapes(seconds).find(([other]) => other === name)?.[1];
      const { text } = await run(`${script}\nsleep ${seconds}`, 400);
      expect(text).toEndWith("timed out after 400 ms");
      expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
    });

  test("nothing is left of what left the session without its environment, once it was seen", async () => {
    const seconds = uniqueSleep();
    const escaped = `(env -i setsid sleep ${seconds} >/dev/null 2>&1 & sleep 0.6) & sleep 1.2`;
    expect((await run(escaped)).text).toContain("was ended");
    expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
  });

  test("nothing is left of a chain of programs that was just becoming the next one", async () => {
    const seconds = uniqueSleep();
    for (let round = 0; round < 25; round += 1) {
      await run(`setsid setsid sleep ${seconds} >/dev/null 2>&1 & exit`);
      expect([round, await runningWith(`sleep ${seconds}`)]).toEqual([round, []]);
    }
  }, 20_000);

  test("variables of the user's shell end no command and hide none from its watchdog", async () => {
    const seconds = uniqueSleep();
    const restless = createRunCommandTool({
      environment: { PATH: "/usr/bin:/bin", TMOUT: "1", FUNCNEST: "1" },
    });
    const { text } = await restless.run(
      { command: "sleep 1.2; exit 6" },
      contextWith(new AbortController().signal),
    );
    expect(text).toBe("exit code 6");
    const driver = startDriver(`setsid sleep ${seconds} & sleep ${seconds}`, { FUNCNEST: "1" });
    while ((await runningWith(`sleep ${seconds}`)).length < 2) await Bun.sleep(50);
    driver.kill("SIGKILL");
    await expectGone(`sleep ${seconds}`);
  });

  test("a command that signals its own group keeps its output and its own end", async () => {
    const ends = [
      ["kill -QUIT 0; echo here; exit 3", "here\nexit code 3"],
      ["echo here; kill 0; sleep 5", "here\nkilled by SIGTERM (exit code 143)"],
      ["echo here; kill -HUP 0; sleep 5", "here\nkilled by SIGHUP (exit code 129)"],
    ] as const;
    for (const [command, end] of ends) {
      for (let round = 0; round < 3; round += 1) {
        expect([command, (await run(command)).text]).toEqual([command, end]);
      }
    }
  });

  test("nothing is left two seconds after a cancel, however deaf", async () => {
    const seconds = uniqueSleep();
    const controller = new AbortController();
    const command = escapes(seconds)
      .map(([, script]) => script)
      .join("\n");
    const running = tool.run(
      { command: `trap '' TERM\n${command}\nwait\nsleep ${seconds}` },
      contextWith(controller.signal),
    );
    while ((await runningWith(`sleep ${seconds}`)).length < 55) await Bun.sleep(50);
    controller.abort();
    const first = await Promise.race([running, Bun.sleep(2_500).then(() => undefined)]);
    expect(first?.text).toEndWith("cancelled");
    expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
  });

  test("when opta itself is killed the command ends too", async () => {
    const seconds = uniqueSleep();
    const driver = startDriver(`setsid sleep ${seconds} & sleep ${seconds}`);
    while ((await runningWith(`sleep ${seconds}`)).length < 2) await Bun.sleep(50);
    driver.kill("SIGKILL");
    await expectGone(`sleep ${seconds}`);
  });

  test("and so does what a command left behind that had just ended", async () => {
    for (let round = 0; round < 3; round += 1) {
      const seconds = uniqueSleep();
      const over = join(workspace, `over-${round}`);
      // Its output stays open, which is waited for a while.
      const driver = startDriver(`setsid sleep ${seconds} & echo > ${over}`);
      while (!existsSync(over)) await Bun.sleep(5);
      await Bun.sleep(50);
      expect(await runningWith(`sleep ${seconds}`)).not.toEqual([]);
      driver.kill("SIGKILL");
      await expectGone(`sleep ${seconds}`);
    }
  });

  test("or that ends in the very moment in which opta is killed", async () => {
    for (let round = 0; round < 5; round += 1) {
      const seconds = uniqueSleep();
      const pidFile = join(workspace, `pid-${round}`);
      const driver = startDriver(
        `until [ -s ${pidFile} ]; do sleep 0.01; done
        setsid sleep ${seconds} >/dev/null & kill -KILL $(cat ${pidFile})`,
      );
      writeFileSync(pidFile, String(driver.pid));
      await driver.exited;
      await expectGone(`sleep ${seconds}`);
    }
  });

  test("or while it is told to end, deaf to that", async () => {
    const seconds = uniqueSleep();
    const over = join(workspace, "over-deaf");
    const driver = startDriver(
      `(trap '' TERM; setsid sleep ${seconds} >/dev/null 2>&1) & sleep 0.1; echo > ${over}`,
    );
    while (!existsSync(over)) await Bun.sleep(5);
    await Bun.sleep(300);
    expect(await runningWith(`sleep ${seconds}`)).not.toEqual([]);
    driver.kill("SIGKILL");
    await expectGone(`sleep ${seconds}`);
  });

  test("a command that prints 300 MB costs little memory, and the file with it is bounded", async () => {
    const driver = Bun.spawn(
      [
        process.execPath,
        join(import.meta.dir, "../support/run-command-driver.ts"),
        "head -c 300000000 /dev/zero | tr '\\0' 'x'",
      ],
      { cwd: workspace, stdout: "pipe", stderr: "inherit" },
    );
    const told: { text: string; growthBytes: number } = JSON.parse(await driver.stdout.text());
    expect(told.text).toEndWith("exit code 0");
    expect(told.text.length).toBeLessThanOrEqual(50 * 1024);
    expect(told.text).toContain("286.1 MB in all");
    const file = /its beginning is in (\S+)/.exec(told.text)?.[1] ?? "";
    expect(statSync(file).size).toBe(64 * 1024 * 1024);
    expect(told.growthBytes).toBeLessThan(64 * 1024 * 1024);
  }, 30_000);
});
