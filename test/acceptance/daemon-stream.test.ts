// What a client is told over a WebSocket (promises E4-E7), on the built binary and with a client that shares nothing
// with us: the `ws` package under Node.
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { fillSessions } from "../../scripts/support/swarm-fill.ts";
import { daemonPaths } from "../../src/store/daemon-place.ts";
import { createEventRetention } from "../../src/store/event-retention.ts";
import {
  createSession,
  rootOf,
  type RunningDaemon,
  startDaemon,
  storedEvents,
  submitTurn,
  until,
} from "../support/daemon.ts";
import { startScripted } from "../support/lmx.ts";
import { type NodeSocket, openNodeSocket } from "../support/ws-client.ts";
import { createPlace, type Place } from "../support/workspace.ts";

const writer = { clientId: "node", writerId: "node" };

const seqsOf = ({ events }: NodeSocket) => events.map(({ seq }) => seq);
const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

function hasEvent({ events }: NodeSocket, kind: string): boolean {
  return events.some(({ event }) => (event as string) === kind);
}

/** The first answer to come that is an ack for `action`. */
async function ackOf(client: NodeSocket, action: string) {
  const find = () => client.answers.find((answer) => answer["action"] === action);
  await client.until(() => find() !== undefined, `the ack of ${action}`);
  return find();
}

async function countReaders(daemon: RunningDaemon): Promise<number> {
  const { runtime } = await daemon.json<{ runtime: { subscriberCount: number } }>("/v3/metrics");
  return runtime.subscriberCount;
}

test("an independent client shakes hands, replays, follows, asks for turns, answers questions and cancels", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [
      { text: "Hello there." },
      { toolCalls: [{ name: "write_file", arguments: { path: "a.txt", content: "made" } }] },
      { text: "Written." },
      { repeat: { text: "on and on ", times: 10_000 }, delays: { betweenChunksMs: 10 } },
    ],
  });
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  const refused = openNodeSocket({ ...daemon.state, token: "wrong" }, { sessionId: "any" });
  await expect(refused).rejects.toThrow("refused: 401");

  const sessionId = await createSession(daemon, place.workspace);
  await using client = await openNodeSocket(daemon.state, { sessionId });
  await client.until(() => hasEvent(client, "session.snapshot"), "the replay");

  client.order({ ping: true });
  await client.until(() => client.pongs() === 1, "a pong");
  client.send({ type: "hello", clientId: "node", sessionId, afterSeq: 0 });
  client.send({ type: "ping" });
  await client.until(() => client.answers.length > 0, "a heartbeat");
  expect(client.answers[0]).toMatchObject({ v: "3", event: "heartbeat", payload: {} });

  client.send({ type: "turn.submit", ...writer, sessionId, content: "hello", mode: "do" });
  expect(await ackOf(client, "turn.submit")).toEqual({
    type: "ack",
    action: "turn.submit",
    turnId: expect.any(String),
    queued: 0,
  });
  await client.until(() => hasEvent(client, "session.updated"), "the turn's end");

  client.send({ type: "turn.submit", ...writer, sessionId, content: "write", mode: "chat" });
  await client.until(() => hasEvent(client, "permission.request"), "a question");
  const requestId = client.events
    .flatMap(({ event, payload }) => (event === "permission.request" ? [payload.requestId] : []))
    .join();
  const decision = { requestId, decision: "allow", decidedBy: "node" };
  client.send({ type: "permission.resolve", sessionId, ...decision });
  expect(await ackOf(client, "permission.resolve")).toEqual({
    type: "ack",
    action: "permission.resolve",
    result: { ok: true, conflict: false },
  });
  await client.until(
    () => client.events.filter(({ event }) => event === "turn.done").length === 2,
    "the second turn's end",
  );
  expect(place.read("a.txt")).toBe("made");

  const before = client.events.length;
  client.send({ type: "turn.submit", ...writer, sessionId, content: "talk", mode: "do" });
  await client.until(
    () => client.events.slice(before).some(({ event }) => event === "turn.token"),
    "the third turn's answer",
  );
  client.send({ type: "turn.cancel", sessionId, writerId: "node" });
  expect(await ackOf(client, "turn.cancel")).toEqual({
    type: "ack",
    action: "turn.cancel",
    cancelled: { cancelledQueued: 0, cancelledActive: true },
  });
  await client.until(
    () => client.events.filter(({ event }) => event === "session.updated").length === 3,
    "the third turn's end",
  );

  const stored = await storedEvents(daemon, sessionId);
  expect(client.events).toEqual(stored);
  expect(seqsOf(client)).toEqual(range(1, stored.length));
  client.order({ close: 1000 });
  expect((await client.closed).code).toBe(1000);
  await until(async () => (await countReaders(daemon)) === 0, "the reader's end");
}, 60_000);

