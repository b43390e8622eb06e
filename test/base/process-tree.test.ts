import { describe, expect, test } from "bun:test";
import { parsePs, selectTree, watchProcessTree } from "../../src/base/process-tree.ts";

const row = (
  pid: number,
  parent: number,
  rest: Partial<ReturnType<typeof parsePs>[number]> = {},
) => ({
  pid,
  parent,
  group: pid,
  session: pid,
  started: `t${pid}`,
  environment: "",
  ...rest,
});

function select(rows: readonly ReturnType<typeof row>[], known = new Map<number, string>()) {
  const isMarked = ({ environment }: { environment: string }) => environment.includes("MARK=1");
  return selectTree(rows, { rootPid: 100, isMarked }, known).map(({ pid }) => pid);
}

describe("selectTree", () => {
  test("takes the root's group, session, descendants and what is marked, and nothing else", () => {
    const rows = [
      row(100, 1),
      row(101, 100),
      row(102, 101),
      row(103, 1, { group: 100 }),
      row(104, 1, { session: 100 }),
      row(105, 1, { environment: "MARK=1" }),
      row(106, 105),
      row(200, 1),
      row(201, 200),
    ];
    expect(select(rows).toSorted()).toEqual([100, 101, 102, 103, 104, 105, 106]);
  });

  test("remembers a descendant whose parent died, but not a stranger that got its pid", () => {
    const known = new Map<number, string>();
    select([row(100, 1), row(101, 100), row(102, 100)], known);
    const later = [row(101, 1), row(102, 1, { started: "later" })];
    expect(select(later, known)).toEqual([101]);
  });

  test("never takes init or this process", () => {
    const rows = [
      row(1, 0, { environment: "MARK=1" }),
      row(process.pid, 1, { environment: "MARK=1" }),
    ];
    expect(select(rows)).toEqual([]);
  });
});

test("parsePs reads the rows of macOS ps, environments behind the commands, and skips zombies", () => {
  const text = [
    "    1     0     1 Ss   Mon Nov 24 09:00:00 2025     /sbin/launchd",
    "  501   500   501 S+   Mon Nov  3 09:00:01 2025     /bin/bash -c x PATH=/bin OPTA_CALL=abc",
    "  502   501   501 Z    Mon Nov 24 09:00:01 2025     (sleep)",
    "",
  ].join("\n");
  expect(parsePs(text)).toEqual([
    row(1, 0, {
      session: 0,
      started: "Mon Nov 24 09:00:00 2025",
      environment: "/sbin/launchd",
    }),
    row(501, 500, {
      session: 0,
      started: "Mon Nov  3 09:00:01 2025",
      environment: "/bin/bash -c x PATH=/bin OPTA_CALL=abc",
    }),
  ]);
});

describe("watchProcessTree", () => {
  const spawn = (script: string, marker: string) =>
    Bun.spawn(["/bin/bash", "-c", script], {
      stdio: ["ignore", "pipe", "ignore"],
      env: { PATH: "/usr/bin:/bin", OPTA_TEST: marker },
      detached: true,
    });

  test("finds nothing to do when all have exited", async () => {
    const child = spawn("true", "none");
    await child.exited;
    const tree = watchProcessTree({ rootPid: child.pid, marker: "OPTA_TEST=none" });
    expect(await tree.end({ graceMs: 1_000 })).toEqual({ found: 0, left: 0 });
  });

  test("sends SIGTERM once, in the root's group and out of it", async () => {
    // To many programs the second one means to leave without tidying up.
    const counts = `let n = 0; process.on("SIGTERM", () => (n++ > 0) || setTimeout(() => { console.log(n); process.exit(); }, 200)); setInterval(() => {}, 1_000); console.log("ready")`;
    const one = `'${process.execPath}' -e '${counts}'`;
    const child = spawn(`${one} & setsid ${one} & wait; wait`, "once");
    const tree = watchProcessTree({ rootPid: child.pid, marker: "OPTA_TEST=once" });
    let out = "";
    let ending: Promise<unknown> | undefined;
    for await (const bytes of child.stdout) {
      out += new TextDecoder().decode(bytes);
      if (out === "ready\nready\n") ending = tree.end({ graceMs: 5_000 });
    }
    await ending;
    expect(out).toBe("ready\nready\n1\n1\n");
  });

  test("lets a process finish its own clean-up on SIGTERM", async () => {
    const child = spawn("trap 'echo cleaned; exit 0' TERM; echo ready; sleep 60 & wait", "clean");
    const reader = child.stdout.getReader();
    await reader.read();
    const tree = watchProcessTree({ rootPid: child.pid, marker: "OPTA_TEST=clean" });
    await tree.end({ graceMs: 5_000 });
    const { value } = await reader.read();
    expect(new TextDecoder().decode(value)).toBe("cleaned\n");
    expect(await child.exited).toBe(0);
  });

  test("kills a process that ignores SIGTERM", async () => {
    const child = spawn("trap '' TERM; echo ready; while :; do sleep 0.1; done", "deaf");
    await child.stdout.getReader().read();
    const tree = watchProcessTree({ rootPid: child.pid, marker: "OPTA_TEST=deaf" });
    const ending = await tree.end({ graceMs: 100 });
    expect(ending.left).toBe(0);
    await child.exited;
    expect(child.signalCode).toBe("SIGKILL");
  });

  test("tells what was forked meanwhile to end as well, instead of waiting until its grace is over", async () => {
    const escape = "trap 'setsid sleep 60 & exit' TERM; echo ready; while :; do sleep 0.05; done";
    const child = spawn(escape, "late");
    await child.stdout.getReader().read();
    const tree = watchProcessTree({ rootPid: child.pid, marker: "OPTA_TEST=late" });
    // Longer than this test may take.
    expect((await tree.end({ graceMs: 60_000 })).left).toBe(0);
  }, 10_000);
});
