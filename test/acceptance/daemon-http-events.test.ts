// A session's events over the daemon's HTTP, on the built binary: as one document and as a stream, from any cursor, in
// both dialects (contracts/daemon-v3.md sections 0, 2 and 6).
import { describe, expect, test } from "bun:test";
import type { OptaEvent } from "../../src/protocol/event.ts";
import { eventPayloadSchemas } from "../../src/protocol/event.ts";
import { createEventRetention } from "../../src/store/event-retention.ts";
import { createSqliteEventStore } from "../../src/store/sqlite-event-store.ts";
import { eventsOnDisk, type RunningDaemon, startDaemon, turnEnd } from "../support/daemon.ts";
import { ask, call, eventsIn, openSse, type SseReader } from "../support/daemon-http.ts";
import { startScripted, type ScriptedServer } from "../support/lmx.ts";
import { createPlace, type Place } from "../support/workspace.ts";

/** Enough to need many reads of the log. */
const manyEvents = 50_000;

function startReading(): Promise<ScriptedServer> {
  return startScripted({
    turns: [
      { text: "I look.", toolCalls: [{ name: "read_file", arguments: { path: "a.txt" } }] },
      { thinking: "I see.", text: "It says: an apple." },
    ],
    loop: true,
  });
}

async function runTurn(daemon: RunningDaemon, place: Place, sessionId = "a"): Promise<OptaEvent[]> {
  const metadata = { workspace: place.workspace };
  await call(daemon, "session.create", { sessionId, metadata });
  const turn = { sessionId, clientId: "c", writerId: "w", content: "go" };
  const { turnId } = (await call(daemon, "turn.submit", turn)).body as { readonly turnId: string };
  return turnEnd(daemon, sessionId, turnId);
}

async function nextUntil(stream: SseReader, kind: string): Promise<OptaEvent[]> {
  const events: OptaEvent[] = [];
  do events.push(await stream.nextData<OptaEvent>());
  while (events.at(-1)?.event !== kind);
  return events;
}

/** A stopped daemon's log, open for changes. */
function openLog({ paths }: RunningDaemon) {
  const now = () => new Date();
  return createSqliteEventStore({ path: paths.events, reservePath: paths.reserve, now });
}

/** Starts a daemon for `work` and waits for its end. */
async function withDaemon<T>(
  place: Place,
  work: (daemon: RunningDaemon) => Promise<T>,
): Promise<{ readonly daemon: RunningDaemon; readonly result: T }> {
  await using daemon = await startDaemon({ place });
  const result = await work(daemon);
  daemon.process.kill("SIGTERM");
  await daemon.process.exited;
  return { daemon, result };
}

