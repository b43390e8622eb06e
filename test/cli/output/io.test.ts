import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const child = join(import.meta.dir, "io-child.ts");
let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "opta-io-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs a shell line with CHILD standing for the command; what it printed and the exit code. */
async function shell(line: string): Promise<{ stdout: string; stderr: string; exitCode: number }> {
  const command = line.replaceAll("CHILD", `'${process.execPath}' '${child}'`);
  const running = Bun.spawn(["bash", "-c", command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([running.stdout.text(), running.stderr.text()]);
  return { stdout, stderr, exitCode: await running.exited };
}

interface Report {
  readonly terminals: readonly boolean[];
  readonly columns: number;
  readonly red: string;
}

function readReport(name: string): Report {
  return JSON.parse(readFileSync(join(directory, name), "utf8"));
}

describe("who is watching", () => {
  test("pipes, files and the null device are no terminals, and get no colours", async () => {
    await shell(`CHILD terminals ${directory}/a < ${child} > ${directory}/file 2>/dev/null`);
    const report = { terminals: [false, false, false], columns: 80, red: "x" };
    expect(readReport("a")).toEqual(report);
  });

  test("other character devices and closed descriptors are no terminals", async () => {
    await shell(`CHILD terminals ${directory}/b < /dev/zero > /dev/full 2>&-`);
    expect(readReport("b").terminals).toEqual([false, false, false]);
  });

  test("a terminal is one, with its width and colours", async () => {
    const running = Bun.spawn([process.execPath, child, "terminals", join(directory, "c")], {
      terminal: { cols: 97, rows: 30 },
    });
    await running.exited;
    const report = { terminals: [true, true, true], columns: 97, red: "\u001b[31mx\u001b[39m" };
    expect(readReport("c")).toEqual(report);
  });
});

describe("writing", () => {
  test("a megabyte through a pipe with a slow reader arrives whole", async () => {
    const { stdout, stderr } = await shell("CHILD write 1000000 | (sleep 0.2; wc -c)");
    expect({ bytes: stdout.trim(), stderr }).toEqual({ bytes: "1000000", stderr: "written" });
  });

  test("a full pipe that is set to non-blocking is waited for", async () => {
    const path = join(directory, "fifo");
    Bun.spawnSync(["mkfifo", path]);
    const end = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const running = Bun.spawn([process.execPath, child, "write", "1000000"], {
      stdin: "ignore",
      stdout: end,
      stderr: "pipe",
    });
    let received = 0;
    const buffer = Buffer.alloc(65_536);
    while (received < 1_000_000 && running.exitCode !== 1) {
      await Bun.sleep(2);
      try {
        received += readSync(end, buffer);
      } catch (thrown) {
        expect((thrown as NodeJS.ErrnoException).code).toBe("EAGAIN");
      }
    }
    expect(await running.stderr.text()).toBe("written");
    closeSync(end);
    expect(received).toBe(1_000_000);
  }, 20_000);

  test("a reader that leaves is told apart from a failure", async () => {
    expect((await shell("CHILD write 1000000 | true")).stderr).toBe("closed");
  });

  test("a stdout that was closed from the start harms nothing", async () => {
    expect((await shell("CHILD write 10 >&-")).stderr).toBe("written");
  });

  test("a full disk is an error that says so", async () => {
    const { stderr } = await shell("CHILD write 10 > /dev/full");
    expect(stderr).toBe("OptaError: cannot write to stdout: no space left");
  });

  test("when stderr is gone or full, work goes on", async () => {
    expect((await shell("CHILD stderr 2>&-")).stdout).toBe("survived");
    expect((await shell("CHILD stderr 2>/dev/full")).stdout).toBe("survived");
    expect((await shell("(CHILD stderr 3>&1 2>&1 >&3 | true) 3>&1")).exitCode).toBe(0);
  });
});
