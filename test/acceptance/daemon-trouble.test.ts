// What may go wrong under a daemon, on the built binary (promises O1, O2, O4, E3): a full disk, a disk that cannot be
// written, damaged files, a clock that jumps, a neighbour with the same home, kill -9. Each has a clear outcome, and
// nothing that was acknowledged is lost.
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createAttachedClient } from "../../src/client/attached.ts";
import { createDaemonTransport } from "../../src/client/daemon-transport.ts";
import { createEventLog } from "../../src/engine/event-log.ts";
import type { OptaEvent } from "../../src/protocol/event.ts";
import { daemonPaths } from "../../src/store/daemon-place.ts";
import { readDaemonState } from "../../src/store/daemon-state.ts";
import { createEventRetention } from "../../src/store/event-retention.ts";
import { createSqliteEventStore } from "../../src/store/sqlite-event-store.ts";
import { builtOpta, type OptaRun } from "../support/binary.ts";
import {
  createSession,
  type DaemonWhere,
  daemonEnvironment,
  eventsOnDisk,
  freePort,
  guardDaemon,
  isEndOf,
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
import { createPlace } from "../support/workspace.ts";

const isRoot = process.getuid?.() === 0;
const canMount = process.platform === "linux" && isRoot;
const mountNote = canMount ? "" : "(not run: only root can mount a small disk)";

describe("a full disk (O1)", () => {
  test.skipIf(!canMount)(
    `ends the turn, not the daemon; what was told stays, and it goes on when there is space ${mountNote}`,
    async () => {
      using place = createPlace();
      await using disk = await mountDisk(join(place.home, "small"), { megabytes: 12 });
      await using lmx = await startScripted({
        turns: [
          { text: "Before." },
          { repeat: { text: "word ", times: 100_000 }, delays: { betweenChunksMs: 2 } },
          { text: "After." },
          { text: "After the restart." },
        ],
      });
      const where = { place, modelPort: lmx.port, root: disk.path };
      const observed: OptaEvent[] = [];
      let before: readonly OptaEvent[];
      let sessionId: string;
      {
        await using daemon = await startDaemon(where);
        sessionId = await createSession(daemon, place.workspace);
        await turnEnd(daemon, sessionId, await submitTurn(daemon, sessionId, { content: "one" }));
        using _follower = follow(daemon, sessionId, observed);
        const turnId = await submitTurn(daemon, sessionId, { content: "two" });
        await until(() => countOf(observed, "turn.token") > 20, "the answer");
        disk.fill();
        await until(() => observed.some((event) => isEndOf(event, turnId)), "the turn's end");
        const end = observed.find((event) => isEndOf(event, turnId));
        expect(end?.payload).toMatchObject({
          code: "storage-full",
          hint: "free some space (df -h shows where), then try again",
        });

        // It answers whoever reads.
        expect((await daemon.fetch("/v3/health")).status).toBe(200);
        expect((await daemon.fetch(`/v3/sessions/${sessionId}`)).status).toBe(200);
        expect((await daemon.fetch("/v3/sessions")).status).toBe(200);
        expect((await storedEvents(daemon, sessionId)).length).toBeGreaterThan(20);
        expect(await runBeside(where, "daemon", "status")).toMatchObject({
          exitCode: 0,
          stderr: "",
        });
        // Whoever wants something stored is refused, as often as it is tried.
        for (const content of ["no", "no", "still no"]) {
          const refused = await daemon.fetch(`/v3/sessions/${sessionId}/turns`, {
            clientId: "test",
            writerId: "test",
            mode: "do",
            content,
          });
          expect(refused.status).toBe(507);
          expect(await refused.json()).toMatchObject({ code: "storage-full" });
        }
        const attached = await runBeside(where, "do", "--attach", "--resume", sessionId, "no");
        expect(attached.exitCode).toBe(1);
        expect(attached.stderr).toContain("the disk is full\n  free some space");

        disk.free();
        const laterId = await submitTurn(daemon, sessionId, { content: "three" });
        before = await turnEnd(daemon, sessionId, laterId);
        expect(before.find((event) => isEndOf(event, laterId))?.event).toBe("turn.done");
        await until(() => observed.at(-1)?.seq === before.at(-1)?.seq, "the follower");
        daemon.process.kill("SIGTERM");
        expect(await daemon.process.exited).toBe(0);
      }
      expectContiguous(before);
      // What a client saw is what is stored, and none of the refused turns is.
      expect(before.slice(observed[0]!.seq - 1)).toEqual(observed);
      expect(countOf(before, "turn.queued")).toBe(3);
      await using next = await startDaemon(where);
      const lastId = await submitTurn(next, sessionId, { content: "four" });
      const after = await turnEnd(next, sessionId, lastId);
      expect(after.slice(0, before.length)).toEqual([...before]);
      expectContiguous(after);
      const { messages } = await next.json<{ messages: readonly { content: unknown }[] }>(
        `/v3/sessions/${sessionId}`,
      );
      const said = messages.map(({ content }) => String(content));
      for (const text of ["Before.", "After.", "After the restart."]) expect(said).toContain(text);
    },
  );

  test.skipIf(!canMount)(
    `stops a start with one clear error; a start after that finds everything ${mountNote}`,
    async () => {
      using place = createPlace();
      await using disk = await mountDisk(join(place.home, "small"), { megabytes: 12 });
      await using lmx = await startScripted({
        turns: [{ repeat: { text: "word ", times: 100_000 }, delays: { betweenChunksMs: 2 } }],
      });
      const where = { place, modelPort: lmx.port, root: disk.path };
      const observed: OptaEvent[] = [];
      let sessionId: string;
      let turnId: string;
      {
        await using daemon = await startDaemon(where);
        sessionId = await createSession(daemon, place.workspace);
        using _follower = follow(daemon, sessionId, observed);
        turnId = await submitTurn(daemon, sessionId, { content: "one" });
        await until(() => countOf(observed, "turn.token") > 20, "the answer");
        daemon.process.kill("SIGKILL");
        await daemon.process.exited;
      }
      rmSync(daemonPaths(disk.path).reserve);
      disk.fill();
      const failed = await runBeside(where, "daemon", "run", "--port", String(freePort()));
      expect(failed).toMatchObject({ exitCode: 1, stdout: "" });
      expect(failed.stderr).toMatch(/^opta: cannot [^\n]*: the disk is full\n {2}free some space/);
      expect(failed.stderr).not.toContain("internal");
      expect(await runBeside(where, "sessions", "list")).toMatchObject({ exitCode: 0 });
      expect((await runBeside(where, "daemon", "status")).stdout).toBe("daemon not running\n");
      disk.free();
      await using next = await startDaemon(where);
      const events = await storedEvents(next, sessionId);
      expect(events.slice(0, observed.length)).toEqual(observed);
      expect(events.filter((event) => isEndOf(event, turnId))).toMatchObject([
        { event: "turn.error", payload: { code: "daemon-restarted" } },
      ]);
      expectContiguous(events);
    },
  );
});

describe("a settings directory that cannot be written (O4):", () => {
  /** Each is asked of a directory with a session, a log, and what a killed daemon left. */
  const readOnlyCommands: readonly (readonly string[])[] = [
    ["daemon", "status"],
    ["daemon", "status", "--json"],
    ["daemon", "stop"],
    ["daemon", "logs"],
    ["sessions", "list"],
    ["sessions", "show", "$session"],
    ["sessions", "export", "$session"],
    ["config", "list"],
    ["config", "get", "permissions.mode"],
    ["permissions", "explain", "git status"],
    ["status"],
    ["models", "list"],
    ["context", "--session", "$session"],
  ];
  const writes: readonly (readonly string[])[] = [
    ["daemon", "start"],
    ["daemon", "restart"],
    ["daemon", "run"],
    ["do", "hi"],
    ["config", "set", "permissions.mode", "auto"],
    ["sessions", "delete", "$session"],
  ];

  async function expectReadable(
    where: DaemonWhere,
    { ask, reason }: { readonly ask: typeof runBeside; readonly reason: string },
  ): Promise<void> {
    const { place } = where;
    const root = rootOf(where);
    const sessionId = await leaveKilledDaemon(where);
    const fill = (words: readonly string[]) =>
      words.map((word) => word.replace("$session", sessionId));
    using _ = await makeReadOnly(place.home, root);
    const before = contentsOf(root);
    for (const words of readOnlyCommands) {
      const { exitCode, stderr } = await ask(where, ...fill(words));
      const expected = words.join(" ") === "daemon status" ? "  opta daemon start\n" : "";
      expect({ words, exitCode, stderr }).toEqual({ words, exitCode: 0, stderr: expected });
    }
    for (const words of writes) {
      const { exitCode, stderr } = await ask(where, ...fill(words));
      expect({ words, exitCode }).toEqual({ words, exitCode: 1 });
      const [line = "", ...hints] = stderr.trimEnd().split("\n");
      expect(line).toMatch(/^opta: cannot \w/);
      expect(line).toEndWith(`: ${reason}`);
      expect(hints.length).toBeLessThanOrEqual(1);
    }
    expect(contentsOf(root)).toEqual(before);
  }

  test.skipIf(!canMount)(`a disk mounted read-only ${mountNote}`, async () => {
    using place = createPlace();
    await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
    await using disk = await mountDisk(join(place.home, "small"), { megabytes: 12 });
    const where = { place, modelPort: lmx.port, root: disk.path };
    await expectReadable(where, { ask: runBeside, reason: "the file system is read-only" });
  });

  const canBeNobody = isRoot && Bun.which("setpriv") !== null;
  const nobodyNote = !isRoot || canBeNobody ? "" : "(not run: setpriv is missing)";
  test.skipIf(isRoot && !canBeNobody)(
    `one that the user made read-only ${nobodyNote}`,
    async () => {
      using place = createPlace();
      await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
      const where = { place, modelPort: lmx.port };
      // Root may write wherever it likes.
      const ask = isRoot ? asNobody : runBeside;
      await expectReadable(where, { ask, reason: "permission denied" });
    },
  );
});

describe("a damaged session file (O2)", () => {
  const damage: Readonly<Record<string, (path: string) => void>> = {
    "cut short": (path) => truncateSync(path, 100),
    emptied: (path) => truncateSync(path, 0),
    "no JSON any more": (path) => appendFileSync(path, "}"),
    "of another shape": (path) => writeFileSync(path, '{"messages": 5}'),
  };
  for (const [name, harm] of Object.entries(damage)) {
    test(`${name}: is told and kept, and the others work`, async () => {
      using place = createPlace();
      await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
      const where = { place, modelPort: lmx.port };
      await using daemon = await startDaemon(where);
      const ids: string[] = [];
      for (const content of ["broken", "whole"]) {
        const sessionId = await createSession(daemon, place.workspace);
        await turnEnd(daemon, sessionId, await submitTurn(daemon, sessionId, { content }));
        ids.push(sessionId);
      }
      const [brokenId = "", wholeId = ""] = ids;
      const path = join(rootOf(where), "sessions", `${brokenId}.json`);
      await until(() => !existsSync(join(dirname(path), brokenId)), "the session to rest");
      harm(path);
      const bytes = readFileSync(path);

      const listed = await runBeside(where, "sessions", "list");
      expect(listed.stdout).toContain(wholeId);
      expect(listed.stdout).not.toContain(brokenId);
      expect(listed.stderr).toBe(`cannot be read, left as it is: ${path}\n`);

      const refused = await daemon.fetch(`/v3/sessions/${brokenId}`);
      expect(refused.status).toBe(500);
      const body = (await refused.json()) as { readonly error: string };
      expect(body).toMatchObject({ code: "session-corrupt" });
      expect(body.error).toContain(`its file is kept as ${path}.corrupt-1`);
      expect(readFileSync(`${path}.corrupt-1`)).toEqual(bytes);
      const gone = await daemon.fetch(`/v3/sessions/${brokenId}`);
      expect(gone.status).toBe(404);

      const turnId = await submitTurn(daemon, wholeId, { content: "again" });
      const events = await turnEnd(daemon, wholeId, turnId);
      expect(events.find((event) => isEndOf(event, turnId))?.event).toBe("turn.done");
      // What was told of the broken one can still be read.
      expectContiguous(await storedEvents(daemon, brokenId));
    });
  }
});

describe("a session whose file is not there keeps its events", () => {
  /** A session of one turn, whose daemon has ended; as old as if the next one came tomorrow. */
  async function leaveSession(where: DaemonWhere, id?: string) {
    await using daemon = await startDaemon(where);
    const { sessionId } = await daemon.json<{ readonly sessionId: string }>("/v3/sessions", {
      ...(id === undefined ? {} : { sessionId: id }),
      metadata: { workspace: where.place.workspace },
    });
    const events = await turnEnd(
      daemon,
      sessionId,
      await submitTurn(daemon, sessionId, { content: "hi" }),
    );
    const path = join(rootOf(where), "sessions", `${sessionId}.json`);
    await until(() => !existsSync(join(dirname(path), sessionId)), "the session to rest");
    daemon.process.kill("SIGTERM");
    await daemon.process.exited;
    const log = new Database(daemon.paths.events);
    log.run("UPDATE sessions SET active_ms = active_ms - 86400000");
    log.close();
    return { sessionId, events, path, onDisk: () => eventsOnDisk(daemon.paths, sessionId) };
  }

  /** A start, what every first request sets going, and an end. */
  async function serveOnce(where: DaemonWhere, isDone?: () => boolean): Promise<void> {
    await using daemon = await startDaemon(where);
    await daemon.json("/v3/health");
    await (isDone === undefined ? Bun.sleep(300) : until(isDone, "what was set going"));
    daemon.process.kill("SIGTERM");
    await daemon.process.exited;
  }

  test("while the sessions are on a disk that is not mounted", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
    const where = { place, modelPort: lmx.port };
    const { events, path, onDisk } = await leaveSession(where);
    renameSync(dirname(path), `${dirname(path)}.away`);
    await serveOnce(where);
    expect(onDisk().slice(0, events.length)).toEqual([...events]);
  });

  test("where it was damaged, and set aside", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
    const where = { place, modelPort: lmx.port };
    const { sessionId, events, path, onDisk } = await leaveSession(where);
    truncateSync(path, 100);
    expect((await runBeside(where, "sessions", "show", sessionId)).exitCode).toBe(1);
    expect(existsSync(path)).toBe(false);
    await serveOnce(where);
    expect(onDisk().slice(0, events.length)).toEqual([...events]);
  });

  test("also where an earlier one of its id was deleted", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
    const where = { place, modelPort: lmx.port };
    const earlier = await leaveSession(where);
    expect((await runBeside(where, "sessions", "delete", earlier.sessionId)).exitCode).toBe(0);
    const later = await leaveSession(where, earlier.sessionId);
    expect(later.sessionId).toBe(earlier.sessionId);
    renameSync(dirname(later.path), `${dirname(later.path)}.away`);
    await serveOnce(where);
    expect(later.onDisk().slice(0, later.events.length)).toEqual([...later.events]);
  });

  test("but not where it was deleted while no daemon ran", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
    const where = { place, modelPort: lmx.port };
    const { sessionId, onDisk } = await leaveSession(where);
    expect((await runBeside(where, "sessions", "delete", sessionId)).exitCode).toBe(0);
    expect(onDisk()).not.toEqual([]);
    const notes = join(rootOf(where), "daemon", "deleted");
    expect(readdirSync(notes)).toEqual([sessionId]);
    await serveOnce(where, () => readdirSync(notes).length === 0);
    expect(onDisk()).toEqual([]);
  });
});

