import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Background, createBackground } from "../../src/engine/background.ts";
import type { BackgroundChunk, BackgroundProcess } from "../../src/protocol/background.ts";
import { OptaError } from "../../src/protocol/error.ts";
import type { EventPayload } from "../../src/protocol/event.ts";
import { createBackgroundStarter } from "../../src/tools/background-process.ts";
import { runningWith, uniqueSleep } from "../support/processes.ts";

let directory = "";
beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "opta-background-")));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const environment = { PATH: "/usr/local/bin:/usr/bin:/bin" };
const start = createBackgroundStarter({ environment });

type Told =
  | { readonly sessionId: string; readonly output: EventPayload<"background.output"> }
  | { readonly sessionId: string; readonly status: EventPayload<"background.status"> };

interface Place extends AsyncDisposable {
  readonly background: Background;
  readonly told: readonly Told[];
  /** Sessions that became idle, each with the number of events before. */
  readonly idle: readonly (readonly [string, number])[];
  /** Starts a command in session "s". */
  run(command: string, options?: Partial<Parameters<Background["start"]>[0]>): BackgroundProcess;
  /** Resolves with the process when it runs no more. */
  ended(started: BackgroundProcess): Promise<BackgroundProcess>;
  statuses(): readonly string[];
  /** The clock stands still but for this. */
  advance(ms: number): void;
}

/** `refuse` says which events cannot be stored. */
function createPlace(refuse: (kind: string) => unknown = () => undefined): Place {
  const told: Told[] = [];
  const idle: [string, number][] = [];
  let nowMs = 0;
  const background = createBackground({
    start,
    now: () => new Date(nowMs),
    emit(sessionId, kind, payload) {
      const refusal = refuse(kind);
      if (refusal !== undefined) throw refusal;
      // The generic kind ties the payload to it, which the compiler cannot follow here.
      const key = kind === "background.output" ? "output" : "status";
      told.push({ sessionId, [key]: payload } as unknown as Told);
    },
    onIdle: (sessionId) => void idle.push([sessionId, told.length]),
  });
  return {
    background,
    told,
    idle,
    run: (command, options) =>
      background.start({ sessionId: "s", command, directory, timeoutMs: 0, ...options }),
    async ended({ processId }) {
      await until(() => background.status({ processId }).state !== "running");
      return background.status({ processId });
    },
    statuses: () => told.flatMap((one) => ("status" in one ? [one.status.reason] : [])),
    advance: (ms) => void (nowMs += ms),
    [Symbol.asyncDispose]: () => background.closeAll(),
  };
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error("it did not come to pass within 10 s");
    await Bun.sleep(10);
  }
}

/** How many `sleep` of so many seconds run, without the shells whose text names it. */
async function sleeping(seconds: string): Promise<number> {
  const rows = await runningWith(`sleep ${seconds}`);
  return rows.filter((row) => new RegExp(`^\\S+\\s+sleep ${seconds}$`).test(row)).length;
}

const everything = { afterSeq: 0, limit: 500, stream: "both" } as const;
const epoch = new Date(0).toISOString();

function chunksOf(place: Place, { processId }: BackgroundProcess): readonly BackgroundChunk[] {
  return place.background.output({ processId, ...everything }).chunks;
}

function textOf(place: Place, process: BackgroundProcess): string {
  return chunksOf(place, process)
    .map(({ text }) => text)
    .join("");
}

