// The daemon's life on the built binary (promises D1 to D4, D6, S2): one owner per directory, nobody else's process
// ever signalled, ports that are taken, an end in good order at any moment, an end after a defect, lax directories.
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { completeHistory } from "../../src/engine/message-history.ts";
import type { OptaEvent } from "../../src/protocol/event.ts";
import { daemonPaths } from "../../src/store/daemon-place.ts";
import { readDaemonState } from "../../src/store/daemon-state.ts";
import { opta } from "../support/binary.ts";
import { createRandom } from "../support/command-lines.ts";
import {
  createSession,
  type DaemonWhere,
  daemonEnvironment,
  eventsOnDisk,
  freePort,
  guardDaemon,
  isEndOf,
  isRunning,
  rootOf,
  runBeside,
  type RunningDaemon,
  startDaemon,
  storedEvents,
  submitTurn,
  turnEnd,
  until,
} from "../support/daemon.ts";
import { startScripted } from "../support/lmx.ts";
import { runningWith, uniqueSleep } from "../support/processes.ts";
import { rounds, roundsLimitMs } from "../support/rounds.ts";
import { countWakeUps } from "../support/wake-ups.ts";
import { createPlace } from "../support/workspace.ts";

/** Privileged, or in use, on many machines. */
function canListenOn(port: number): boolean {
  try {
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => undefined } }).stop(true);
    return true;
  } catch {
    return false;
  }
}

/** What `daemon start --json` and `status --json` say of a daemon. */
interface ShownState {
  readonly pid: number;
  readonly daemonId: string;
  readonly port: number;
}

describe("one daemon per directory (D1):", () => {
  const startsAtOnce = rounds({ usual: 20, promised: 50 });
  const startRounds = rounds({ usual: 5, promised: 100 });
  test(
    `${startsAtOnce} starts at once, ${startRounds} times: one owner, one token, everybody told the same`,
    async () => {
      using place = createPlace();
      const where = { place };
      await using _ = guardDaemon(where);
      for (let round = 1; round <= startRounds; round++) {
        const port = freePort();
        const paths = daemonPaths(rootOf(where));
        const runs = await Promise.all(
          Array.from({ length: startsAtOnce }, async () => {
            const started = await runBeside(
              where,
              "daemon",
              "start",
              "--json",
              "--port",
              String(port),
            );
            return { ...started, token: readDaemonState(paths)?.token };
          }),
        );
        expect(runs.map(({ exitCode, stderr }) => ({ exitCode, stderr }))).toEqual(
          runs.map(() => ({ exitCode: 0, stderr: "" })),
        );
        expect(new Set(runs.map(({ stdout }) => stdout)).size).toBe(1);
        expect(new Set(runs.map(({ token }) => token)).size).toBe(1);
        const shown = JSON.parse(runs[0]!.stdout) as ShownState;
        expect(readDaemonState(paths)).toMatchObject({ ...shown, token: runs[0]!.token! });
        // Those that came second have gone, and left nothing.
        const own = `daemon run --port ${port}`;
        await until(async () => (await runningWith(own)).length === 1, "the losers' end");
        expect(isRunning(shown.pid)).toBe(true);
        expect((await runBeside(where, "daemon", "stop")).stdout).toBe("daemon stopped\n");
        expect(await runningWith(own)).toEqual([]);
      }
    },
    roundsLimitMs(120_000),
  );

  test("only the one that started it says so; a second `daemon run` exits 3 and names pid and port", async () => {
    using place = createPlace();
    const where = { place };
    await using _ = guardDaemon(where);
    const port = String(freePort());
    const runs = await Promise.all(
      Array.from({ length: 6 }, () => runBeside(where, "daemon", "start", "--port", port)),
    );
    const { pid } = readDaemonState(daemonPaths(rootOf(where)))!;
    const at = `http://127.0.0.1:${port} (pid ${pid})\n`;
    expect(runs.map(({ stdout }) => stdout).toSorted()).toEqual([
      ...Array.from({ length: 5 }, () => `daemon already running, ${at}`),
      `daemon started, ${at}`,
    ]);
    for (const words of [[], ["--port", String(freePort())]]) {
      expect(await runBeside(where, "daemon", "run", ...words)).toMatchObject({
        exitCode: 3,
        stdout: "",
        stderr: `opta: a daemon is running already (pid ${pid}) on port ${port}\n  opta daemon status\n`,
      });
    }
  });
});