describe("a damaged event log", () => {
  const place = createPlace();
  const saved = mkdtempSync(join(tmpdir(), "opta-saved-"));
  afterAll(() => {
    place[Symbol.dispose]();
    rmSync(saved, { recursive: true, force: true });
  });
  const sessionIds: string[] = [];
  const stored: OptaEvent[][] = [];

  /** A directory with three sessions, as a daemon left it in good order. */
  async function prepare(modelPort: number): Promise<DaemonWhere> {
    const where = { place, modelPort };
    if (sessionIds.length === 0) {
      const texts = ["alpha ", "omega ", "sigma "];
      const said = texts.map((text) => ({ repeat: { text, times: 200 } }));
      await using lmx = await startScripted({ turns: said });
      await using daemon = await startDaemon({ place, modelPort: lmx.port });
      for (const content of texts) {
        const sessionId = await createSession(daemon, place.workspace);
        const turnId = await submitTurn(daemon, sessionId, { content });
        stored.push(await turnEnd(daemon, sessionId, turnId));
        sessionIds.push(sessionId);
      }
      daemon.process.kill("SIGTERM");
      await daemon.process.exited;
      cpSync(rootOf(where), saved, { recursive: true });
    }
    rmSync(rootOf(where), { recursive: true });
    cpSync(saved, rootOf(where), { recursive: true, preserveTimestamps: true });
    return where;
  }

  const harms: Readonly<Record<string, (path: string) => void>> = {
    "another program's file": (path) => writeFileSync(path, "this is no database\n".repeat(500)),
    "cut in the middle of a page": (path) => truncateSync(path, 5_000),
    "its tables' beginnings overwritten": (path) => overwrite(path, { from: 4_096, to: 12_288 }),
  };
  for (const [name, harm] of Object.entries(harms)) {
    test(`${name}: set aside and told, and sessions go on with new numbers`, async () => {
      await using lmx = await startScripted({ loop: true, turns: [{ text: "again" }] });
      const where = await prepare(await lmx.port);
      const { events: path, log } = daemonPaths(rootOf(where));
      harm(path);
      const bytes = readFileSync(path);
      await using daemon = await startDaemon(where);
      // SQLite counts its changes in the first hundred bytes.
      expect(readFileSync(`${path}.corrupt-1`).subarray(100)).toEqual(bytes.subarray(100));
      expect(lastOf(readFileSync(log, "utf8"), "set aside")).toMatchObject({
        level: "error",
        msg: "the event log could not be read and was set aside",
        data: { keptAs: `${path}.corrupt-1` },
      });
      for (const [index, sessionId] of sessionIds.entries()) {
        await expectGoesOn(daemon, where, { sessionId, told: stored[index]! });
      }
    });
  }

  test("damage further inside costs what lies there, until a restart sets the file aside", async () => {
    await using lmx = await startScripted({ loop: true, turns: [{ text: "again" }] });
    const where = await prepare(await lmx.port);
    const { events: path } = daemonPaths(rootOf(where));
    const [, brokenId = "", wholeId = ""] = sessionIds;
    // Its beginning, where whoever comes begins to read; the end of the one before may go with it.
    const position = readFileSync(path).indexOf(JSON.stringify(stored[1]![0]));
    expect(position).toBeGreaterThan(0);
    const page = Math.floor(position / 4_096) * 4_096;
    overwrite(path, { from: page, to: page + 4_096 });
    {
      await using daemon = await startDaemon(where);
      // However often somebody comes there: an error, and the daemon lives.
      for (let attempt = 0; attempt < 3; attempt++) {
        expect(await runBeside(where, "daemon", "events", brokenId)).toMatchObject({
          exitCode: 1,
          stderr:
            "opta: cannot read the event log: the event log is damaged\n  opta daemon restart   (keeps the damaged file, and begins a new one)\n",
        });
      }
      expect(await storedEvents(daemon, wholeId)).toEqual(stored[2]!);
      daemon.process.kill("SIGTERM");
      expect(await daemon.process.exited).toBe(0);
    }
    await using next = await startDaemon(where);
    expect(existsSync(`${path}.corrupt-1`)).toBe(true);
    for (const [index, sessionId] of sessionIds.entries()) {
      await expectGoesOn(next, where, { sessionId, told: stored[index]! });
    }
    next.process.kill("SIGTERM");
    await next.process.exited;
    // Once is enough.
    await using third = await startDaemon(where);
    expect(readdirSync(dirname(path)).filter((name) => /damaged|corrupt-2/.test(name))).toEqual([]);
    expect((await third.fetch("/v3/health")).status).toBe(200);
  });

  async function expectGoesOn(
    daemon: RunningDaemon,
    where: DaemonWhere,
    { sessionId, told }: { readonly sessionId: string; readonly told: readonly OptaEvent[] },
  ): Promise<void> {
    const last = told.at(-1)!.seq;
    const turnId = await submitTurn(daemon, sessionId, { content: "again" });
    let events: OptaEvent[] = [];
    await until(async () => {
      events = await storedEvents(daemon, sessionId, last);
      return events.at(-1)?.event === "session.updated";
    }, "the turn's end");
    // No number is used twice, and the stream begins with what came before it.
    expect(events[0]).toMatchObject({ event: "session.snapshot", seq: last + 1 });
    expect(events.every(({ seq }, index) => seq === last + 1 + index)).toBe(true);
    expect(events.find((event) => isEndOf(event, turnId))?.event).toBe("turn.done");
    const early = await daemon.fetch(`/v3/sessions/${sessionId}/events?afterSeq=0`);
    expect(early.status).toBe(410);
    expect(await early.json()).toMatchObject({
      code: "before-retention",
      hint: `opta daemon events ${sessionId} --after ${last}`,
    });
    expect(await runBeside(where, "daemon", "events", sessionId)).toMatchObject({ exitCode: 1 });
    const after = await runBeside(where, "daemon", "events", sessionId, "--after", String(last));
    expect(after.exitCode).toBe(0);
    expect(after.stdout.trimEnd().split("\n")).toHaveLength(events.length);
  }
});