describe("a background process is told", () => {
  test("from its start over both outputs to its end, in order", async () => {
    await using place = createPlace();
    const command = "echo one; sleep 0.1; echo two >&2; sleep 0.1; echo three";
    const started = place.run(command, { label: "counting", timeoutMs: 60_000 });
    expect(started).toEqual({
      processId: expect.stringMatching(/^proc_[\w-]{12}$/),
      sessionId: "s",
      pid: expect.any(Number),
      command,
      label: "counting",
      cwd: directory,
      state: "running",
      exitCode: null,
      startedAt: epoch,
      endedAt: null,
      runtimeMs: 0,
      timeoutMs: 60_000,
    });
    place.advance(1_500);
    const ended = await place.ended(started);
    const endedAt = new Date(1_500).toISOString();
    const { processId, pid } = started;
    const of = { processId, sessionId: "s", pid };
    const chunks: readonly BackgroundChunk[] = [
      { seq: 1, ts: endedAt, stream: "stdout", text: "one\n" },
      { seq: 2, ts: endedAt, stream: "stderr", text: "two\n" },
      { seq: 3, ts: endedAt, stream: "stdout", text: "three\n" },
    ];
    expect(place.told).toEqual([
      { sessionId: "s", status: { process: started, reason: "started" } },
      ...chunks.map((chunk) => ({ sessionId: "s", output: { ...chunk, ...of } })),
      {
        sessionId: "s",
        status: { process: ended, reason: "completed", previousState: "running" },
      },
    ]);
    expect(ended).toEqual({
      ...started,
      state: "completed",
      exitCode: 0,
      endedAt,
      runtimeMs: 1_500,
    });
    expect(place.background.output({ processId, ...everything })).toEqual({
      process: ended,
      chunks: [...chunks],
      nextSeq: 3,
      hasMore: false,
    });
  });

  test("as failed with its exit code, a missing program included", async () => {
    await using place = createPlace();
    expect(await place.ended(place.run("exit 3"))).toMatchObject({ state: "failed", exitCode: 3 });
    const missing = place.run("no-such-program-anywhere --serve");
    expect(await place.ended(missing)).toMatchObject({ state: "failed", exitCode: 127 });
    expect(textOf(place, missing)).toContain("no-such-program-anywhere: command not found");
    expect(place.statuses()).toEqual(["started", "failed", "started", "failed"]);
  });

  test("with the signal that ended it", async () => {
    await using place = createPlace();
    const process = await place.ended(place.run("kill -SEGV $$"));
    expect(process).toMatchObject({ state: "failed", exitCode: null });
    expect(place.told.at(-1)).toEqual({
      sessionId: "s",
      status: { process, reason: "failed", previousState: "running", signal: "SIGSEGV" },
    });
  });

  test("as a spawn error with its reason when it cannot be started", async () => {
    await using place = createPlace();
    const gone = join(directory, "gone");
    const process = place.run("true", { directory: gone });
    expect(process).toMatchObject({ state: "failed", exitCode: null, pid: 0, endedAt: epoch });
    expect(textOf(place, process)).toStartWith(`could not start in ${gone}: ENOENT`);
    expect(place.statuses()).toEqual(["spawn-error"]);
    expect(place.idle).toEqual([]);
    expect(place.background.runningIn("s")).toBe(0);
  });

  test("and its session as idle, when the last has ended and was told", async () => {
    await using place = createPlace();
    const first = place.run("sleep 60");
    await place.ended(place.run("true"));
    expect(place.idle).toEqual([]);
    await place.background.kill({ processId: first.processId, signal: "SIGTERM" });
    expect(place.idle).toEqual([["s", 4]]);
  });
});

describe("a background process ends", () => {
  test("by a kill with all it started, setsid included", async () => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGKILL"] as const) {
      await using place = createPlace();
      const seconds = uniqueSleep();
      const { processId } = place.run(`setsid sleep ${seconds} & (sleep ${seconds} &) ; sleep 60`);
      await until(async () => (await sleeping(seconds)) === 2);
      const { killed, process } = await place.background.kill({ processId, signal });
      expect(killed).toBe(true);
      expect(process).toMatchObject({ state: "killed", exitCode: null, endedAt: epoch });
      expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
      expect(place.told.at(-1)).toEqual({
        sessionId: "s",
        status: { process, reason: "killed", previousState: "running", signal },
      });
      expect(await place.background.kill({ processId, signal })).toEqual({
        killed: false,
        process,
      });
      expect(place.statuses()).toEqual(["started", "killed"]);
    }
  });

  test("soon by a second kill, however deaf to the first", async () => {
    await using place = createPlace();
    const started = place.run("trap '' TERM; echo deaf; while :; do sleep 0.02; done");
    await until(() => textOf(place, started) === "deaf\n");
    const { processId } = started;
    const startedMs = performance.now();
    const kills = [
      place.background.kill({ processId, signal: "SIGTERM" }),
      place.background.kill({ processId, signal: "SIGKILL" }),
    ];
    expect((await Promise.all(kills)).map(({ killed }) => killed)).toEqual([true, true]);
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    expect(place.statuses()).toEqual(["started", "killed"]);
  });

  test("by a signal from elsewhere to its pid alone", async () => {
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      await using place = createPlace();
      const seconds = uniqueSleep();
      const started = place.run(`sleep ${seconds} & sleep ${seconds}`);
      await until(async () => (await sleeping(seconds)) === 2);
      process.kill(started.pid, signal);
      expect(await place.ended(started)).toMatchObject({ state: "failed", exitCode: null });
      expect(place.told.at(-1)).toMatchObject({ status: { reason: "failed", signal } });
      expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
    }
  });

  test("by its timeout", async () => {
    await using place = createPlace();
    const seconds = uniqueSleep();
    const started = place.run(`echo before; sleep ${seconds}`, { timeoutMs: 300 });
    const process = await place.ended(started);
    expect(process).toMatchObject({ state: "timeout", exitCode: null, timeoutMs: 300 });
    expect(textOf(place, started)).toBe("before\n");
    expect(place.told.at(-1)).toEqual({
      sessionId: "s",
      status: { process, reason: "timeout", previousState: "running", signal: "SIGTERM" },
    });
    expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
  });

  test("of its own accord with what it left in the background", async () => {
    await using place = createPlace();
    const seconds = uniqueSleep();
    const started = place.run(`setsid sleep ${seconds} & echo left`);
    expect(await place.ended(started)).toMatchObject({ state: "completed", exitCode: 0 });
    expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
  });

  test("with its session, which forgets it", async () => {
    await using place = createPlace();
    const seconds = uniqueSleep();
    place.run(`sleep ${seconds}`);
    place.run(`trap '' TERM; while :; do sleep 0.02; done; sleep ${seconds}`);
    await place.ended(place.run("true"));
    const other = place.run("sleep 60", { sessionId: "other" });
    await place.background.endSession("s");
    expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
    expect(place.background.list().map(({ processId }) => processId)).toEqual([other.processId]);
    expect(place.statuses().filter((reason) => reason === "killed").length).toBe(2);
    expect(place.idle.map(([sessionId]) => sessionId)).toEqual(["s"]);
  });

  test("with the daemon, after which none can be started", async () => {
    const place = createPlace();
    const seconds = uniqueSleep();
    for (const sessionId of ["s", "other"]) place.run(`sleep ${seconds}`, { sessionId });
    await place.background.closeAll();
    expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
    expect(place.statuses()).toEqual(["started", "started", "killed", "killed"]);
    expect(() => place.run("true")).toThrow("opta is stopping");
  });
});