describe("nobody else's process is taken for the daemon (D2):", () => {
  test("a live foreign pid in state.json and a lock file nobody holds", async () => {
    using place = createPlace();
    const where = { place };
    await using _ = guardDaemon(where);
    const foreign = Bun.spawn(["sleep", uniqueSleep()]);
    try {
      const port = freePort();
      leaveState(where, { pid: foreign.pid, port });
      expect(await runBeside(where, "daemon", "status")).toMatchObject({
        exitCode: 0,
        stdout: "daemon not running\n",
      });
      expect(await runBeside(where, "daemon", "stop")).toMatchObject({
        exitCode: 0,
        stdout: "daemon not running\n",
      });
      expect(isRunning(foreign.pid)).toBe(true);
      expect(existsSync(daemonPaths(rootOf(where)).state)).toBe(false);

      leaveState(where, { pid: foreign.pid, port });
      const started = await runBeside(where, "daemon", "start", "--json", "--port", String(port));
      expect(started).toMatchObject({ exitCode: 0, stderr: "" });
      expect((JSON.parse(started.stdout) as ShownState).pid).not.toBe(foreign.pid);
      expect(await runBeside(where, "daemon", "restart", "--port", String(port))).toMatchObject({
        exitCode: 0,
      });
      expect(await runBeside(where, "daemon", "stop")).toMatchObject({
        stdout: "daemon stopped\n",
      });
      expect(isRunning(foreign.pid)).toBe(true);
    } finally {
      foreign.kill("SIGKILL");
    }
  });

  test("a state.json whose port belongs to another server: nobody attaches to that", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "from the model" }] });
    const asked: string[] = [];
    const other = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch(request) {
        asked.push(new URL(request.url).pathname);
        const contract = { name: "opta-daemon-v3", version: 1 };
        return Response.json({ status: "ok", daemonId: "daemon_other", contract, settings: "" });
      },
    });
    try {
      const where = { place, modelPort: lmx.port };
      leaveState(where, { pid: process.pid, port: other.port! });
      expect((await runBeside(where, "daemon", "status")).stdout).toBe("daemon not running\n");
      expect(
        JSON.parse((await runBeside(where, "daemon", "status", "--json")).stdout),
      ).toMatchObject({
        running: false,
        state: null,
      });
      expect(await runBeside(where, "do", "--attach", "hi")).toMatchObject({
        exitCode: 1,
        stderr: "opta: no daemon is running\n  opta daemon start\n",
      });
      expect(await runBeside(where, "do", "hi")).toMatchObject({
        exitCode: 0,
        stdout: "from the model\n",
      });
      expect((await runBeside(where, "daemon", "stop")).stdout).toBe("daemon not running\n");
      expect(asked).toEqual([]);
    } finally {
      await other.stop(true);
    }
  });

  test("a running daemon whose state.json names another server: that one does not know its id", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "from the model" }] });
    const other = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => Response.json({ contract: { name: "opta-daemon-v3", version: 1 } }),
    });
    const where = { place, modelPort: lmx.port };
    await using daemon = await startDaemon(where);
    try {
      leaveState(where, { ...daemon.state, port: other.port! });
      expect((await runBeside(where, "daemon", "status")).stdout).toBe("daemon not answering\n");
      expect(await runBeside(where, "do", "hi")).toMatchObject({
        exitCode: 0,
        stdout: "from the model\n",
      });
      // The lock's holder is told to go by its pid, which only it can have written.
      expect((await runBeside(where, "daemon", "stop")).stdout).toBe("daemon stopped\n");
      expect(await daemon.process.exited).toBe(0);
    } finally {
      await other.stop(true);
    }
  });
});

describe("a port that is taken (D3):", () => {
  const pool = Array.from({ length: 21 }, (_, index) => 10_000 + index);

  for (const hostname of ["127.0.0.1", "0.0.0.0", "::"]) {
    test(`9999 held on ${hostname}: one of 10000 to 10020 is taken instead`, async () => {
      using place = createPlace();
      const where = { place };
      await using _ = guardDaemon(where);
      using _held = holdPort(9999, hostname);
      const started = await runBeside(where, "daemon", "start", "--json");
      expect(started).toMatchObject({ exitCode: 0, stderr: "" });
      const { port, daemonId } = JSON.parse(started.stdout) as ShownState;
      expect(pool).toContain(port);
      const { token } = readDaemonState(daemonPaths(rootOf(where)))!;
      const health = await fetch(`http://127.0.0.1:${port}/v3/health`, {
        headers: { authorization: `Bearer ${token}` },
      });
      expect(await health.json()).toMatchObject({ daemonId });
    });
  }

  test("all of them are taken: a clear error, and nothing is left", async () => {
    using place = createPlace();
    const where = { place };
    using _held = disposeAll([9999, ...pool].map((port) => holdPort(port, "127.0.0.1")));
    expect(await runBeside(where, "daemon", "run")).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: "opta: ports 9999 and 10000 to 10020 are all in use\n  opta daemon start --port N\n",
    });
    expect(existsSync(daemonPaths(rootOf(where)).state)).toBe(false);
  });

  test("--port of a taken one: a clear error, and nothing is left", async () => {
    using place = createPlace();
    const where = { place };
    const port = freePort();
    using _held = holdPort(port, "127.0.0.1");
    expect(await runBeside(where, "daemon", "start", "--port", String(port))).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: `opta: the daemon could not start: port ${port} is in use by another program\n  opta daemon start   (takes a free one)\n`,
    });
    const paths = daemonPaths(rootOf(where));
    expect(existsSync(paths.state)).toBe(false);
    expect(existsSync(paths.lock)).toBe(false);
    expect(await runningWith(`daemon run --port ${port}`)).toEqual([]);
  });

  test("held by the daemon of another directory: both live, and each is stopped alone", async () => {
    using one = createPlace();
    using other = createPlace();
    await using first = await startDaemon({ place: one });
    const port = String(first.state.port);
    const where = { place: other };
    await using _ = guardDaemon(where);
    expect(await runBeside(where, "daemon", "start", "--port", port)).toMatchObject({
      exitCode: 1,
    });
    using _held = holdPort(9999, "127.0.0.1");
    expect(await runBeside(where, "daemon", "start")).toMatchObject({ exitCode: 0 });
    const second = readDaemonState(daemonPaths(rootOf(where)))!;
    expect(second.port).not.toBe(first.state.port);
    expect(second.token).not.toBe(first.state.token);
    expect((await runBeside(where, "daemon", "stop")).stdout).toBe("daemon stopped\n");
    expect(await first.json<{ daemonId: string }>("/v3/health")).toMatchObject({
      daemonId: first.state.daemonId,
    });
  });
});