describe("a clock that jumps (E3)", () => {
  const day = 86_400_000;
  const year = 365 * day;

  /** An event log on a disk of its own, and a clock that is set by hand. */
  function openLog(directory: string) {
    const clock = { ms: Date.parse("2026-03-01T12:00:00Z") };
    const now = () => new Date(clock.ms);
    const paths = { path: join(directory, "e.sqlite"), reservePath: join(directory, "reserve") };
    const store = createSqliteEventStore({ ...paths, now });
    const log = createEventLog({ daemonId: "daemon_test", now, store });
    const retention = createEventRetention(store.database);
    return {
      clock,
      store,
      log,
      prune: () =>
        retention.prune({
          maxAgeMs: 90 * day,
          maxBytes: 1e9,
          nowMs: clock.ms,
          isDeleted: () => false,
          forget: () => undefined,
          isBusy: () => false,
          isStopped: () => false,
        }),
      /** A whole turn. */
      work(sessionId: string) {
        const turnId = `turn_${sessionId}_${log.lastSeq(sessionId)}`;
        const who = { turnId, writerId: "w", clientId: "c" };
        const content = "go";
        log.append(
          sessionId,
          "turn.queued",
          { ...who, queueSize: 1, position: 1 },
          { ...who, content, idempotencyKey: undefined },
        );
        log.append(sessionId, "turn.token", { turnId, text: "word" });
        log.append(sessionId, "turn.error", { ...who, message: "over" });
        store.noteMessageSaved(turnId);
      },
      [Symbol.dispose]: () => store.close(),
    };
  }

  test("moves no number, and nothing that is in use is dropped for its age", async () => {
    using place = createPlace();
    const directory = place.home;
    const jumps = [0, year, -2 * year, year + day, -1, 3_600_000];
    const ids = ["early", "late"];
    {
      using open = openLog(directory);
      for (const id of ids) open.log.open(id, 0);
      for (const jump of jumps) {
        open.clock.ms += jump;
        for (const id of ids) open.work(id);
        expect(await open.prune()).toBe(0);
      }
      for (const id of ids) expectSeqs(open.log.read(id, 0, 1_000), jumps.length * 3);
      // A year ahead, nobody works, then back.
      open.clock.ms += year;
      expect(await open.prune()).toBe(0);
      open.clock.ms -= year;
      expect(await open.prune()).toBe(0);
    }
    using again = openLog(directory);
    for (const id of ids) again.log.open(id, 0);
    again.clock.ms += year;
    expect(await again.prune()).toBe(0);
    again.clock.ms -= 2 * year;
    for (const id of ids) again.work(id);
    expect(await again.prune()).toBe(0);
    for (const id of ids) expectSeqs(again.log.read(id, 0, 1_000), jumps.length * 3 + 3);
  });

  test("and what really rested for a year is dropped", async () => {
    using place = createPlace();
    {
      using open = openLog(place.home);
      open.log.open("old", 0);
      open.work("old");
      open.clock.ms += year;
      open.log.open("new", 0);
      open.work("new");
    }
    using again = openLog(place.home);
    again.clock.ms += year;
    expect(await again.prune()).toBe(1);
    expect(() => again.log.read("old", 0, 10)).toThrow("events 1 to 3 of session old");
    expect(again.log.lastSeq("old")).toBe(3);
    expectSeqs(again.log.read("new", 0, 10), 3);
  });
});