describe("background processes are limited", () => {
  test("to five that run in a session", async () => {
    await using place = createPlace();
    const first = place.run("sleep 60");
    for (let count = 2; count <= 5; count++) place.run("sleep 60");
    const refused = () => place.run("true");
    expect(refused).toThrow(
      new OptaError("state-conflict", "5 background processes run in session s: no more at a time"),
    );
    expect(place.background.runningIn("s")).toBe(5);
    expect(place.run("sleep 60", { sessionId: "other" }).state).toBe("running");
    await place.background.kill({ processId: first.processId, signal: "SIGKILL" });
    expect(place.run("sleep 60").state).toBe("running");
  });

  test("to twenty finished ones in a session, for five minutes", async () => {
    await using place = createPlace();
    const running = place.run("sleep 60");
    const finished: string[] = [];
    for (let count = 0; count < 22; count++) {
      const gone = join(directory, "gone");
      finished.push(place.run("true", { directory: gone }).processId);
    }
    const other = place.run("true", { directory: join(directory, "gone"), sessionId: "other" });
    const ids = (sessionId?: string) =>
      place.background.list(sessionId).map(({ processId }) => processId);
    expect(ids("s")).toEqual([running.processId, ...finished.slice(2)]);
    expect(ids()).toEqual([running.processId, ...finished.slice(2), other.processId]);
    place.advance(5 * 60_000);
    expect(ids().length).toBe(22);
    place.advance(1);
    expect(ids()).toEqual([running.processId]);
    expect(() => place.background.status({ processId: other.processId })).toThrow(OptaError);
  });
});