describe("events", () => {
  test("are whole envelopes with payloads as described, counted from 1 without a gap", async () => {
    using place = createPlace({ "a.txt": "an apple\n" });
    await using lmx = await startReading();
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    const events = await runTurn(daemon, place);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    for (const { payload, ...envelope } of events) {
      expect(envelope).toEqual({
        v: "3",
        event: envelope.event,
        daemonId: daemon.state.daemonId,
        sessionId: "a",
        seq: envelope.seq,
        ts: new Date(envelope.ts).toISOString(),
      });
      // Parsing drops what the description does not know.
      const described: unknown = eventPayloadSchemas[envelope.event].parse(payload);
      expect(described).toEqual(payload);
    }
    const kinds = new Set(events.map(({ event }) => event));
    expect(kinds).toContain("tool.result");
    expect(kinds).toContain("turn.thinking");
  });

  test("begin after afterSeq; one that is no whole number is a 400; a session without any has none", async () => {
    using place = createPlace({ "a.txt": "an apple\n" });
    await using lmx = await startReading();
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    const events = await runTurn(daemon, place);
    const head = events.length;
    expect(await eventsIn(daemon, "a", { afterSeq: 3 })).toEqual(events.slice(3));
    expect(await eventsIn(daemon, "a", { afterSeq: head })).toEqual([]);
    expect(await eventsIn(daemon, "unknown")).toEqual([]);
    for (const afterSeq of ["-1", "1.5", "x", "", "1e3", "0x1", "%201", "9".repeat(16)]) {
      for (const path of ["/v3/sessions/a/events?", "/v3/sse/events?sessionId=a&"]) {
        const { status, body } = await ask(daemon, `GET ${path}afterSeq=${afterSeq}`);
        expect([afterSeq, status, body]).toEqual([afterSeq, 400, { error: "Invalid query" }]);
      }
    }
    const missing = await ask(daemon, "GET /v3/sse/events");
    expect([missing.status, missing.body]).toEqual([
      400,
      { error: "Missing sessionId query param" },
    ]);
    const strange = await ask(daemon, "GET /v3/sse/events?sessionId=a.b");
    expect(strange).toMatchObject({ status: 400, body: { code: "usage" } });
  });

  test("after a cursor that lies ahead of the head are an error that says so, never silence", async () => {
    using place = createPlace({ "a.txt": "an apple\n" });
    await using lmx = await startReading();
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    const head = (await runTurn(daemon, place)).length;
    const afterSeq = head + 1;
    const error = {
      error: expect.stringContaining(`session a has events up to ${head}`),
      code: "ahead-of-head",
      hint: expect.any(String),
    };
    const { status, body } = await call(daemon, "events.list", { sessionId: "a", afterSeq });
    expect([status, body]).toEqual([409, error]);
    await using stream = await openSse(daemon, `/v3/sse/events?sessionId=a&afterSeq=${afterSeq}`);
    expect(await stream.next()).toBe(": connected");
    expect(await stream.nextData()).toEqual(error);
    expect(await stream.next()).toBeUndefined();
  });

  test("that are no longer kept are an error that says which, and what is kept can be read", async () => {
    using place = createPlace();
    const { daemon: before } = await withDaemon(place, async (daemon) => {
      await call(daemon, "session.create", { sessionId: "a" });
      for (let index = 0; index < 3; index++) await call(daemon, "turn.cancel", { sessionId: "a" });
    });
    {
      const log = openLog(before);
      await createEventRetention(log.database).prune({
        maxAgeMs: -60_000,
        maxBytes: 0,
        nowMs: Date.now(),
        isDeleted: () => false,
        forget: () => undefined,
        isBusy: () => false,
        isStopped: () => false,
      });
      log.close();
    }
    await using daemon = await startDaemon({ place });
    await call(daemon, "turn.cancel", { sessionId: "a" });
    const { status, body } = await call(daemon, "events.list", { sessionId: "a", afterSeq: 2 });
    const error = {
      error:
        "events 3 to 4 of session a are not in the daemon's log: dropped for their age, or another process's",
      code: "before-retention",
      hint: "opta daemon events a --after 4",
    };
    expect([status, body]).toEqual([410, error]);
    await using stream = await openSse(daemon, "/v3/sse/events?sessionId=a&afterSeq=2");
    expect(await stream.nextData()).toEqual(error);
    const kept = await eventsIn(daemon, "a", { afterSeq: 4 });
    expect(kept[0]?.seq).toBe(5);
    expect(kept.map(({ event }) => event)).toContain("session.cancelled");
  });

  test(`of a session that has ${manyEvents} come whole and in order, as a document and as a stream`, async () => {
    using place = createPlace();
    const { daemon: before } = await withDaemon(place, (daemon) =>
      call(daemon, "session.create", { sessionId: "a" }),
    );
    {
      const log = openLog(before);
      const head = log.lastSeq("a");
      log.database.run("BEGIN");
      for (let seq = head + 1; seq <= manyEvents; seq++) {
        const payload = { turnId: "t", text: `word ${seq} ` };
        const event = {
          v: "3",
          event: "turn.token",
          daemonId: "d",
          sessionId: "a",
          seq,
          ts: "",
          payload,
        };
        const text = JSON.stringify(event);
        log.append({ sessionId: "a", seq, text, isControl: false, isClosing: false });
      }
      log.database.run("COMMIT");
      log.close();
    }
    await using daemon = await startDaemon({ place });
    const events = await eventsIn(daemon, "a");
    expect(events.length).toBe(manyEvents);
    expect(events.findIndex(({ seq }, index) => seq !== index + 1)).toBe(-1);

    await using stream = await openSse(daemon, "/v3/sse/events?sessionId=a");
    for (const expected of events) {
      const told = await stream.nextData<OptaEvent>();
      if (told.seq !== expected.seq) expect(told).toEqual(expected);
    }
    // What is new comes behind them.
    await call(daemon, "turn.cancel", { sessionId: "a" });
    const [first] = await nextUntil(stream, "session.cancelled");
    expect(first?.seq).toBe(manyEvents + 1);
  }, 60_000);
});

