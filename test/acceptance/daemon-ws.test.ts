// The daemon's WebSocket on the built binary: who gets one, what it tells, and the commands it takes
// (contracts/daemon-v3.md section 3).
import { describe, expect, test } from "bun:test";
import { existsSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { socketCommands } from "../../src/protocol/daemon-routes.ts";
import type { OptaEvent } from "../../src/protocol/event.ts";
import { rootOf, type RunningDaemon, startDaemon, turnEnd } from "../support/daemon.ts";
import { ask, call, eventsIn, openSse } from "../support/daemon-http.ts";
import { startScripted } from "../support/lmx.ts";
import { type Frame, openRawSocket, type RawSocket } from "../support/raw-socket.ts";
import { createPlace } from "../support/workspace.ts";

const page = "http://localhost:3004";

/** Resolves when it is open. @param query without the "?"; `headers` in place of the token's */
function connect(
  { state }: RunningDaemon,
  query: string,
  headers: Record<string, string> = { authorization: `Bearer ${state.token}` },
): Promise<RawSocket> {
  return openRawSocket(`ws://127.0.0.1:${state.port}/v3/ws?${query}`, headers);
}

const isEvent = ({ seq }: Frame) => typeof seq === "number";
const eventsOf = (frames: readonly Frame[]) => frames.filter(isEvent) as unknown as OptaEvent[];
const repliesOf = (frames: readonly Frame[]) => frames.filter((frame) => !isEvent(frame));

async function untilEvent(socket: RawSocket, kind: string): Promise<readonly OptaEvent[]> {
  return eventsOf(await socket.until((frames) => frames.some(({ event }) => event === kind)));
}

/** Sends a command and gives the reply to it. */
async function command(socket: RawSocket, frame: unknown): Promise<Frame> {
  const before = repliesOf(socket.frames as readonly Frame[]).length;
  socket.send(frame);
  const frames = await socket.until((all) => repliesOf(all).length > before);
  return repliesOf(frames)[before] as Frame;
}

function requestIdOf(event: OptaEvent | undefined): string {
  return event?.event === "permission.request" ? event.payload.requestId : "";
}

interface Cancelled {
  readonly cancelledQueued: number;
  readonly cancelledActive: boolean;
}
const isCancelAck = ({ type, action }: Frame) => type === "ack" && action === "turn.cancel";

const submission = { type: "turn.submit", clientId: "c", writerId: "w", content: "go" };

describe("a socket", () => {
  test("is for who has the token or a ticket, and everybody else is refused before the upgrade", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    (await connect(daemon, "sessionId=a")).close();
    const refused: readonly (readonly [string, Record<string, string>, number])[] = [
      ["sessionId=a", { authorization: "" }, 401],
      ["sessionId=a", { authorization: "Bearer wrong" }, 401],
      [`sessionId=a&token=${daemon.state.token}`, { authorization: "" }, 401],
      ["sessionId=a&ticket=wrong", { authorization: "" }, 401],
      ["", {}, 400],
      ["sessionId=a.b", {}, 400],
      ["sessionId=", {}, 400],
      ["sessionId=a", {}, 426],
      ["sessionId=a", { origin: "http://evil.test" }, 403],
    ];
    for (const [query, headers, expected] of refused) {
      const { status } = await ask(daemon, `GET /v3/ws?${query}`, { headers });
      expect([query, headers, status]).toEqual([query, headers, expected]);
      if (expected === 426) continue;
      const bearer = { authorization: `Bearer ${daemon.state.token}` };
      const upgraded = connect(daemon, query, { ...bearer, ...headers });
      expect(await upgraded.catch(() => "refused")).toBe("refused");
    }
  });

  test("takes a ticket once, and a ticket is good for nothing else", async () => {
    using place = createPlace();
    place.configure({ daemon: { allowedOrigins: [page] } });
    await using daemon = await startDaemon({ place });
    const { body } = await call(daemon, "daemon.ticket");
    const { ticket } = body as { readonly ticket: string };
    expect(body).toEqual({ ticket, expiresInMs: 30_000 });
    const onHttp = await ask(daemon, `GET /v3/health?ticket=${ticket}`, {
      headers: { authorization: "" },
    });
    expect(onHttp.status).toBe(401);
    using socket = await connect(daemon, `sessionId=a&ticket=${ticket}`, { origin: page });
    expect(await command(socket, { type: "ping" })).toMatchObject({ event: "heartbeat" });
    const again = await connect(daemon, `sessionId=a&ticket=${ticket}`, { origin: page }).catch(
      () => "refused",
    );
    expect(again).toBe("refused");
  });

  test("may be opened with the token in its URL where the settings allow that, by pages on the list", async () => {
    using place = createPlace();
    place.configure({ daemon: { allowedOrigins: [page], allowQueryToken: true } });
    await using daemon = await startDaemon({ place });
    const query = `sessionId=a&token=${daemon.state.token}`;
    (await connect(daemon, query, { origin: page })).close();
    for (const headers of [{}, { origin: "http://localhost:3005" }]) {
      expect(await connect(daemon, query, headers).catch(() => "refused")).toBe("refused");
    }
  });

  test("tells what is stored and then what comes, the same to all, from any cursor", async () => {
    using place = createPlace({ "a.txt": "an apple\n" });
    await using lmx = await startScripted({
      turns: [
        { toolCalls: [{ name: "read_file", arguments: { path: "a.txt" } }] },
        { text: "It says: an apple." },
      ],
    });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    using early = await connect(daemon, "sessionId=a");
    const metadata = { workspace: place.workspace };
    await call(daemon, "session.create", { sessionId: "a", metadata });
    const turn = { sessionId: "a", clientId: "c", writerId: "w", content: "go" };
    const { body } = await call(daemon, "turn.submit", turn);
    using middle = await connect(daemon, "sessionId=a&afterSeq=2");
    const stored = await turnEnd(daemon, "a", (body as { readonly turnId: string }).turnId);
    using late = await connect(daemon, `sessionId=a&afterSeq=${stored.length - 2}`);
    using strange = await connect(daemon, "sessionId=a&afterSeq=-5");
    await call(daemon, "turn.cancel", { sessionId: "a" });
    const all = await eventsIn(daemon, "a");
    expect(all.length).toBe(stored.length + 1);
    for (const [socket, afterSeq] of [
      [early, 0],
      [middle, 2],
      [late, stored.length - 2],
      [strange, 0],
    ] as const) {
      expect(await untilEvent(socket, "session.cancelled")).toEqual(all.slice(afterSeq));
    }
  });

  test("in the dialect of the existing client says tool.end, and no progress", async () => {
    using place = createPlace({ "a.txt": "an apple\n" });
    await using lmx = await startScripted({
      turns: [
        { toolCalls: [{ name: "read_file", arguments: { path: "a.txt" } }] },
        { text: "It says: an apple." },
      ],
    });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    const metadata = { workspace: place.workspace };
    await call(daemon, "session.create", { sessionId: "a", metadata });
    using live = await connect(daemon, "sessionId=a&dialect=opta-code");
    await command(live, submission);
    const told = await untilEvent(live, "session.updated");
    const expected = (await eventsIn(daemon, "a")).filter(({ event }) => event !== "turn.progress");
    expect(told as unknown).toEqual(
      expected.map((each) => ({
        ...each,
        event: each.event === "tool.result" ? "tool.end" : each.event,
      })),
    );
  });

  test("with a cursor ahead of the head is told so: ours is closed, the existing client's goes on", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    await call(daemon, "session.create", { sessionId: "a" });
    const told = {
      error: "session a has events up to 1; there is nothing after 7 to wait for",
      code: "ahead-of-head",
      hint: "opta daemon events a --after 1",
      firstSeq: 2,
      headSeq: 1,
    };
    using ours = await connect(daemon, "sessionId=a&afterSeq=7");
    expect(await ours.closed).toBe(4409);
    expect(ours.frames).toEqual([told]);
    using theirs = await connect(daemon, "sessionId=a&afterSeq=7&dialect=opta-code");
    await theirs.until((frames) => frames.length > 0);
    await call(daemon, "turn.cancel", { sessionId: "a" });
    await untilEvent(theirs, "session.cancelled");
    expect(theirs.frames).toMatchObject([told, { event: "session.cancelled", seq: 2 }]);
  });

  test("is closed with 1001 when the daemon stops, and does not hold that up (lesson 34)", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    using socket = await connect(daemon, "sessionId=a");
    await using events = await openSse(daemon, "/v3/sse/events?sessionId=a");
    await using health = await openSse(daemon, "/v3/health/stream");
    await Promise.all([events.next(), health.next()]);
    await using half = await Bun.connect({
      hostname: "127.0.0.1",
      port: daemon.state.port,
      socket: { data: () => undefined },
    }).then((sent) => ({ sent, [Symbol.asyncDispose]: async () => void sent.end() }));
    half.sent.write("POST /v3/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    await command(socket, { type: "ping" });
    daemon.process.kill("SIGTERM");
    // Nothing runs: there is nothing to wait for.
    const exit = await Promise.race([daemon.process.exited, Bun.sleep(2_000)]);
    expect(exit).toBe(0);
    expect(await socket.closed).toBe(1001);
  });

  test("hears the first word while the model has said no second one (lesson 5)", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [{ text: ["first ", "second"], delays: { betweenChunksMs: 120_000 } }],
    });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await call(daemon, "session.create", { sessionId: "a" });
    using socket = await connect(daemon, "sessionId=a");
    socket.send(submission);
    expect((await untilEvent(socket, "turn.token")).at(-1)?.payload).toMatchObject({
      text: "first ",
    });
  });
});