describe("the output of a background process", () => {
  test("is paged by seq, limit and stream", async () => {
    await using place = createPlace();
    const started = place.run(
      "for i in 1 2 3; do echo o$i; sleep 0.1; echo e$i >&2; sleep 0.1; done",
    );
    await place.ended(started);
    const { processId } = started;
    const page = (query: object) => {
      const { chunks, nextSeq, hasMore } = place.background.output({
        processId,
        ...everything,
        ...query,
      });
      return [chunks.map(({ seq, text }) => `${seq} ${text.trim()}`).join(), nextSeq, hasMore];
    };
    expect(page({ limit: 2 })).toEqual(["1 o1,2 e1", 2, true]);
    expect(page({ limit: 2, afterSeq: 2 })).toEqual(["3 o2,4 e2", 4, true]);
    expect(page({ limit: 2, afterSeq: 4 })).toEqual(["5 o3,6 e3", 6, false]);
    expect(page({ afterSeq: 6 })).toEqual(["", 6, false]);
    expect(page({ stream: "stderr", limit: 2 })).toEqual(["2 e1,4 e2", 4, true]);
    expect(page({ stream: "stdout", afterSeq: 1 })).toEqual(["3 o2,5 o3", 5, false]);
  });

  test("keeps its last MiB, and is told up to 4 MiB", async () => {
    await using place = createPlace();
    const started = place.run("seq -w 1000000; echo the end");
    await place.ended(started);
    const chunks = chunksOf(place, started);
    const kept = textOf(place, started);
    expect(kept).toEndWith("1000000\nthe end\n");
    expect(kept.length).toBeGreaterThan(900_000);
    expect(kept.length).toBeLessThanOrEqual(1024 * 1024);
    const last = chunks.at(-1)?.seq ?? 0;
    expect(chunks.map(({ seq }) => seq)).toEqual(
      chunks.map((_, index) => last - chunks.length + 1 + index),
    );
    expect(chunks[0]?.seq).toBeGreaterThan(1);
    const told = place.told.flatMap((one) => ("output" in one ? [one.output] : []));
    expect(told.map(({ seq }) => seq)).toEqual(told.map((_, index) => index + 1));
    const toldText = told.map(({ text }) => text).join("");
    expect(toldText).toStartWith("0000001\n0000002\n");
    expect(toldText.length).toBeGreaterThan(3.9 * 1024 * 1024);
    expect(toldText.length).toBeLessThan(4.1 * 1024 * 1024);
    expect(Math.max(...told.map(({ text }) => text.length))).toBeLessThanOrEqual(64 * 1024);
    expect(place.statuses()).toEqual(["started", "completed"]);
  });

  test("is bounded as well when it comes byte by byte", async () => {
    await using place = createPlace();
    const started = place.run("while :; do echo -n x; done");
    await Bun.sleep(1_000);
    await place.background.kill({ processId: started.processId, signal: "SIGKILL" });
    expect(chunksOf(place, started).length).toBeGreaterThan(0);
    expect(place.told.length).toBeLessThan(10_000);
  });

  test("has its characters whole, and a byte order mark and what is none as they are", async () => {
    await using place = createPlace();
    const split = place.run(
      String.raw`printf '\xef\xbb\xbf\xe2\x82'; sleep 0.2; printf '\xac!'; sleep 0.2; printf '\xf0\x9f'`,
    );
    await place.ended(split);
    expect(chunksOf(place, split).map(({ text }) => text)).toEqual(["\u{feff}", "€!", "\u{fffd}"]);
    const both = place.run(
      String.raw`printf '\xe2'; printf '\xc3' >&2; sleep 0.2; printf '\x82\xac'; printf '\xa4' >&2`,
    );
    await place.ended(both);
    const texts = chunksOf(place, both).map(({ stream, text }) => `${stream} ${text}`);
    expect(texts.toSorted()).toEqual(["stderr ä", "stdout €"]);
  });

  test("is no longer told once it cannot be stored, and the process goes on", async () => {
    let isFull = true;
    await using place = createPlace((kind) =>
      isFull && kind === "background.output"
        ? new OptaError("storage-full", "the disk is full")
        : undefined,
    );
    const started = place.run("echo one; sleep 0.2; echo two; sleep 0.2; echo three");
    await until(() => textOf(place, started) !== "");
    isFull = false;
    expect(await place.ended(started)).toMatchObject({ state: "completed", exitCode: 0 });
    expect(textOf(place, started)).toBe("one\ntwo\nthree\n");
    expect(place.told.map((one) => Object.keys(one)[1])).toEqual(["status", "status"]);
    expect(place.statuses()).toEqual(["started", "completed"]);
  });

  test("and state can be asked for when nothing at all can be stored", async () => {
    await using place = createPlace(() => new OptaError("storage-full", "the disk is full"));
    const started = place.run("echo one");
    expect(await place.ended(started)).toMatchObject({ state: "completed", exitCode: 0 });
    expect(textOf(place, started)).toBe("one\n");
    expect(place.told).toEqual([]);
    expect(place.idle).toEqual([["s", 0]]);
  });
});

test("an unknown process, or one of another session, is not found", async () => {
  await using place = createPlace();
  const { processId } = place.run("sleep 60");
  const { background } = place;
  expect(background.status({ processId, sessionId: "s" }).state).toBe("running");
  const unknown = [
    { processId: "proc_unknown", words: "there is no background process proc_unknown" },
    {
      processId,
      sessionId: "other",
      words: `there is no background process ${processId} in session other`,
    },
  ];
  for (const { words, ...name } of unknown) {
    const error = new OptaError("not-found", words);
    expect(() => background.status(name)).toThrow(error);
    expect(() => background.output({ ...name, ...everything })).toThrow(error);
    await expect(background.kill({ ...name, signal: "SIGTERM" })).rejects.toThrow(error);
  }
  expect(background.status({ processId }).state).toBe("running");
});

test("a process has the PATH it is started with", async () => {
  await using place = createPlace();
  const started = place.run('echo "$PATH"', { path: "/opt/tools:/usr/bin:/bin" });
  await place.ended(started);
  expect(textOf(place, started)).toBe("/opt/tools:/usr/bin:/bin\n");
});
