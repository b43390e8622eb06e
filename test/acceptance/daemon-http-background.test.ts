// Background processes over the daemon's HTTP, on the built binary: started in a session's workspace, told by events,
// asked about and ended (contracts/daemon-v3.md section 2).
import { expect, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { BackgroundChunk, BackgroundProcess } from "../../src/protocol/background.ts";
import type { OptaEvent } from "../../src/protocol/event.ts";
import { isRunning, type RunningDaemon, startDaemon, until } from "../support/daemon.ts";
import { call, eventsIn } from "../support/daemon-http.ts";
import { createPlace, type Place } from "../support/workspace.ts";

async function createSession(daemon: RunningDaemon, place: Place, sessionId = "a") {
  const metadata = { workspace: place.workspace, path: process.env["PATH"] };
  await call(daemon, "session.create", { sessionId, metadata });
}

async function start(daemon: RunningDaemon, params: object): Promise<BackgroundProcess> {
  const { status, body } = await call(daemon, "background.start", { sessionId: "a", ...params });
  expect([status, body]).toEqual([201, { process: expect.anything() }]);
  return (body as { readonly process: BackgroundProcess }).process;
}

/** The process and what was told of it, once it has ended. */
async function endOf(daemon: RunningDaemon, { processId, sessionId }: BackgroundProcess) {
  let events: OptaEvent[] = [];
  const statuses = () =>
    events.flatMap((each) =>
      each.event === "background.status" && each.payload.process.processId === processId
        ? [each.payload]
        : [],
    );
  await until(async () => {
    events = await eventsIn(daemon, sessionId);
    return statuses().some(({ reason }) => reason !== "started");
  }, "the process's end");
  const output = events.flatMap((each) =>
    each.event === "background.output" && each.payload.processId === processId
      ? [each.payload]
      : [],
  );
  return { statuses: statuses(), output };
}

test("a process runs in the session's workspace, and status, output and events tell the same of it", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  await createSession(daemon, place);
  const command = "pwd; echo problem >&2; exit 3";
  const started = await start(daemon, { command, label: "a build", fancy: true });
  expect(started).toEqual({
    processId: started.processId,
    sessionId: "a",
    pid: started.pid,
    command,
    label: "a build",
    cwd: place.workspace,
    state: "running",
    exitCode: null,
    startedAt: started.startedAt,
    endedAt: null,
    runtimeMs: started.runtimeMs,
    timeoutMs: 300_000,
  });
  const { statuses, output } = await endOf(daemon, started);
  expect(statuses).toMatchObject([
    { reason: "started", process: { state: "running" } },
    { reason: "failed", previousState: "running", process: { state: "failed", exitCode: 3 } },
  ]);
  const { processId, pid } = started;
  for (const chunk of output) expect(chunk).toMatchObject({ processId, pid, sessionId: "a" });
  const { body } = await call(daemon, "background.status", { processId });
  expect(body).toMatchObject({ process: { ...statuses.at(-1)?.process } });
  const ask = async (query: object) => {
    const answer = await call(daemon, "background.output", { processId, ...query });
    return answer.body as {
      readonly chunks: readonly BackgroundChunk[];
      readonly nextSeq: number;
      readonly hasMore: boolean;
    };
  };
  const all = await ask({});
  expect(all.chunks).toEqual(
    output.map(({ seq, ts, stream, text }) => ({ seq, ts, stream, text })),
  );
  const textOf = (stream: string) =>
    all.chunks.map((chunk) => (chunk.stream === stream ? chunk.text : "")).join("");
  expect([textOf("stdout"), textOf("stderr")]).toEqual([`${place.workspace}\n`, "problem\n"]);
  expect([all.nextSeq, all.hasMore]).toEqual([all.chunks.at(-1)?.seq ?? -1, false]);
  expect(await ask({ stream: "stderr" })).toMatchObject({ chunks: [{ text: "problem\n" }] });
  const first = await ask({ limit: 1 });
  expect([first.chunks, first.hasMore]).toEqual([all.chunks.slice(0, 1), true]);
  expect((await ask({ afterSeq: first.nextSeq })).chunks).toEqual(all.chunks.slice(1));
  expect((await call(daemon, "background.list", { sessionId: "a" })).body).toMatchObject({
    processes: [{ processId, state: "failed" }],
  });
});