describe("commands", () => {
  test("take effect in the order in which they were sent: a cancel reaches what was submitted before it", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [{ repeat: { text: "word ", times: 200 }, delays: { betweenChunksMs: 10 } }],
      loop: true,
    });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    for (let round = 0; round < 12; round++) {
      const sessionId = `s${round}`;
      await call(daemon, "session.create", { sessionId });
      using socket = await connect(daemon, `sessionId=${sessionId}`);
      const submits = round % 3 === 0 ? 5 : 1;
      for (let turn = 0; turn < submits; turn++) socket.send(submission);
      socket.send({ type: "turn.cancel", writerId: "w" });
      const ends = await socket.until(
        (frames) => frames.filter(({ event }) => event === "turn.error").length === submits,
      );
      expect(ends.filter(({ event }) => event === "turn.done")).toEqual([]);
      const acks = await socket.until((frames) => frames.some(isCancelAck));
      const { cancelled } = acks.find(isCancelAck) as unknown as { cancelled: Cancelled };
      expect(cancelled.cancelledQueued + Number(cancelled.cancelledActive)).toBe(submits);
    }
  });

  test("are answered while the settings cannot even be looked at: the last good ones hold", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    await call(daemon, "session.create", { sessionId: "a" });
    using socket = await connect(daemon, "sessionId=a");
    const path = join(rootOf({ place }), "config.json");
    symlinkSync(path, path);
    expect(await command(socket, { type: "ping" })).toMatchObject({ event: "heartbeat" });
    expect((await call(daemon, "daemon.health")).status).toBe(200);
  });

  test("of a page whose origin was revoked close its socket; what it only listens to ends soon, too", async () => {
    using place = createPlace();
    place.configure({ daemon: { allowedOrigins: [page] } });
    await using daemon = await startDaemon({ place });
    await call(daemon, "session.create", { sessionId: "a" });
    const bearer = { authorization: `Bearer ${daemon.state.token}` };
    using theirs = await connect(daemon, "sessionId=a", { ...bearer, origin: page });
    using listening = await connect(daemon, "sessionId=a", { ...bearer, origin: page });
    await using stream = await openSse(daemon, "/v3/sse/events?sessionId=a", { origin: page });
    using ours = await connect(daemon, "sessionId=a");
    expect(await command(theirs, { type: "ping" })).toMatchObject({ event: "heartbeat" });
    place.configure({});
    theirs.send(submission);
    expect(await theirs.closed).toBe(1008);
    // Looked at every five seconds.
    expect(await listening.closed).toBe(1008);
    while ((await stream.next()) !== undefined);
    expect(await command(ours, { type: "ping" })).toMatchObject({ event: "heartbeat" });
    const events = await eventsIn(daemon, "a");
    expect(events.map(({ event }) => event)).toEqual(["session.snapshot"]);
  }, 30_000);

  test("are those of the description, and nothing else is one", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    await call(daemon, "session.create", { sessionId: "a" });
    using socket = await connect(daemon, "sessionId=a&afterSeq=1");
    for (const type of Object.keys(socketCommands)) {
      if (type === "hello") continue;
      const reply = await command(socket, { type });
      expect([type, reply]).toEqual([
        type,
        expect.not.objectContaining({ error: "Invalid WS payload" }),
      ]);
    }
    // This one has no reply: the next that comes is the ping's.
    socket.send({ type: "hello", clientId: "c", sessionId: "a", afterSeq: 0 });
    const { daemonId } = daemon.state;
    const beat = await command(socket, { type: "ping" });
    expect(beat).toEqual({
      v: "3",
      event: "heartbeat",
      daemonId,
      ts: expect.any(String),
      payload: {},
    });
    for (const type of ["", "turn", "toString", "__proto__", "session.create", "daemon.stop"]) {
      const reply = await command(socket, { type });
      expect([type, reply]).toMatchObject([
        type,
        { error: "Invalid WS payload", details: [{ path: ["type"] }] },
      ]);
    }
    for (const malformed of ["{", "", "nonsense"]) {
      expect(await command(socket, malformed)).toEqual({ error: "Invalid JSON payload" });
    }
    for (const malformed of ["5", "[]", "null", "{}", '{"type":5}']) {
      expect(await command(socket, malformed)).toMatchObject({ error: "Invalid WS payload" });
    }
    expect((await eventsIn(daemon, "a", { afterSeq: 1 })).map(({ event }) => event)).toEqual([
      "session.cancelled",
    ]);
  });

  test("submit a turn and cancel it, with the same answers as over HTTP", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [{ text: "a", fault: { kind: "silence" } }],
      loop: true,
    });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await call(daemon, "session.create", { sessionId: "a" });
    using socket = await connect(daemon, "sessionId=a&afterSeq=1");
    const keyed = { ...submission, sessionId: "a", idempotencyKey: "k" };
    const ack = await command(socket, keyed);
    expect(ack).toEqual({
      type: "ack",
      action: "turn.submit",
      turnId: expect.any(String),
      queued: 0,
    });
    expect(await command(socket, keyed)).toMatchObject({ turnId: ack["turnId"] });
    const { body } = await call(daemon, "turn.submit", { ...keyed, type: undefined });
    expect(body).toMatchObject({ turnId: ack["turnId"] });
    await command(socket, submission);
    expect(await command(socket, { type: "turn.cancel", writerId: "w" })).toEqual({
      type: "ack",
      action: "turn.cancel",
      cancelled: { cancelledQueued: 1, cancelledActive: true },
    });
    expect(await command(socket, { type: "turn.cancel", sessionId: "a" })).toMatchObject({
      cancelled: { cancelledQueued: 0, cancelledActive: false },
    });
    const refused: readonly (readonly [object, object])[] = [
      [
        { ...submission, content: "" },
        { error: expect.stringContaining("content"), code: "usage" },
      ],
      [{ ...submission, writerId: 5 }, { error: expect.stringContaining("writerId") }],
      [{ ...submission, lastSeenSeq: 0 }, { code: "state-conflict" }],
      [{ ...submission, sessionId: "b" }, { error: "this socket is for session a" }],
    ];
    for (const [frame, reply] of refused) expect(await command(socket, frame)).toMatchObject(reply);
    using nowhere = await connect(daemon, "sessionId=nowhere");
    expect(await command(nowhere, submission)).toEqual({
      error: "there is no session nowhere",
      code: "not-found",
      hint: "opta sessions list",
    });
  });

  test("answer a permission request: of twenty sockets at once one wins, the others learn who", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [
        { toolCalls: [{ name: "run_command", arguments: { command: "touch ran" } }] },
        { text: "understood" },
      ],
    });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    const metadata = { workspace: place.workspace };
    await call(daemon, "session.create", { sessionId: "a", metadata });
    const sockets = await Promise.all(
      Array.from({ length: 20 }, () => connect(daemon, "sessionId=a")),
    );
    try {
      sockets[0]?.send(submission);
      const asked = await Promise.all(
        sockets.map(async (socket) => (await untilEvent(socket, "permission.request")).at(-1)),
      );
      const requestId = requestIdOf(asked[0]);
      const replies = await Promise.all(
        sockets.map(async (socket, index) => {
          const decidedBy = `socket ${index}`;
          const decision = index % 2 === 0 ? "allow" : "deny";
          const answer = { type: "permission.resolve", requestId, decision, decidedBy };
          socket.send(answer);
          const frames = await socket.until((all) =>
            all.some(({ action }) => action === "permission.resolve"),
          );
          const reply = frames.find(({ action }) => action === "permission.resolve");
          return { decidedBy, decision, result: reply?.["result"] as { readonly ok: boolean } };
        }),
      );
      const winners = replies.filter(({ result }) => result.ok);
      expect(winners.map(({ result }) => result as unknown)).toEqual([
        { ok: true, conflict: false },
      ]);
      const message = `${requestId} was already decided by ${winners[0]?.decidedBy}`;
      for (const { result } of replies.filter((reply) => reply !== winners[0])) {
        expect(result as unknown).toEqual({ ok: false, conflict: true, message });
      }
      const [first] = sockets;
      const events = first === undefined ? [] : await untilEvent(first, "turn.done");
      const resolved = events.filter(({ event }) => event === "permission.resolved");
      expect(resolved).toMatchObject([{ payload: { decidedBy: winners[0]?.decidedBy } }]);
      expect(existsSync(join(place.workspace, "ran"))).toBe(winners[0]?.decision === "allow");
    } finally {
      for (const socket of sockets) socket[Symbol.dispose]();
    }
  });

  const denials: readonly (readonly [string, object, string])[] = [
    ["another word", { decision: "maybe", decidedBy: "Ada" }, "a malformed answer was sent"],
    ["nobody who decided", { decision: "allow" }, "a malformed answer was sent"],
    [
      "another session's name",
      { decision: "allow", decidedBy: "Ada", sessionId: "b" },
      "for another session",
    ],
  ];
  for (const [title, answer, reason] of denials) {
    test(`deny a permission request by an answer with ${title}`, async () => {
      using place = createPlace();
      await using lmx = await startScripted({
        turns: [
          { toolCalls: [{ name: "run_command", arguments: { command: "touch ran" } }] },
          { text: "understood" },
        ],
      });
      await using daemon = await startDaemon({ place, modelPort: lmx.port });
      const metadata = { workspace: place.workspace };
      await call(daemon, "session.create", { sessionId: "a", metadata });
      using socket = await connect(daemon, "sessionId=a");
      await command(socket, submission);
      const asked = (await untilEvent(socket, "permission.request")).at(-1);
      const requestId = requestIdOf(asked);
      const reply = await command(socket, { type: "permission.resolve", requestId, ...answer });
      expect(reply).toEqual(expect.objectContaining({ error: expect.any(String) }));
      const events = await untilEvent(socket, "turn.done");
      expect(events.filter(({ event }) => event === "permission.resolved")).toMatchObject([
        { payload: { decision: "deny", reason: expect.stringContaining(reason) } },
      ]);
      expect(existsSync(join(place.workspace, "ran"))).toBe(false);
    });
  }

  test("of an unknown request are told that there is none", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    await call(daemon, "session.create", { sessionId: "a" });
    using socket = await connect(daemon, "sessionId=a");
    const answer = {
      type: "permission.resolve",
      requestId: "r",
      decision: "allow",
      decidedBy: "A",
    };
    expect(await command(socket, answer)).toEqual({
      type: "ack",
      action: "permission.resolve",
      result: { ok: false, conflict: false, message: "there is no permission request r" },
    });
  });
});
