import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acquireFileLock, type FileLock } from "../../src/base/file-lock.ts";

const modulePath = join(import.meta.dir, "../../src/base/file-lock.ts");
let directory = "";
let path = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "opta-lock-"));
  path = join(directory, "lock");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function take(holder: object = { pid: process.pid }): FileLock {
  const lock = acquireFileLock(path, holder);
  if (!lock.acquired) throw new Error(`held by ${JSON.stringify(lock.heldBy)}`);
  return lock;
}

/** A process that runs `code` with acquireFileLock and `path` in scope. */
function startProcess(code: string) {
  const source = `import { acquireFileLock } from ${JSON.stringify(modulePath)};
    const path = ${JSON.stringify(path)}; ${code}`;
  return Bun.spawn([process.execPath, "-e", source], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
}

async function firstLine(child: ReturnType<typeof startProcess>): Promise<string> {
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return new TextDecoder().decode(value).trim();
}

const holdUntilKilled = `
  const lock = acquireFileLock(path, { pid: process.pid });
  console.log(lock.acquired);
  setInterval(() => lock, 1000);`;

describe("within one process", () => {
  test("a second acquire is told who holds the lock", () => {
    const lock = take({ pid: 1, command: "opta do" });
    expect(acquireFileLock(path, {})).toEqual({
      acquired: false,
      heldBy: { pid: 1, command: "opta do" },
    });
    lock.release();
  });

  test("release frees the lock and leaves no file behind", () => {
    take().release();
    expect(readdirSync(directory)).toEqual([]);
    take().release();
  });

  test("releasing twice does not free the next holder's lock", () => {
    const first = take();
    first.release();
    const second = take();
    first.release();
    expect(acquireFileLock(path, {}).acquired).toBe(false);
    second.release();
  });

  test("a lock that nobody references survives garbage collection", () => {
    take();
    Bun.gc(true);
    expect(acquireFileLock(path, {}).acquired).toBe(false);
  });

  test("files are private and a missing directory is made private", () => {
    path = join(directory, "a/b/lock");
    const lock = take();
    const modeOf = (name: string) => statSync(join(directory, name)).mode & 0o777;
    expect(["a", "a/b", "a/b/lock", "a/b/holder.json"].map(modeOf)).toEqual([
      0o700, 0o700, 0o600, 0o600,
    ]);
    lock.release();
  });

  test("what a crashed holder left behind is harmless", () => {
    writeFileSync(path, "");
    writeFileSync(join(directory, "holder.json"), '{"pid":', { mode: 0o644 });
    const lock = take({ pid: 7 });
    expect(statSync(join(directory, "holder.json")).mode & 0o777).toBe(0o600);
    expect(acquireFileLock(path, {})).toMatchObject({ heldBy: { pid: 7 } });
    lock.release();
  });

  test("a path that cannot be a file is an error, not a lock", () => {
    writeFileSync(join(directory, "file"), "");
    expect(() => acquireFileLock(join(directory, "file/lock"), {})).toThrow();
  });

  test("a holder whose file was removed does not remove its successor's", () => {
    const first = take();
    rmSync(path);
    const second = take({ pid: 2 });
    first.release();
    expect(existsSync(path)).toBe(true);
    expect(acquireFileLock(path, {})).toMatchObject({ heldBy: { pid: 2 } });
    second.release();
  });
});

describe("between processes", () => {
  test("the lock dies with kill -9 of its holder", async () => {
    const child = startProcess(holdUntilKilled);
    expect(await firstLine(child)).toBe("true");
    expect(acquireFileLock(path, {})).toEqual({ acquired: false, heldBy: { pid: child.pid } });
    child.kill("SIGKILL");
    await child.exited;
    take().release();
    expect(readdirSync(directory)).toEqual([]);
  });

  test("a child process does not inherit the lock", async () => {
    const parent = startProcess(`
      const lock = acquireFileLock(path, {});
      const child = Bun.spawn(["sleep", "60"]);
      console.log(child.pid);
      setInterval(() => lock, 1000);`);
    const childPid = Number(await firstLine(parent));
    try {
      parent.kill("SIGKILL");
      await parent.exited;
      process.kill(childPid, 0);
      take().release();
    } finally {
      process.kill(childPid, "SIGKILL");
    }
  });

  test("of processes that race for it 50 times, one at a time holds it", async () => {
    const racer = `
      import { readFileSync, writeFileSync } from "node:fs";
      const counter = path + "-count";
      for (let round = 0; round < 50; round++) {
        let lock = acquireFileLock(path, { pid: process.pid });
        while (!lock.acquired) lock = acquireFileLock(path, { pid: process.pid });
        const count = Number(readFileSync(counter, "utf8"));
        Bun.sleepSync(0.2);
        writeFileSync(counter, String(count + 1));
        lock.release();
      }`;
    writeFileSync(`${path}-count`, "0");
    const racers = [startProcess(racer), startProcess(racer), startProcess(racer)];
    expect(await Promise.all(racers.map((child) => child.exited))).toEqual([0, 0, 0]);
    expect(await Bun.file(`${path}-count`).text()).toBe("150");
    expect(readdirSync(directory)).toEqual(["lock-count"]);
  }, 20_000);
});

test("a directory that may not be written gives the file system's error", async () => {
  const attempt = async (mode: number): Promise<string> => {
    chmodSync(directory, mode);
    // As root every directory is writable. The child changes its user itself, after loading: others may not reach bun.
    const code = `const { acquireFileLock } = require(${JSON.stringify(modulePath)});
      if (process.getuid() === 0) { process.setgid(65534); process.setuid(65534); }
      try { console.log(acquireFileLock(${JSON.stringify(path)}, {}).acquired); } catch (error) { console.log(error.code); }`;
    const child = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe" });
    return (await new Response(child.stdout).text()).trim();
  };
  expect(await attempt(0o555)).toBe("EACCES");
  expect(await attempt(0o777)).toBe("true");
});