describe("the stream of events", () => {
  test("begins with a comment, replays, goes on live, and resumes after the last seq", async () => {
    using place = createPlace({ "a.txt": "an apple\n" });
    await using lmx = await startReading();
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    const replayed = await runTurn(daemon, place);
    let last: number;
    {
      await using stream = await openSse(daemon, "/v3/sse/events?sessionId=a");
      expect(stream.headers.get("content-type")).toBe("text/event-stream");
      expect(await stream.next()).toBe(": connected");
      for (const expected of replayed) {
        // Byte for byte: each envelope is one line.
        expect(await stream.next()).toBe(`data: ${JSON.stringify(expected)}`);
      }
      await call(daemon, "turn.cancel", { sessionId: "a" });
      const [live] = await nextUntil(stream, "session.cancelled");
      expect(live?.seq).toBe(replayed.length + 1);
      last = live?.seq ?? 0;
    }
    const all = await runTurn(daemon, place);
    await using resumed = await openSse(daemon, `/v3/sse/events?sessionId=a&afterSeq=${last}`);
    for (const expected of all.slice(last)) expect(await resumed.nextData()).toEqual(expected);
  });

  test("can be followed before its session exists", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    await using stream = await openSse(daemon, "/v3/sse/events?sessionId=later");
    expect(await stream.next()).toBe(": connected");
    await call(daemon, "session.create", { sessionId: "later" });
    expect(await stream.nextData()).toMatchObject({ event: "session.snapshot", seq: 1 });
  });

  test("ends with the end of the turns when the daemon stops, as a WebSocket does", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "a", fault: { kind: "silence" } }] });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await call(daemon, "session.create", { sessionId: "a" });
    await using stream = await openSse(daemon, "/v3/sse/events?sessionId=a");
    const turn = { sessionId: "a", clientId: "c", writerId: "w", content: "go" };
    await call(daemon, "turn.submit", turn);
    await call(daemon, "turn.submit", turn);
    await nextUntil(stream, "turn.start");
    await call(daemon, "daemon.stop");
    const seen: OptaEvent[] = [];
    for (;;) {
      const event = await stream.nextData<OptaEvent>().catch(() => undefined);
      if (event === undefined) break;
      seen.push(event);
    }
    expect(await daemon.process.exited).toBe(0);
    expect(seen.filter(({ event }) => event === "turn.error")).toHaveLength(2);
    expect(seen).toEqual(eventsOnDisk(daemon.paths, "a").slice(-seen.length));
  });

  test("ends when the daemon stops", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    await using events = await openSse(daemon, "/v3/sse/events?sessionId=a");
    await using health = await openSse(daemon, "/v3/health/stream");
    await health.nextData();
    await events.next();
    daemon.process.kill("SIGTERM");
    const ended = (stream: SseReader) => stream.next().catch(() => undefined);
    expect(await Promise.all([ended(events), ended(health)])).toEqual([undefined, undefined]);
    expect(await daemon.process.exited).toBe(0);
  });
});

