// What meets in a daemon on the built binary: deleting and starting, a full disk and a queue, settings that change
// while a turn waits, a session that two processes want. Each of these went wrong once.
import { describe, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { SessionDetail } from "../../src/protocol/session.ts";
import { startOpta } from "../support/binary.ts";
import {
  createSession,
  daemonEnvironment,
  isEndOf,
  rootOf,
  runBeside,
  startDaemon,
  storedEvents,
  submitTurn,
  turnEnd,
  until,
} from "../support/daemon.ts";
import { startScripted } from "../support/lmx.ts";
import { createPlace } from "../support/workspace.ts";

const canMount = process.platform === "linux" && process.getuid?.() === 0;

test("a process that is started while its session is deleted neither survives that nor ends the daemon", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  const sessionId = await createSession(daemon, place.workspace);
  const start = (command: string) => daemon.fetch("/v3/background/start", { sessionId, command });
  // It takes its time to end, so that the deletion waits for it.
  expect((await start("trap '' TERM; while true; do sleep 0.2; done")).status).toBe(201);
  await Bun.sleep(200);
  const deleted = fetch(`http://127.0.0.1:${daemon.state.port}/v3/sessions/${sessionId}`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${daemon.state.token}` },
  });
  await Bun.sleep(150);
  const meanwhile = await start("while true; do echo hi; sleep 0.1; done");
  expect((await deleted).status).toBe(200);
  expect(meanwhile.status).toBe(404);
  await Bun.sleep(300);
  expect((await daemon.fetch("/v3/health")).status).toBe(200);
  expect((await daemon.json<{ processes: unknown[] }>("/v3/background")).processes).toEqual([]);
});

describe("the lock of a session", () => {
  test("is free as soon as nothing of it runs, whoever made or resumed it", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "one" }, { text: "two" }] });
    const where = { place, modelPort: lmx.port };
    await using daemon = await startDaemon(where);
    const sessionId = await createSession(daemon, place.workspace);
    const embedded = (task: string) =>
      runBeside(where, "do", "--embedded", "--resume", sessionId, task);
    expect(await embedded("after it was made")).toMatchObject({ exitCode: 0, stdout: "one\n" });
    await daemon.json("/v3/sessions", { sessionId });
    await daemon.json(`/v3/sessions/${sessionId}/resume`, {});
    expect(await embedded("after it was resumed")).toMatchObject({ exitCode: 0, stdout: "two\n" });
  });

  test("whose file was removed is made anew under its id, or what is left of it deleted", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    const body = { sessionId: "mine", metadata: { workspace: place.workspace } };
    await daemon.json("/v3/sessions", body);
    const file = join(rootOf({ place }), "sessions/mine.json");
    rmSync(file);
    await daemon.json("/v3/sessions", body);
    expect(existsSync(file)).toBe(true);
    expect((await storedEvents(daemon, "mine")).map(({ seq }) => seq)).toEqual([1]);
    rmSync(file);
    const deleted = await fetch(`http://127.0.0.1:${daemon.state.port}/v3/sessions/mine`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${daemon.state.token}` },
    });
    expect(deleted.status).toBe(200);
    expect(await storedEvents(daemon, "mine")).toEqual([]);
  });
});

test("a cancel that finds nothing neither makes a session the newest nor stops a turn of somebody else", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [{ text: ["a", "b", "c", "d"], delays: { betweenChunksMs: 150 } }],
  });
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  const older = await createSession(daemon, place.workspace);
  await Bun.sleep(5);
  const newer = await createSession(daemon, place.workspace);
  await daemon.json(`/v3/sessions/${older}/cancel`, {});
  const { sessions } = await daemon.json<{ sessions: { sessionId: string }[] }>("/v3/sessions");
  expect(sessions.map(({ sessionId }) => sessionId)).toEqual([newer, older]);

  const turnId = await submitTurn(daemon, newer, { content: "go" });
  await until(async () => (await storedEvents(daemon, newer)).length > 3, "the first words");
  await daemon.json(`/v3/sessions/${newer}/cancel`, { writerId: "somebody else" });
  const kinds = (await turnEnd(daemon, newer, turnId)).map(({ event }) => event);
  expect(kinds).not.toContain("session.cancelled");
  expect(kinds).toContain("turn.done");
});

test("a turn runs under the permissions that hold when it starts, not when it was submitted", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [
      { text: "slow", delays: { firstTokenMs: 1_500 } },
      { toolCalls: [{ name: "run_command", arguments: { command: "touch ran" } }] },
      { text: "done" },
    ],
  });
  const where = { place, modelPort: lmx.port };
  place.configure({ permissions: { mode: "dangerous" } });
  await using daemon = await startDaemon(where);
  const sessionId = await createSession(daemon, place.workspace);
  await submitTurn(daemon, sessionId, { content: "first" });
  const second = await submitTurn(daemon, sessionId, { content: "second" });
  place.configure({ permissions: { mode: "plan" } });
  const events = await turnEnd(daemon, sessionId, second);
  expect(events.find(({ event }) => event === "tool.result")?.payload).toMatchObject({
    ok: false,
    outcome: "denied",
  });
  expect(existsSync(join(place.workspace, "ran"))).toBe(false);
});