test("kill ends a process and all it started, and says so once", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  await createSession(daemon, place);
  const started = await start(daemon, {
    command: "sleep 60 & echo $! > child; wait",
    timeoutMs: 0,
  });
  const childPath = join(place.workspace, "child");
  await until(async () => (await Bun.file(childPath).exists()) && place.read("child") !== "", "it");
  const childPid = Number(place.read("child"));
  const { processId } = started;
  const killed = await call(daemon, "background.kill", { processId, signal: "SIGINT" });
  expect(killed.body).toMatchObject({ killed: true, process: { processId, state: "killed" } });
  await until(() => !isRunning(childPid) && !isRunning(started.pid), "their end");
  const { statuses } = await endOf(daemon, started);
  expect(statuses).toMatchObject([{ reason: "started" }, { reason: "killed", signal: "SIGINT" }]);
  const again = await call(daemon, "background.kill", { processId });
  expect(again.body).toMatchObject({ killed: false, process: { state: "killed" } });
});

test("a timeout ends a process; one that cannot be started is told as failed", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  await createSession(daemon, place);
  const slow = await start(daemon, { command: "sleep 60", timeoutMs: 50 });
  expect((await endOf(daemon, slow)).statuses).toMatchObject([
    { reason: "started" },
    { reason: "timeout", process: { state: "timeout" } },
  ]);
  const unknown = await start(daemon, { command: "no-such-program-here" });
  expect((await endOf(daemon, unknown)).statuses).toMatchObject([
    { reason: "started" },
    { reason: "failed", process: { exitCode: 127 } },
  ]);
});

test("a sixth process of a session is a 409, one of another session is not", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  await createSession(daemon, place);
  await createSession(daemon, place, "b");
  const params = { sessionId: "a", command: "sleep 60" };
  const atOnce = await Promise.all(
    Array.from({ length: 6 }, () => call(daemon, "background.start", params)),
  );
  expect(atOnce.map(({ status }) => status).toSorted()).toEqual([201, 201, 201, 201, 201, 409]);
  expect(atOnce.find(({ status }) => status === 409)?.body).toMatchObject({
    code: "state-conflict",
    error: expect.stringContaining("5 background processes run in session a"),
  });
  await start(daemon, { sessionId: "b", command: "sleep 60" });
  const listed = async (query: object) => {
    const { body } = await call(daemon, "background.list", { ...query });
    return (body as { readonly processes: readonly BackgroundProcess[] }).processes;
  };
  expect((await listed({})).length).toBe(6);
  expect((await listed({ sessionId: "b" })).map(({ sessionId }) => sessionId)).toEqual(["b"]);
  const pids = (await listed({})).map(({ pid }) => pid);
  // They end with their session, and with the daemon.
  await call(daemon, "session.delete", { sessionId: "b" });
  expect((await listed({})).length).toBe(5);
  daemon.process.kill("SIGTERM");
  expect(await daemon.process.exited).toBe(0);
  await until(() => !pids.some(isRunning), "the processes' end");
});