test("two daemons with one home and two directories live side by side, and clients find their own", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ loop: true, turns: [{ text: "hello" }] });
  const roots = ["one", "other"].map((name) => join(place.home, name));
  const [one, other] = roots.map((root) => ({ place, modelPort: lmx.port, root })) as [
    DaemonWhere,
    DaemonWhere,
  ];
  await using first = await startDaemon(one);
  await using second = await startDaemon(other);
  expect(new Set([first, second].map(({ state }) => state.daemonId)).size).toBe(2);
  for (const [where, daemon] of [
    [one, first],
    [other, second],
  ] as const) {
    const done = await runBeside(where, "do", "--attach", "-f", "json", "hi");
    expect(done).toMatchObject({ exitCode: 0 });
    const events = done.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as OptaEvent);
    expect(new Set(events.map(({ daemonId }) => daemonId))).toEqual(
      new Set([daemon.state.daemonId]),
    );
    const status = JSON.parse((await runBeside(where, "daemon", "status", "--json")).stdout);
    expect(status).toMatchObject({ running: true, state: { daemonId: daemon.state.daemonId } });
    expect((await runBeside(where, "sessions", "list", "--json")).stdout).toContain(
      events[0]!.sessionId,
    );
  }
  // Neither takes the other's token.
  const crossed = await fetch(`http://127.0.0.1:${second.state.port}/v3/health`, {
    headers: { authorization: `Bearer ${first.state.token}` },
  });
  expect(crossed.status).toBe(401);
  expect((await runBeside(one, "daemon", "stop")).stdout).toBe("daemon stopped\n");
  expect(await first.process.exited).toBe(0);
  expect((await second.fetch("/v3/health")).status).toBe(200);
  expect(existsSync(join(place.home, ".config/opta"))).toBe(false);
});