test.skipIf(process.platform !== "linux")(
  "a daemon that waits has no timer: nothing wakes it, also after work (lesson 33)",
  async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "hello" }] });
    const where = { place, modelPort: lmx.port };
    await using _ = guardDaemon(where);
    await runBeside(where, "daemon", "start", "--port", String(freePort()));
    expect((await runBeside(where, "do", "--attach", "hi")).stdout).toBe("hello\n");
    const { pid } = readDaemonState(daemonPaths(rootOf(where)))!;
    // What the turn set going is over by then.
    await Bun.sleep(6_000);
    // One a second would be a timer.
    expect(await countWakeUps(pid, 5_000)).toBeLessThan(4);
  },
  60_000,
);

describe("SIGTERM (D4)", () => {
  const seed = 20_261_128;
  const moments = rounds({ usual: 30, promised: 200 });
  test(
    `at ${moments} moments of a turn (seed ${seed}): exit 0 in time, every turn ended, no process left`,
    async () => {
      const random = createRandom(seed);
      // Drawn at once, so that a round's numbers do not depend on what happened in the ones before.
      const rounds = Array.from({ length: moments }, () => ({
        afterMs: random.below(600),
        asks: random.below(10) < 3,
        inBackground: random.below(10) < 4,
      }));
      const wrong: object[] = [];
      const remaining = rounds.values();
      const worker = async () => {
        for (const round of remaining) {
          const found = await terminateInTurn(round);
          if (found.length > 0) wrong.push({ ...round, found });
        }
      };
      await Promise.all(Array.from({ length: sideBySide }, worker));
      expect(wrong).toEqual([]);
    },
    roundsLimitMs(180_000),
  );

  test("and a second one ends it at once; the next start ends what was left", async () => {
    using place = createPlace();
    const marker = uniqueSleep();
    // It takes a second to be killed: SIGTERM means nothing to it.
    const command = `trap '' TERM; touch started; sleep ${marker}; sleep ${marker}`;
    await using lmx = await startScripted({
      turns: [{ toolCalls: [{ name: "run_command", arguments: { command } }] }],
    });
    const where = { place, modelPort: lmx.port };
    await using daemon = await startDaemon(where);
    const sessionId = await createSession(daemon, place.workspace);
    const overrides = { dangerous: true };
    const turnId = await submitTurn(daemon, sessionId, { content: "go", overrides });
    await until(() => existsSync(join(place.workspace, "started")), "the command");
    daemon.process.kill("SIGTERM");
    await until(() => !existsSync(daemon.paths.state), "the daemon's farewell");
    daemon.process.kill("SIGTERM");
    expect(await daemon.process.exited).toBe(0);
    // It did not wait for the command's end, and so not for the turn's.
    expect(endsOf(eventsOnDisk(daemon.paths, sessionId), turnId)).toEqual([]);
    await until(async () => (await runningWith(marker)).length === 0, "the command's end");

    await using next = await startDaemon(where);
    expect(endsOf(await storedEvents(next, sessionId), turnId)).toEqual(["daemon-restarted"]);
  });

  test("ends in time beside sixty processes that are deaf to it, in sixteen sessions", async () => {
    using place = createPlace();
    const marker = uniqueSleep();
    const deaf = `trap '' TERM; echo ready; while :; do sleep ${marker}; done`;
    const turns = [{ toolCalls: [{ name: "run_command", arguments: { command: deaf } }] }];
    await using lmx = await startScripted({ turns, loop: true });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    const started: { readonly sessionId: string; readonly turnId: string }[] = [];
    for (let session = 0; session < 16; session++) {
      const sessionId = await createSession(daemon, place.workspace);
      const overrides = { dangerous: true };
      const turnId = await submitTurn(daemon, sessionId, { content: "go", overrides });
      started.push({ sessionId, turnId });
      for (let process = 0; process < 3; process++) {
        await daemon.json("/v3/background/start", { sessionId, command: deaf });
      }
    }
    const sleeping = async () => {
      const lines = await runningWith(`sleep ${marker}`);
      return lines.filter((line) => !line.includes("trap")).length;
    };
    await until(async () => (await sleeping()) === 64, "the processes");
    daemon.process.kill("SIGTERM");
    const exit = await Promise.race([daemon.process.exited, Bun.sleep(stopLimitMs)]);
    expect(exit).toBe(0);
    for (const { sessionId, turnId } of started) {
      const ends = endsOf(eventsOnDisk(daemon.paths, sessionId), turnId);
      expect(ends).toEqual(["daemon-stopping"]);
    }
    expect(await runningWith(marker)).toEqual([]);
  }, 60_000);

  test("lets no turn go on while a process beside it takes its time to end", async () => {
    using place = createPlace();
    const marker = uniqueSleep();
    await using lmx = await startScripted({
      loop: true,
      turns: [{ repeat: { text: "word ", times: 30 }, delays: { betweenChunksMs: 5 } }],
    });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    const sessionId = await createSession(daemon, place.workspace);
    const command = `trap '' TERM; echo ready; sleep ${marker}; sleep ${marker}`;
    await daemon.json("/v3/background/start", { sessionId, command });
    await until(async () => {
      const events = await storedEvents(daemon, sessionId);
      return events.some(({ event }) => event === "background.output");
    }, "the process");
    for (const content of ["one", "two", "three", "four", "five", "six", "seven", "eight"]) {
      await submitTurn(daemon, sessionId, { content });
    }
    await until(() => lmx.requests.length > 0, "the first request");
    daemon.process.kill("SIGTERM");
    await until(() => !existsSync(daemon.paths.state), "the daemon's farewell");
    expect(await daemon.process.exited).toBe(0);
    const kinds = eventsOnDisk(daemon.paths, sessionId).map(({ event }) => event);
    // It lasted a second, in which they all would have been answered.
    expect(kinds.lastIndexOf("background.status")).toBeGreaterThan(kinds.lastIndexOf("turn.error"));
    expect(kinds.filter((kind) => kind === "turn.done").length).toBeLessThan(3);
    expect(kinds.filter((kind) => kind === "turn.error").length).toBeGreaterThan(5);
  });

  test("refuses turns and new clients from then on", async () => {
    using place = createPlace();
    const marker = uniqueSleep();
    const command = `trap '' TERM; touch started; sleep ${marker}; sleep ${marker}`;
    await using lmx = await startScripted({
      turns: [{ toolCalls: [{ name: "run_command", arguments: { command } }] }],
    });
    const where = { place, modelPort: lmx.port };
    await using daemon = await startDaemon(where);
    const sessionId = await createSession(daemon, place.workspace);
    const overrides = { dangerous: true };
    await submitTurn(daemon, sessionId, { content: "go", overrides });
    await until(() => existsSync(join(place.workspace, "started")), "the command");
    daemon.process.kill("SIGTERM");
    await until(() => !existsSync(daemon.paths.state), "the daemon's farewell");
    const body = { clientId: "test", writerId: "test", mode: "do", content: "more" };
    const refused = await daemon.fetch(`/v3/sessions/${sessionId}/turns`, body);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: "daemon-stopping" });
    expect((await runBeside(where, "daemon", "status")).stdout).toBe("daemon not running\n");
    expect(await daemon.process.exited).toBe(0);
  });
});