test("the end of a turn comes to the existing client 300 ms after the 202 or later, to ours before that", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "short" }] });
  await using daemon = await startDaemon({ place, modelPort: lmx.port });
  const sessionId = await createSession(daemon, place.workspace);
  await using ours = await openNodeSocket(daemon.state, { sessionId });
  await using theirs = await openNodeSocket(daemon.state, { sessionId, dialect: "opta-code" });
  await submitTurn(daemon, sessionId, { content: "go" });
  const endOf = async (client: NodeSocket) => {
    await client.until(() => hasEvent(client, "session.updated"), "the turn's end");
    const end = client.events.findIndex(({ event }) => event === "turn.done");
    return client.arrivalsMs[end] ?? 0;
  };
  const [oursMs, theirsMs] = await Promise.all([endOf(ours), endOf(theirs)]);
  // Stored, then answered with 202, then counted from; the clocks differ by less than a millisecond.
  const acceptedMs = Date.parse(ours.events.find(({ event }) => event === "turn.queued")?.ts ?? "");
  expect(theirsMs - acceptedMs).toBeGreaterThanOrEqual(299);
  expect(oursMs).toBeLessThan(theirsMs);
}, 60_000);

/** Sessions of 50 events each, as a crash, another process and the retention leave them. */
async function prepareSessions(place: Place): Promise<void> {
  const paths = daemonPaths(rootOf({ place }));
  mkdirSync(paths.directory, { recursive: true, mode: 0o700 });
  const fill = (sessionId: string) =>
    fillSessions({ directory: paths.directory, workspace: place.workspace }, [
      { sessionId, eventCount: 50 },
    ]);
  const drop = (sessionId: string, condition: string) => {
    using database = new Database(paths.events);
    database.run(
      `DELETE FROM events WHERE session = (SELECT number FROM sessions WHERE id = ?) AND ${condition}`,
      [sessionId],
    );
  };
  fill("pruned");
  {
    using database = new Database(paths.events);
    await createEventRetention(database).prune({
      maxAgeMs: Number.MAX_SAFE_INTEGER,
      maxBytes: 0,
      nowMs: Date.now(),
      isDeleted: () => false,
      forget: () => undefined,
      isBusy: () => false,
      isStopped: () => false,
    });
  }
  for (const sessionId of ["whole", "trimmed", "gap"]) fill(sessionId);
  drop("trimmed", "seq <= 10");
  drop("gap", "seq BETWEEN 20 AND 29");
}

