import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BackgroundCommand,
  createBackgroundStarter,
} from "../../src/tools/background-process.ts";
import { runningWith, uniqueSleep } from "../support/processes.ts";

let directory = "";
beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "opta-background-")));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const startBackground = createBackgroundStarter({
  environment: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/root", SOME_API_KEY: "hunter2" },
});

interface Started extends BackgroundCommand {
  /** What has arrived. */
  readonly out: { stdout: string; stderr: string };
}

function start(command: string, options: { path?: string; directory?: string } = {}): Started {
  const out = { stdout: "", stderr: "" };
  const child = startBackground({
    command,
    directory: options.directory ?? directory,
    path: options.path,
    onOutput: (stream, bytes) => void (out[stream] += new TextDecoder().decode(bytes)),
  });
  return { ...child, out };
}

/** Runs a command to its own end. */
async function run(command: string, options: { path?: string } = {}) {
  const child = start(command, options);
  const exit = await child.exited;
  await child.outputEnded;
  await child.end({ signal: "SIGTERM", graceMs: 1_000 });
  await child.close();
  return { ...exit, ...child.out };
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error("it did not come to pass within 5 s");
    await Bun.sleep(10);
  }
}

/** Waits for "ready", ends the command, and tells how long that took. */
async function endWhenReady(child: Started, options: Parameters<BackgroundCommand["end"]>[0]) {
  await until(() => child.out.stdout.includes("ready"));
  const startedMs = performance.now();
  await child.end(options);
  const tookMs = performance.now() - startedMs;
  const exit = await child.exited;
  await child.outputEnded;
  await child.close();
  return { ...exit, tookMs };
}

describe("a background process", () => {
  test("prints to stdout and stderr apart, each in its order", async () => {
    const command = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; exit 3";
    expect(await run(command)).toEqual({
      exitCode: 3,
      signal: undefined,
      stdout: "out 1\nout 2\nout 3\n",
      stderr: "err 1\nerr 2\nerr 3\n",
    });
  });

  test("has real pipes: /dev/stdout and /dev/stderr can be opened", async () => {
    const { stdout, stderr } = await run("echo a > /dev/stdout; echo b > /dev/stderr");
    expect({ stdout, stderr }).toEqual({ stdout: "a\n", stderr: "b\n" });
  });

  test("runs with bash in its directory, without input, keys or descriptors of ours", async () => {
    const command = `pwd; echo "$0 \${BASH_VERSION:+bash}"; cat; env; ls /proc/self/fd | tr '\\n' ' '`;
    const { stdout } = await run(command);
    expect(stdout).toStartWith(`${directory}\n/bin/bash bash\n`);
    expect(stdout).toContain("HOME=/root");
    expect(stdout).not.toContain("hunter2");
    // 3 is the directory that ls itself reads.
    expect(stdout).toEndWith("\n0 1 2 3 ");
  });

  test("has our PATH, or the one it is given", async () => {
    expect((await run('echo "$PATH"')).stdout).toBe("/usr/local/bin:/usr/bin:/bin\n");
    const path = "/opt/tools:/usr/bin:/bin";
    expect((await run('echo "$PATH"', { path })).stdout).toBe(`${path}\n`);
  });

  test("reports a missing program by the shell's words and exit code", async () => {
    const { exitCode, stderr } = await run("no-such-program-anywhere --serve");
    expect(exitCode).toBe(127);
    expect(stderr).toContain("no-such-program-anywhere: command not found");
  });

  test("reports the signal that ended it", async () => {
    for (const signal of ["SEGV", "TERM", "KILL"]) {
      const { exitCode, signal: reported } = await run(`kill -${signal} $$`);
      expect({ exitCode, reported }).toEqual({ exitCode: undefined, reported: `SIG${signal}` });
    }
  });

  test("throws where it cannot be started", () => {
    expect(() => start("true", { directory: join(directory, "gone") })).toThrow("ENOENT");
    expect(() => start(`: ${"x".repeat(200_000)}`)).toThrow("E2BIG");
    expect(() => start("echo a\0b")).toThrow();
  });

  test("that prints without end is held up, and ends when told", async () => {
    let bytes = 0;
    const child = startBackground({
      command: "yes & yes >&2",
      directory,
      path: undefined,
      onOutput: (_stream, { length }) => void (bytes += length),
    });
    const startedMs = performance.now();
    await Bun.sleep(500);
    const tookMs = performance.now() - startedMs;
    // Two streams of 12.8 MB a second each, and a first burst; unhindered they come with hundreds.
    expect(bytes).toBeGreaterThan(100_000);
    expect(bytes).toBeLessThan(2_000_000 + tookMs * 2 * 12_800);
    await child.end({ signal: "SIGTERM", graceMs: 5_000 });
    await child.close();
    const afterClose = bytes;
    await Bun.sleep(50);
    expect(bytes).toBe(afterClose);
  });
});