test("a daemon whose state cannot be read, or with settings that cannot, is told as what it is", async () => {
  using place = createPlace();
  const where = { place };
  await using daemon = await startDaemon(where);
  const settings = join(rootOf(where), "config.json");
  // Before it was asked for anything: it has no last good settings.
  writeFileSync(settings, "{");
  const says = expect.stringContaining(`${settings}:`);
  expect(await runBeside(where, "daemon", "status")).toMatchObject({
    exitCode: 0,
    stdout: "daemon not answering\n",
    stderr: says,
  });
  expect(await runBeside(where, "daemon", "status", "--json")).toMatchObject({ exitCode: 0 });
  // They are the command's own as well.
  expect(await runBeside(where, "do", "--attach", "hi")).toMatchObject({
    exitCode: 2,
    stderr: expect.not.stringContaining("daemon"),
  });
  rmSync(settings);
  writeFileSync(daemon.paths.state, "garbage");
  expect(await runBeside(where, "daemon", "status")).toMatchObject({
    exitCode: 0,
    stdout: "daemon not answering\n",
    stderr: "  opta daemon restart\n",
  });
  expect(await runBeside(where, "do", "--attach", "hi")).toMatchObject({
    exitCode: 1,
    stderr: "opta: the daemon is not to be found\n  opta daemon restart\n",
  });
  expect((await runBeside(where, "daemon", "stop")).stdout).toBe("daemon stopped\n");
  expect(await daemon.process.exited).toBe(0);
});