test("kill -9 leaves a lock and a state that nobody believes; the next start ends the turn and takes over", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [
      { repeat: { text: "word ", times: 100_000 }, delays: { betweenChunksMs: 2 } },
      { text: "better" },
    ],
  });
  const where = { place, modelPort: lmx.port };
  await using _ = guardDaemon(where);
  const observed: OptaEvent[] = [];
  await using daemon = await startDaemon(where);
  const sessionId = await createSession(daemon, place.workspace);
  const turnId = await submitTurn(daemon, sessionId, { content: "one" });
  const queuedId = await submitTurn(daemon, sessionId, { content: "two" });
  {
    using _follower = follow(daemon, sessionId, observed);
    await until(() => countOf(observed, "turn.token") > 20, "the answer");
    daemon.process.kill("SIGKILL");
    await daemon.process.exited;
  }
  expect(existsSync(daemon.paths.state)).toBe(true);
  expect(existsSync(daemon.paths.lock)).toBe(true);
  expect((await runBeside(where, "daemon", "status")).stdout).toBe("daemon not running\n");
  expect(await runBeside(where, "daemon", "events", sessionId)).toMatchObject({
    exitCode: 1,
    stderr: "opta: no daemon is running\n  opta daemon start\n",
  });
  expect(eventsOnDisk(daemon.paths, sessionId).slice(0, observed.length)).toEqual(observed);

  const port = String(daemon.state.port);
  expect(await runBeside(where, "daemon", "start", "--port", port)).toMatchObject({ exitCode: 0 });
  const state = readDaemonState(daemon.paths)!;
  expect(state.daemonId).not.toBe(daemon.state.daemonId);
  expect(state.token).not.toBe(daemon.state.token);
  const shown = await runBeside(where, "daemon", "events", sessionId);
  const events = shown.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as OptaEvent);
  expect(events.slice(0, observed.length)).toEqual(observed);
  expectContiguous(events);
  for (const id of [turnId, queuedId]) {
    expect(events.filter((event) => isEndOf(event, id))).toMatchObject([
      {
        event: "turn.error",
        payload: { code: "daemon-restarted", hint: `opta do --resume ${sessionId}` },
      },
    ]);
  }
  const resumed = await runBeside(where, "do", "--attach", "--resume", sessionId, "three");
  expect(resumed).toMatchObject({ exitCode: 0, stdout: "better\n" });
  const prompts = lmx
    .chats()
    .at(-1)
    ?.messages.filter(({ role }) => role === "user");
  const said = prompts?.map(({ content }) => String(content)).join("\n") ?? "";
  for (const content of ["one", "two", "three"]) expect(said).toContain(content);
});