test.skipIf(!canMount)(
  `a full disk ends the running turn and those that wait for it ${canMount ? "" : "(not run: only root can mount)"}`,
  async () => {
    using place = createPlace();
    const root = join(place.home, "small");
    mkdirSync(root, { mode: 0o700 });
    await Bun.$`mount -t tmpfs -o size=6m,mode=700 tmpfs ${root}`;
    try {
      await using lmx = await startScripted({
        turns: [{ repeat: { text: "word ", times: 100_000 }, delays: { betweenChunksMs: 1 } }],
        loop: true,
      });
      await using daemon = await startDaemon({ place, modelPort: lmx.port, root });
      const sessionId = await createSession(daemon, place.workspace);
      const turns = [
        await submitTurn(daemon, sessionId, { content: "A" }),
        await submitTurn(daemon, sessionId, { content: "B" }),
        await submitTurn(daemon, sessionId, { content: "C" }),
      ];
      fillDisk(join(root, "filler"));
      const last = await turnEnd(daemon, sessionId, turns[2] ?? "");
      for (const turnId of turns) {
        const ends = last.filter((event) => isEndOf(event, turnId));
        expect(ends.map(({ payload }) => payload)).toMatchObject([{ code: "storage-full" }]);
      }
      expect(last.map(({ seq }) => seq)).toEqual(last.map((_, index) => index + 1));
    } finally {
      await Bun.$`umount -l ${root}`.quiet();
    }
  },
);

/** To the last byte. */
function fillDisk(path: string): void {
  appendFileSync(path, "");
  const fd = openSync(path, "a");
  try {
    for (const size of [1024 * 1024, 64 * 1024, 4096, 1]) {
      try {
        for (;;) if (writeSync(fd, new Uint8Array(size)) === 0) break;
      } catch {
        continue; // full for pieces of this size
      }
    }
  } finally {
    closeSync(fd);
  }
}

test("kill -9 in the middle of an answer: what was told of it stays in the transcript", async () => {
  using place = createPlace({ "a.txt": "banana\n" });
  await using lmx = await startScripted({
    turns: [
      { text: "Looking.", toolCalls: [{ name: "read_file", arguments: { path: "a.txt" } }] },
      { text: ["It ", "is ", "a ", "fruit."], delays: { betweenChunksMs: 400 } },
    ],
  });
  const where = { place, modelPort: lmx.port };
  let sessionId: string;
  let told = "";
  {
    await using daemon = await startDaemon(where);
    sessionId = await createSession(daemon, place.workspace);
    await submitTurn(daemon, sessionId, { content: "what is it?" });
    await until(async () => {
      const events = await storedEvents(daemon, sessionId);
      told = events.flatMap((e) => (e.event === "turn.token" ? [e.payload.text] : [])).join("");
      return told.includes("is ");
    }, "the answer's beginning");
  }
  await using daemon = await startDaemon(where);
  const { messages } = await daemon.json<SessionDetail>(`/v3/sessions/${sessionId}`);
  const last = messages.at(-1);
  expect(messages.map(({ role }) => role)).toEqual([
    "system",
    "user",
    "assistant",
    "tool",
    "assistant",
  ]);
  expect(last).toMatchObject({ interrupted: true });
  // It may have gone on between the last look and the kill.
  expect(`Looking.${String(last?.content)}`).toStartWith(told);
});

test("Ctrl+C takes a waiting turn back at once, and leaves the one before it alone", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [{ text: "first", delays: { firstTokenMs: 3_000 } }],
  });
  const where = { place, modelPort: lmx.port };
  await using daemon = await startDaemon(where);
  const sessionId = await createSession(daemon, place.workspace);
  const first = await submitTurn(daemon, sessionId, { content: "first" });
  await using waiting = await startOpta(["do", "--attach", "--resume", sessionId, "second"], {
    cwd: place.workspace,
    home: place.home,
    env: daemonEnvironment(where),
  });
  await until(
    async () => (await daemon.json<SessionDetail>(`/v3/sessions/${sessionId}`)).queuedTurns === 1,
    "the second turn in the queue",
  );
  waiting.process.kill("SIGINT");
  expect(await waiting.process.exited).toBe(130);
  const events = await turnEnd(daemon, sessionId, first);
  // The second one ended while the first still ran.
  const ends = events.filter(({ event }) => event === "turn.error" || event === "turn.done");
  expect(ends.map(({ event }) => event)).toEqual(["turn.error", "turn.done"]);
});