test("a daemon whose environment is what is wrong is told so, and worked around", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ loop: true, turns: [{ text: "by itself" }] });
  const where = { place, modelPort: lmx.port };
  await using daemon = await startDaemon({ place, env: { OPTA_PORT: "abc" } });
  const trouble =
    'the daemon cannot serve: OPTA_PORT: connection.port must be a number, but is "abc"';
  const mend = "  opta daemon restart\n";
  expect(await runBeside(where, "do", "hi")).toMatchObject({
    exitCode: 0,
    stdout: "by itself\n",
    stderr: `opta: ${trouble}: working without it\n`,
  });
  expect(await runBeside(where, "do", "--attach", "hi")).toMatchObject({
    exitCode: 2,
    stderr: `opta: ${trouble}\n${mend}`,
  });
  expect(await runBeside(where, "daemon", "status")).toMatchObject({
    exitCode: 0,
    stdout: "daemon not answering\n",
    stderr: `opta: ${trouble}\n${mend}`,
  });
  const doctor = await runBeside(where, "doctor");
  expect([doctor.exitCode, doctor.stdout]).toEqual([1, expect.stringContaining(trouble)]);
  expect(doctor.stdout).toContain(`127.0.0.1:${lmx.port} answers`);
  expect((await runBeside(where, "daemon", "restart")).exitCode).toBe(0);
  await using _ = guardDaemon(where);
  expect(await daemon.process.exited).toBe(0);
  expect(await runBeside(where, "do", "--attach", "hi")).toMatchObject({ exitCode: 0 });
});

test.skipIf(!canListenOn(80))(
  "a daemon on the port of http is found by names without a port",
  async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place, port: 80 });
    expect((await runBeside({ place }, "daemon", "status")).stdout).toContain("127.0.0.1:80\n");
    const foreign = await fetch("http://127.0.0.1/health", { headers: { host: "example.com" } });
    expect([daemon.state.port, foreign.status]).toEqual([80, 403]);
  },
);

test("a daemon that is slow to answer is waited for, not gone around", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
  const where = { place, modelPort: lmx.port };
  await using daemon = await startDaemon(where);
  daemon.process.kill("SIGSTOP");
  const working = runBeside(where, "do", "hi");
  await Bun.sleep(400);
  daemon.process.kill("SIGCONT");
  expect(await working).toMatchObject({ exitCode: 0, stdout: "hello\n", stderr: "" });
  const { sessions } = await daemon.json<{ sessions: readonly object[] }>("/v3/sessions");
  expect(sessions).toHaveLength(1);
  expect(await daemon.json("/v3/metrics")).toMatchObject({ runtime: { sessionCount: 1 } });
});

test("a daemon that hangs is told apart from none, worked around, and killed by stop", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "by itself" }, { text: "again" }] });
  const where = { place, modelPort: lmx.port };
  await using daemon = await startDaemon(where);
  daemon.process.kill("SIGSTOP");
  const hangs = { stdout: "daemon not answering\n", stderr: "  opta daemon restart\n" };
  expect(await runBeside(where, "daemon", "status")).toMatchObject({ exitCode: 0, ...hangs });
  expect(await runBeside(where, "do", "hi")).toMatchObject({ exitCode: 0, stdout: "by itself\n" });
  expect(await runBeside(where, "do", "--attach", "hi")).toMatchObject({
    exitCode: 1,
    stderr: "opta: the daemon does not answer\n  opta daemon restart\n",
  });
  expect((await runBeside(where, "daemon", "stop")).stdout).toBe(
    "daemon killed: it did not stop by itself; opta daemon logs may say why\n",
  );
  await daemon.process.exited;
  expect(daemon.process.signalCode).toBe("SIGKILL");
  expect(existsSync(daemon.paths.state)).toBe(false);
  await using next = await startDaemon(where);
  expect((await next.fetch("/v3/health")).status).toBe(200);
}, 60_000);