function countOf(events: readonly OptaEvent[], kind: OptaEvent["event"]): number {
  return events.filter(({ event }) => event === kind).length;
}

function expectContiguous(events: readonly OptaEvent[]): void {
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
}

function expectSeqs(events: readonly { readonly seq: number }[], count: number): void {
  expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: count }, (_, i) => i + 1));
}

/** Gathers what a client of the session sees. */
function follow(daemon: RunningDaemon, sessionId: string, observed: OptaEvent[]): Disposable {
  const client = createAttachedClient(createDaemonTransport(daemon.state, () => daemon.state));
  const reading = new AbortController();
  const read = async () => {
    const afterSeq = observed.at(-1)?.seq ?? 0;
    const { signal } = reading;
    for await (const event of client.events(sessionId, { afterSeq, signal })) observed.push(event);
  };
  read().catch(() => undefined); // the daemon is killed while it is followed
  return {
    [Symbol.dispose]() {
      reading.abort();
      void client.close();
    },
  };
}

/** The last line of a log that contains `text`. */
function lastOf(log: string, text: string): unknown {
  const line = log.split("\n").findLast((each) => each.includes(text));
  return line === undefined ? undefined : JSON.parse(line);
}

function overwrite(path: string, { from, to }: { readonly from: number; readonly to: number }) {
  const fd = openSync(path, "r+");
  writeSync(fd, new Uint8Array(to - from).fill(0xa5), 0, to - from, from);
  closeSync(fd);
}