describe("the end of a background process", () => {
  test("by SIGTERM or SIGINT lets it say its last words", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const child = start(
        `trap 'echo bye; exit' ${signal}; echo ready; while :; do sleep 0.02; done`,
      );
      const { tookMs } = await endWhenReady(child, { signal, graceMs: 5_000 });
      expect(child.out.stdout).toBe("ready\nbye\n");
      expect(tookMs).toBeLessThan(2_000);
    }
  });

  test("reports the signal of a command that handles none", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const child = start("echo ready; sleep 60");
      const exit = await endWhenReady(child, { signal, graceMs: 5_000 });
      expect(exit).toMatchObject({ exitCode: undefined, signal });
    }
  });

  test("comes by SIGKILL when the grace is over", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const child = start("trap '' TERM INT; echo ready; while :; do sleep 0.02; done");
      const { tookMs } = await endWhenReady(child, { signal, graceMs: 400 });
      expect(tookMs).toBeGreaterThan(390);
      expect(tookMs).toBeLessThan(2_000);
    }
  });

  test("comes at once by SIGKILL, and a second end makes haste", async () => {
    const deaf = "trap '' TERM; echo ready; while :; do sleep 0.02; done";
    const killed = await endWhenReady(start(deaf), { signal: "SIGKILL", graceMs: 5_000 });
    expect(killed.tookMs).toBeLessThan(1_500);
    const child = start(deaf);
    const ending = endWhenReady(child, { signal: "SIGTERM", graceMs: 20_000 });
    await until(() => child.out.stdout.includes("ready"));
    await child.end({ signal: "SIGKILL", graceMs: 0 });
    expect((await ending).tookMs).toBeLessThan(1_500);
  });

  const escapes: Readonly<Record<string, (seconds: string) => string>> = {
    "its children": (seconds) => `for i in 1 2 3; do sleep ${seconds} & done`,
    setsid: (seconds) => `setsid sleep ${seconds} &`,
    "double fork with setsid": (seconds) => `( ( setsid sleep ${seconds} >/dev/null 2>&1 & ) & )`,
    "own process groups": (seconds) => `set -m; sleep ${seconds} &`,
    "deaf to everything": (seconds) => `(trap '' TERM INT; sleep ${seconds}; sleep ${seconds}) &`,
  };
  for (const [name, script] of Object.entries(escapes)) {
    test(`leaves nothing: ${name}`, async () => {
      for (const signal of ["SIGTERM", "SIGINT", "SIGKILL"] as const) {
        const seconds = uniqueSleep();
        const child = start(`${script(seconds)}\necho ready; sleep ${seconds}`);
        await until(async () => (await sleeping(seconds)) > 1);
        await endWhenReady(child, { signal, graceMs: 500 });
        expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
      }
    });
  }

  test("of its own accord leaves nothing either, once it is ended", async () => {
    const seconds = uniqueSleep();
    const child = start(`setsid sleep ${seconds} & sleep ${seconds} & echo done`);
    expect(await child.exited).toEqual({ exitCode: 0, signal: undefined });
    expect((await runningWith(`sleep ${seconds}`)).length).toBeGreaterThan(0);
    await child.end({ signal: "SIGTERM", graceMs: 1_000 });
    await child.close();
    expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
  });

  test("comes within two seconds of our own death by kill -9, also while it is being ended", async () => {
    const seconds = uniqueSleep();
    const driver = Bun.spawn(
      [
        process.execPath,
        join(import.meta.dir, "background-process-child.ts"),
        `trap '' TERM; echo ready; sleep ${seconds}; sleep ${seconds}`,
        `setsid sleep ${seconds} & sleep ${seconds}`,
        `trap '' TERM INT HUP; sleep ${seconds}`,
      ],
      { cwd: directory, stdout: "ignore", stderr: "inherit" },
    );
    await until(async () => (await sleeping(seconds)) === 4);
    await Bun.sleep(300);
    expect(await sleeping(seconds)).toBe(4);
    driver.kill("SIGKILL");
    await driver.exited;
    const deadline = performance.now() + 2_000;
    while ((await runningWith(seconds)).length > 0 && performance.now() < deadline) {
      await Bun.sleep(20);
    }
    expect(await runningWith(seconds)).toEqual([]);
  });
});

/** How many `sleep` of so many seconds run, without the shells whose text names it. */
async function sleeping(seconds: string): Promise<number> {
  const rows = await runningWith(`sleep ${seconds}`);
  return rows.filter((row) => new RegExp(`^\\S+\\s+sleep ${seconds}$`).test(row)).length;
}