describe("a defect (D6)", () => {
  // The kernel answers the daemon's own signals with an errno that none of its callers knows, so that ending a
  // background process at its time limit throws where nobody waits for it.
  const strace = ["strace", "-qq", "-e", "trace=kill", "-e", "inject=kill:error=EINVAL"];
  test.skipIf(Bun.which("strace") === null)(
    "ends the daemon with exit 70; the log says why, and every turn has its end",
    async () => {
      using place = createPlace();
      const marker = uniqueSleep();
      await using lmx = await startScripted({
        turns: [{ repeat: { text: "word ", times: 100_000 }, delays: { betweenChunksMs: 5 } }],
      });
      const where = { place, modelPort: lmx.port };
      const trace = [...strace, "-o", join(place.home, "trace")];
      await using daemon = await startDaemon({ ...where, prefix: trace });
      const sessionId = await createSession(daemon, place.workspace);
      const turnId = await submitTurn(daemon, sessionId, { content: "go" });
      const queuedId = await submitTurn(daemon, sessionId, { content: "then this" });
      const command = `sleep ${marker}`;
      await daemon.json("/v3/background/start", { sessionId, command, timeoutMs: 100 });
      expect(await daemon.process.exited).toBe(70);

      const events = eventsOnDisk(daemon.paths, sessionId);
      expect(endsOf(events, turnId)).toEqual(["internal"]);
      expect(endsOf(events, queuedId)).toEqual(["internal"]);
      expect(existsSync(daemon.paths.state)).toBe(false);
      const log = readFileSync(daemon.paths.log, "utf8");
      expect(log).toContain('"level":"error"');
      expect(log).toContain('"msg":"defect"');
      expect(log).toContain("EINVAL");
      await until(async () => (await runningWith(marker)).length === 0, "the command's end");
      // A supervisor starts it again, and it goes on from there.
      await using next = await startDaemon(where);
      expect((await storedEvents(next, sessionId)).slice(0, events.length)).toEqual(events);
    },
  );
});

describe("a directory that lies open is refused with the mend to type (S2):", () => {
  const nobody = 65_534;
  const isRoot = process.getuid?.() === 0;

  interface Case {
    readonly name: string;
    readonly needsRoot?: boolean;
    /** Makes it lax. @returns what is said of it */
    arrange(directories: { readonly root: string; readonly daemon: string }): {
      readonly problem: string;
      readonly mend: string;
    };
    /** After the mend was typed by somebody. */
    mend(directories: { readonly root: string; readonly daemon: string }): void;
  }
  const cases: readonly Case[] = [
    {
      name: "settings others can write",
      arrange({ root }) {
        chmodSync(root, 0o722);
        const problem = `the settings directory ${root} is open to other users`;
        return { problem, mend: `chmod go-rwx ${root}` };
      },
      mend: ({ root }) => chmodSync(root, 0o700),
    },
    {
      name: "a daemon directory others can read",
      arrange({ daemon }) {
        chmodSync(daemon, 0o750);
        const problem = `the daemon directory ${daemon} is open to other users`;
        return { problem, mend: `chmod go-rwx ${daemon}` };
      },
      mend: ({ daemon }) => chmodSync(daemon, 0o700),
    },
    {
      name: "settings of another user",
      needsRoot: true,
      arrange({ root }) {
        chownSync(root, nobody, nobody);
        const problem = `the settings directory ${root} belongs to another user`;
        return { problem, mend: `sudo chown -R "$USER" ${root}` };
      },
      mend: ({ root }) => chownSync(root, 0, 0),
    },
    {
      name: "a daemon directory of another user",
      needsRoot: true,
      arrange({ daemon }) {
        chownSync(daemon, nobody, nobody);
        const problem = `the daemon directory ${daemon} belongs to another user`;
        return { problem, mend: `sudo chown -R "$USER" ${daemon}` };
      },
      mend: ({ daemon }) => chownSync(daemon, 0, 0),
    },
    {
      name: "a daemon directory that is a symbolic link",
      arrange({ root, daemon }) {
        rmSync(daemon, { recursive: true });
        mkdirSync(join(root, "../elsewhere"), { mode: 0o700 });
        symlinkSync("../elsewhere", daemon);
        const problem = `the daemon directory ${daemon} is a symbolic link`;
        return { problem, mend: `rm ${daemon}   (opta makes its own)` };
      },
      mend: ({ daemon }) => rmSync(daemon),
    },
    {
      name: "settings behind a symbolic link that others can write",
      arrange({ root }) {
        const real = join(root, "../real");
        renameSync(root, real);
        symlinkSync("real", root);
        chmodSync(real, 0o777);
        const problem = `the settings directory ${real} is open to other users`;
        return { problem, mend: `chmod go-rwx ${real}` };
      },
      // A link to a private directory is the user's own choice.
      mend: ({ root }) => chmodSync(join(root, "../real"), 0o700),
    },
    {
      name: "a file in place of the daemon directory",
      arrange({ daemon }) {
        rmSync(daemon, { recursive: true });
        writeFileSync(daemon, "");
        const problem = `the daemon directory ${daemon} is not a directory`;
        return { problem, mend: `mv ${daemon} ${daemon}.old` };
      },
      mend: ({ daemon }) => renameSync(daemon, `${daemon}.old`),
    },
  ];
  for (const { name, needsRoot = false, arrange, mend } of cases) {
    test.skipIf(needsRoot && !isRoot)(name, async () => {
      using place = createPlace();
      const where = { place };
      await using _ = guardDaemon(where);
      const root = rootOf(where);
      const directories = { root, daemon: join(root, "daemon") };
      mkdirSync(directories.daemon, { recursive: true, mode: 0o700 });
      // Somebody else got there first: whatever is opened by name is theirs.
      const victim = join(place.home, "victim");
      writeFileSync(victim, "precious");
      symlinkSync(victim, join(directories.daemon, "daemon.stderr.log"));
      symlinkSync(victim, join(directories.daemon, "daemon.log"));
      const said = arrange(directories);
      const before = treeOf(join(root, ".."));

      for (const verb of ["run", "start"]) {
        const refused = await runBeside(where, "daemon", verb, "--port", String(freePort()));
        const start = verb === "start" ? "the daemon could not start: " : "";
        expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
        expect(refused.stderr.replace(start, "")).toBe(`opta: ${said.problem}\n  ${said.mend}\n`);
      }
      expect(treeOf(join(root, ".."))).toEqual(before);
      expect(readFileSync(victim, "utf8")).toBe("precious");
      expect(await runBeside(where, "daemon", "status")).toMatchObject({ exitCode: 0 });
      expect(await runBeside(where, "daemon", "stop")).toMatchObject({
        exitCode: 0,
        stdout: "daemon not running\n",
      });

      mend(directories);
      for (const log of ["daemon.stderr.log", "daemon.log"]) {
        rmSync(join(directories.daemon, log), { force: true });
      }
      const port = String(freePort());
      expect(await runBeside(where, "daemon", "start", "--port", port)).toMatchObject({
        exitCode: 0,
        stderr: "",
      });
    });
  }

  test("what it makes itself is private, whatever umask says", async () => {
    using place = createPlace();
    const where = { place };
    await using _ = guardDaemon(where);
    const words = ["daemon", "start", "--port", String(freePort())];
    const started = await opta(words, {
      home: place.home,
      env: daemonEnvironment(where),
      prefix: ["bash", "-c", 'umask 0; exec "$@"', "bash"],
    });
    expect(started).toMatchObject({ exitCode: 0, stderr: "" });
    const { directory } = daemonPaths(rootOf(where));
    const modes = [rootOf(where), directory, ...entriesBelow(directory)].map((path) => {
      const stats = statSync(path);
      return { path, mode: stats.mode & 0o777, wanted: stats.isDirectory() ? 0o700 : 0o600 };
    });
    expect(modes.filter(({ mode, wanted }) => mode !== wanted)).toEqual([]);
    expect(modes.map(({ path }) => path)).toContain(join(directory, "state.json"));
  });
});