interface SmallDisk extends AsyncDisposable {
  readonly path: string;
  /** Leaves no byte. */
  fill(): void;
  free(): void;
}

async function mountDisk(
  at: string,
  { megabytes }: { readonly megabytes: number },
): Promise<SmallDisk> {
  mkdirSync(at);
  await Bun.$`mount -t tmpfs -o size=${megabytes}m,mode=0700 none ${at}`;
  const ballast = join(at, "ballast");
  return {
    path: realpathSync(at),
    fill() {
      const fd = openSync(ballast, "w");
      try {
        for (const size of [1 << 20, 4_096, 1]) {
          try {
            for (;;) if (writeSync(fd, new Uint8Array(size)) < size) break;
          } catch {
            continue; // not a byte of that size fits any more
          }
        }
      } finally {
        closeSync(fd);
      }
    },
    free: () => rmSync(ballast),
    async [Symbol.asyncDispose]() {
      await Bun.$`umount -l ${at}`;
    },
  };
}

/** A session of the daemon, and what kill -9 leaves of that. @returns the session */
async function leaveKilledDaemon(where: DaemonWhere): Promise<string> {
  await using daemon = await startDaemon(where);
  const sessionId = await createSession(daemon, where.place.workspace);
  const turnId = await submitTurn(daemon, sessionId, { content: "hi" });
  await turnEnd(daemon, sessionId, turnId);
  const beside = join(rootOf(where), "sessions", sessionId);
  await until(() => !existsSync(beside), "the session to rest");
  return sessionId;
}