describe("a cursor that cannot be followed is refused in words, never in silence:", () => {
  const cases = [
    { title: "ahead of the head", sessionId: "whole", afterSeq: 51, firstSeq: 51 },
    { title: "of a session nobody knows", sessionId: "nobody", afterSeq: 5, firstSeq: 1 },
    { title: "before what is kept", sessionId: "trimmed", afterSeq: 3, firstSeq: 11 },
    {
      title: "in a session whose events were all dropped",
      sessionId: "pruned",
      afterSeq: 3,
      firstSeq: 51,
    },
    { title: "before a gap in the middle", sessionId: "gap", afterSeq: 0, firstSeq: 30 },
  ] as const;
  for (const { title, sessionId, afterSeq, firstSeq } of cases) {
    test(
      title,
      async () => {
        using place = createPlace();
        await prepareSessions(place);
        await using lmx = await startScripted({ turns: [{ text: "news" }] });
        await using daemon = await startDaemon({ place, modelPort: lmx.port });
        const headSeq = sessionId === "nobody" ? 0 : 50;
        const code = afterSeq > headSeq ? "ahead-of-head" : "before-retention";
        const refusal = { error: expect.any(String), code, firstSeq, headSeq };
        const before = sessionId === "gap" ? range(1, 19) : [];

        await using ours = await openNodeSocket(daemon.state, { sessionId, afterSeq });
        expect(await ours.closed).toEqual({ code: 4409, reason: code });
        expect(ours.answers).toMatchObject([refusal]);
        expect(seqsOf(ours)).toEqual(before);
        await until(async () => (await countReaders(daemon)) === 0, "the reader's end");

        const theirPlace = { sessionId, afterSeq, dialect: "opta-code" } as const;
        await using theirs = await openNodeSocket(daemon.state, theirPlace);
        await theirs.until(() => theirs.answers.length > 0, "the refusal");
        await daemon.json("/v3/sessions", { sessionId, metadata: { workspace: place.workspace } });
        await submitTurn(daemon, sessionId, { content: "go" });
        await theirs.until(() => hasEvent(theirs, "session.updated"), "what comes next");
        const shown = (await storedEvents(daemon, sessionId, firstSeq - 1)).filter(
          ({ event }) => event !== "turn.progress",
        );
        expect(shown.length).toBeGreaterThan(4);
        expect(seqsOf(theirs)).toEqual([...before, ...shown.map(({ seq }) => seq)]);
        expect(theirs.answers).toMatchObject([refusal]);
        expect(await countReaders(daemon)).toBe(1);
      },
      60_000,
    );
  }

  test("over HTTP a gap in the middle ends the document and the stream with the error", async () => {
    using place = createPlace();
    await prepareSessions(place);
    await using daemon = await startDaemon({ place });
    const document = await daemon.json<{ events: { seq: number }[]; code: string; error: string }>(
      "/v3/sessions/gap/events?afterSeq=0",
    );
    expect(document.events.map(({ seq }) => seq)).toEqual(range(1, 19));
    expect(document.code).toBe("before-retention");
    expect(document.error).toContain("events 20 to 29");

    const stream = await (await daemon.fetch("/v3/sse/events?sessionId=gap&afterSeq=0")).text();
    const frames = stream
      .split("\n\n")
      .filter((each) => each.startsWith("data: "))
      .map((each) => JSON.parse(each.slice(6)) as { seq?: number; code?: string });
    expect(frames.map(({ seq, code }) => seq ?? code)).toEqual([
      ...range(1, 19),
      "before-retention",
    ]);
  }, 60_000);
});

test("a session that nobody knows yet can be followed from its beginning", async () => {
  using place = createPlace();
  await using daemon = await startDaemon({ place });
  await using client = await openNodeSocket(daemon.state, { sessionId: "later" });
  await daemon.json("/v3/sessions", {
    sessionId: "later",
    metadata: { workspace: place.workspace },
  });
  await client.until(() => client.events.length > 0, "the first event");
  expect(client.events.map(({ seq, event }) => [seq, event])).toEqual([[1, "session.snapshot"]]);
  expect(client.answers).toEqual([]);
}, 60_000);

test("large events come whole, however many of them", async () => {
  using place = createPlace();
  const { directory } = daemonPaths(rootOf({ place }));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const session = { sessionId: "large", eventCount: 700, paddingBytes: 50_000 };
  fillSessions({ directory, workspace: place.workspace }, [session]);
  await using daemon = await startDaemon({ place });
  await using client = await openNodeSocket(daemon.state, { sessionId: "large" });
  await client.until(() => client.events.length === session.eventCount, "all events");
  expect(seqsOf(client)).toEqual(range(1, session.eventCount));
}, 60_000);

test("a client that stops reading is cut, and goes on where it was when it comes back", async () => {
  using place = createPlace();
  const { directory } = daemonPaths(rootOf({ place }));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const eventCount = 80_000;
  fillSessions({ directory, workspace: place.workspace }, [{ sessionId: "long", eventCount }]);
  await using daemon = await startDaemon({ place });
  await using client = await openNodeSocket(daemon.state, { sessionId: "long" });
  client.order({ pause: true });
  await until(async () => (await countReaders(daemon)) === 0, "the cut");
  client.order({ resume: true });
  // It is told why, where that still reaches it.
  expect([4408, 1006]).toContain((await client.closed).code);
  const had = client.events.length;
  expect(had).toBeLessThan(eventCount);
  expect(seqsOf(client)).toEqual(range(1, had));

  await using again = await openNodeSocket(daemon.state, { sessionId: "long", afterSeq: had });
  await again.until(() => again.events.length === eventCount - had, "the rest");
  expect(seqsOf(again)).toEqual(range(had + 1, eventCount));
}, 90_000);