/** What a crashed daemon leaves: a state, a holder, and a lock file that nobody holds. */
function leaveState(where: DaemonWhere, state: { readonly pid: number; readonly port: number }) {
  const paths = daemonPaths(rootOf(where));
  mkdirSync(join(paths.directory, "owner"), { recursive: true, mode: 0o700 });
  const startedAt = "2026-01-02T03:04:05.678Z";
  const whole = { daemonId: "daemon_gone", host: "127.0.0.1", token: "t", logsPath: paths.log };
  writeFileSync(paths.state, JSON.stringify({ ...whole, startedAt, ...state }), { mode: 0o600 });
  if (existsSync(paths.lock)) return;
  writeFileSync(paths.lock, "", { mode: 0o600 });
  const holder = { pid: state.pid, since: startedAt };
  writeFileSync(join(paths.directory, "owner/holder.json"), JSON.stringify(holder));
}

/** Keeps a port busy; does nothing when somebody else does that already. */
function holdPort(port: number, hostname: string): Disposable {
  try {
    const listener = Bun.listen({ hostname, port, socket: { data() {} } });
    return { [Symbol.dispose]: () => listener.stop(true) };
  } catch {
    return { [Symbol.dispose]: () => undefined };
  }
}

function disposeAll(all: readonly Disposable[]): Disposable {
  return {
    [Symbol.dispose]() {
      for (const each of all) each[Symbol.dispose]();
    },
  };
}

/** How often the turn ended: the code of each turn.error, "done" for each turn.done. */
function endsOf(events: readonly OptaEvent[], turnId: string): readonly string[] {
  return events.flatMap((event) => {
    if (!isEndOf(event, turnId)) return [];
    return [event.event === "turn.error" ? (event.payload.code ?? "no code") : "done"];
  });
}