describe("the dialect of the existing client", () => {
  const kindsOf = (events: readonly { readonly event: string }[]) =>
    new Set(events.map(({ event }) => event));

  test("names tool.result tool.end and leaves progress out, for who asks or by the settings; nothing else differs", async () => {
    using place = createPlace({ "a.txt": "an apple\n" });
    await using lmx = await startReading();
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    const ours = await runTurn(daemon, place);
    const expected = ours
      .filter(({ event }) => event !== "turn.progress")
      .map((each) => ({ ...each, event: each.event === "tool.result" ? "tool.end" : each.event }));
    expect(kindsOf(expected)).toContain("tool.end");
    const theirs = await eventsIn(daemon, "a", { dialect: "opta-code" });
    expect(theirs as unknown).toEqual(expected);
    const stream = await openSse(daemon, "/v3/sse/events?sessionId=a&dialect=opta-code");
    for (const each of expected) expect(await stream.nextData<unknown>()).toEqual(each);
    await stream[Symbol.asyncDispose]();

    place.configure({ daemon: { dialect: "opta-code" } });
    await call(daemon, "daemon.health");
    expect((await eventsIn(daemon, "a")) as unknown).toEqual(expected);
    expect(await eventsIn(daemon, "a", { dialect: "opta" })).toEqual(ours);
    // A dialect that nobody knows is none.
    expect((await eventsIn(daemon, "a", { dialect: "klingon" })) as unknown).toEqual(expected);
  });

  test("tells that client how its turn ended also where daemon or session go at once", async () => {
    for (const goes of ["the daemon", "the session"] as const) {
      using place = createPlace();
      await using lmx = await startScripted({
        turns: [{ text: "a", fault: { kind: "silence" } }],
      });
      await using daemon = await startDaemon({ place, modelPort: lmx.port });
      await call(daemon, "session.create", { sessionId: "a" });
      await using theirs = await openSse(daemon, "/v3/sse/events?sessionId=a&dialect=opta-code");
      const turn = { sessionId: "a", clientId: "c", writerId: "w", content: "go" };
      const turnIds = new Set<unknown>();
      let submittedMs = 0;
      for (let count = 0; count < 3; count++) {
        submittedMs = performance.now();
        const { body } = await call(daemon, "turn.submit", turn);
        turnIds.add((body as { readonly turnId: string }).turnId);
      }
      if (goes === "the daemon") daemon.process.kill("SIGTERM");
      else await call(daemon, "session.delete", { sessionId: "a" });
      const first = (await nextUntil(theirs, "session.cancelled")).at(-1);
      expect(performance.now() - submittedMs).toBeGreaterThan(290);
      const ended = new Set<unknown>();
      const seen = [first];
      while (ended.size < 3) {
        const event = await theirs.nextData<OptaEvent>();
        seen.push(event);
        if (event.event === "turn.error") ended.add(event.payload.turnId);
      }
      expect(ended).toEqual(turnIds);
      const seqs = seen.map((event) => event?.seq ?? 0);
      expect(seqs).toEqual(seqs.map((_, index) => (seqs[0] ?? 0) + index));
    }
  });

  test("tells the end of a turn late enough for that client, and ours at once", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "short" }] });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await call(daemon, "session.create", { sessionId: "a" });
    await using ours = await openSse(daemon, "/v3/sse/events?sessionId=a");
    await using theirs = await openSse(daemon, "/v3/sse/events?sessionId=a&dialect=opta-code");
    const submittedMs = performance.now();
    const atMs = async (stream: SseReader) => {
      await nextUntil(stream, "turn.done");
      return performance.now() - submittedMs;
    };
    const turn = { sessionId: "a", clientId: "c", writerId: "w", content: "go" };
    const ends = Promise.all([atMs(ours), atMs(theirs)]);
    await call(daemon, "turn.submit", turn);
    const [oursMs, theirsMs] = await ends;
    expect(oursMs).toBeLessThan(theirsMs);
    // It takes its turn for running once it has the 202, which came later than it was sent (section 6.3).
    expect(theirsMs).toBeGreaterThanOrEqual(300);
    // What was missed in between follows in order.
    const [after] = await nextUntil(theirs, "session.updated");
    expect(after?.seq).toBe((await eventsIn(daemon, "a")).length);
  });
});