test("what is unknown is a 404, what is malformed a 400, what the user's rules deny a 409", async () => {
  using place = createPlace();
  place.configure({
    permissions: { rules: [{ decision: "deny", tool: "run_command", prefix: ["rm"] }] },
  });
  await using daemon = await startDaemon({ place });
  await createSession(daemon, place);
  await createSession(daemon, place, "b");
  const running = await start(daemon, { command: "sleep 60" });
  const { processId } = running;
  const named = ["background.status", "background.output", "background.kill"] as const;
  for (const name of named) {
    for (const params of [{ processId: "proc_none" }, { processId, sessionId: "b" }]) {
      const { status, body } = await call(daemon, name, params);
      expect([name, status, body]).toMatchObject([name, 404, { code: "not-found" }]);
    }
  }
  const refused = [
    ["background.list", { sessionId: "none" }, 404],
    ["background.start", { sessionId: "none", command: "true" }, 404],
    ["background.start", { sessionId: "a", command: "rm x" }, 409],
    ["background.start", { sessionId: "a", command: " " }, 400],
    ["background.start", { sessionId: "a" }, 400],
    ["background.start", { command: "true" }, 400],
    ["background.start", { sessionId: "a", command: "true", timeoutMs: -1 }, 400],
    ["background.start", { sessionId: "a", command: "true", timeoutMs: 86_400_001 }, 400],
    ["background.output", { processId, limit: 0 }, 400],
    ["background.output", { processId, limit: 501 }, 400],
    ["background.output", { processId, afterSeq: -1 }, 400],
    ["background.output", { processId, stream: "stdin" }, 400],
    ["background.kill", { processId, signal: "SIGSTOP" }, 400],
  ] as const;
  for (const [name, params, expected] of refused) {
    const { status } = await call(daemon, name, params);
    expect([name, params, status]).toEqual([name, params, expected]);
  }
  expect((await call(daemon, "background.status", { processId })).body).toMatchObject({
    process: { state: "running" },
  });
});

test("a directory below the workspace can be named", async () => {
  using place = createPlace();
  mkdirSync(join(place.workspace, "sub"));
  await using daemon = await startDaemon({ place });
  await createSession(daemon, place);
  const started = await start(daemon, { command: "pwd", cwd: "sub" });
  expect(started.cwd).toBe(join(place.workspace, "sub"));
  const { output } = await endOf(daemon, started);
  expect(output.map(({ text }) => text).join("")).toBe(`${join(place.workspace, "sub")}\n`);
  const gone = { sessionId: "a", command: "pwd", cwd: "none" };
  expect(await call(daemon, "background.start", gone)).toMatchObject({ status: 404 });
});

test("a process that went down with its daemon is told as killed once the next one is there, and only once", async () => {
  using place = createPlace();
  await using first = await startDaemon({ place });
  await createSession(first, place);
  const started = await start(first, { command: "echo up; sleep 600" });
  const other = await start(first, { command: "true" });
  await endOf(first, other);
  first.process.kill("SIGKILL");
  await first.process.exited;
  await until(() => !isRunning(started.pid), "the process's end");
  for (const restart of ["first", "second"]) {
    await using next = await startDaemon({ place });
    const { statuses } = await endOf(next, started);
    const { endedAt, runtimeMs } = statuses.at(-1)!.process;
    expect([restart, statuses]).toEqual([
      restart,
      [
        { reason: "started", process: expect.objectContaining({ state: "running" }) },
        {
          reason: "killed",
          previousState: "running",
          signal: "SIGKILL",
          process: { ...started, state: "killed", endedAt, runtimeMs },
        },
      ],
    ]);
    expect(Date.parse(endedAt ?? "")).toBeGreaterThanOrEqual(Date.parse(started.startedAt));
    expect((await endOf(next, other)).statuses).toHaveLength(2);
    next.process.kill("SIGKILL");
    await next.process.exited;
  }
});

test("and so it is where the session's file is gone", async () => {
  using place = createPlace();
  await using first = await startDaemon({ place });
  await createSession(first, place);
  const started = await start(first, { command: "sleep 600" });
  first.process.kill("SIGKILL");
  await first.process.exited;
  rmSync(join(place.home, ".config/opta/sessions/a.json"));
  await using next = await startDaemon({ place });
  const { statuses } = await endOf(next, started);
  expect(statuses.map(({ reason }) => reason)).toEqual(["started", "killed"]);
});