interface Round {
  readonly afterMs: number;
  /** The command needs a permission that nobody gives. */
  readonly asks: boolean;
  /** A process runs beside the turn. */
  readonly inBackground: boolean;
}

/** They mostly wait. */
const sideBySide = 3;

/** promises D4: 5 s. */
const stopLimitMs = 5_000;

/** Ends a fresh daemon in the middle of three turns. @returns what was wrong with what it left */
async function terminateInTurn({ afterMs, asks, inBackground }: Round): Promise<string[]> {
  using place = createPlace();
  const marker = uniqueSleep();
  // One that hides, one that takes its time, and a file that says how far it came.
  const command = `setsid sleep ${marker} >/dev/null 2>&1 & sleep 0.05; echo done`;
  await using lmx = await startScripted({
    loop: true,
    turns: [
      {
        thinking: "I have to think about that first.",
        text: "a b c d e f g h",
        toolCalls: [{ name: "run_command", arguments: { command } }],
        delays: { betweenChunksMs: 6 },
      },
      { text: "It is done now.", delays: { betweenChunksMs: 6 } },
    ],
  });
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  const sessionId = await createSession(daemon, place.workspace);
  const accepted: string[] = [];
  const overrides = asks ? {} : { dangerous: true };
  for (const content of ["first", "second", "third"]) {
    accepted.push(await submitTurn(daemon, sessionId, { content, overrides }));
  }
  if (inBackground) {
    const server = `trap '' TERM; sleep ${marker}; sleep ${marker}`;
    await daemon.json("/v3/background/start", { sessionId, command: server });
  }
  await Bun.sleep(afterMs);
  daemon.process.kill("SIGTERM");
  const exitCode = await Promise.race([
    daemon.process.exited,
    Bun.sleep(stopLimitMs).then(() => "none in time"),
  ]);
  const left = await runningWith(marker);
  const problems: string[] = [];
  const check = (isRight: boolean, problem: string) => void (isRight || problems.push(problem));
  check(exitCode === 0, `exit code ${exitCode}`);
  check(left.length === 0, `processes left: ${left.join("; ")}`);
  check(!existsSync(daemon.paths.state), "state.json is there");
  const events = eventsOnDisk(daemon.paths, sessionId);
  events.forEach(({ seq }, index) => check(seq === index + 1, `event ${index + 1} has ${seq}`));
  for (const turnId of accepted) {
    const ends = endsOf(events, turnId).join();
    check(["done", "daemon-stopping"].includes(ends), `${turnId} ended: ${ends || "never"}`);
  }
  const open = new Set<string>();
  for (const { event, payload } of events) {
    if (event === "permission.request" || event === "permission.resolved") {
      if (event === "permission.request") open.add(payload.requestId);
      else open.delete(payload.requestId);
    }
    if (event === "tool.start") open.add(payload.callId);
    if (event === "tool.result") open.delete(payload.callId);
  }
  check(open.size === 0, `left open: ${[...open].join()}`);
  const [{ messages } = { messages: [] }] = place.sessions();
  check(Bun.deepEquals(completeHistory(messages), messages), "the history has a loose end");
  await checkNextStart(daemon, { place, modelPort: lmx.port, events }, check);
  return problems;
}

/** The next daemon finds nothing to end, and what the user said is in the transcript. */
async function checkNextStart(
  { state }: RunningDaemon,
  { events, ...where }: DaemonWhere & { readonly events: readonly OptaEvent[] },
  check: (isRight: boolean, problem: string) => void,
): Promise<void> {
  const { sessionId } = events[0]!;
  await using next = await startDaemon(where);
  check(next.state.token !== state.token, "the token is the old one");
  const turnId = await submitTurn(next, sessionId, {
    content: "fourth",
    overrides: { permissionMode: "plan" },
  });
  const later = await turnEnd(next, sessionId, turnId);
  check(Bun.deepEquals(later.slice(0, events.length), [...events]), "the events changed");
  check(
    later.every(({ seq }, index) => seq === index + 1),
    "the sequence has a gap",
  );
  const { messages } = await next.json<{ messages: { role: string; content: unknown }[] }>(
    `/v3/sessions/${sessionId}`,
  );
  const said = messages.filter(({ role }) => role === "user").map(({ content }) => String(content));
  for (const content of ["first", "second", "third", "fourth"]) {
    const count = said.filter((text) => text.startsWith(content)).length;
    check(count === 1, `"${content}" is in the transcript ${count} times`);
  }
}

function entriesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true }).map((name) => join(directory, String(name)));
}

/** Every path below with its mode, owner and size. */
function treeOf(directory: string): readonly string[] {
  return entriesBelow(directory)
    .map((path) => {
      const { mode, uid, size } = lstatSync(path);
      return `${path} ${mode.toString(8)} ${uid} ${lstatSync(path).isDirectory() ? "" : size}`;
    })
    .toSorted();
}