async function makeReadOnly(home: string, root: string): Promise<Disposable> {
  if (root.startsWith(join(home, "small"))) {
    await Bun.$`mount -o remount,ro ${root}`;
    return { [Symbol.dispose]: () => undefined };
  }
  if (isRoot) await Bun.$`chown -R 65534:65534 ${dirname(home)}`;
  await Bun.$`chmod -R a-w ${root}`;
  return {
    [Symbol.dispose]: () => void Bun.spawnSync(["chmod", "-R", "u+w", root]),
  };
}

/** As `runBeside`, by a user who is not root. */
async function asNobody(where: DaemonWhere, ...words: readonly string[]): Promise<OptaRun> {
  const { place } = where;
  const scratch = mkdtempSync(join(tmpdir(), "opta-nobody-"));
  chmodSync(scratch, 0o777);
  try {
    const prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    const child = Bun.spawn([...prefix, await builtOpta(), ...words], {
      cwd: place.workspace,
      env: { ...daemonEnvironment(where), TMPDIR: scratch },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: 30_000,
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { exitCode: await child.exited, signal: undefined, stdout, stderr };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Every file below with its bytes' digest. */
function contentsOf(directory: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      .map((path) => [path, Bun.hash(readFileSync(path)).toString()]),
  );
}
