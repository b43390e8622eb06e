// Sessions and turns over the daemon's HTTP, on the built binary (contracts/daemon-v3.md section 2).
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { ScenarioInput } from "../../src/lmx-server/scenario.ts";
import type { OptaEvent } from "../../src/protocol/event.ts";
import { type RunningDaemon, startDaemon, turnEnd, until } from "../support/daemon.ts";
import { ask, call, eventsIn } from "../support/daemon-http.ts";
import { startScripted } from "../support/lmx.ts";
import { createPlace } from "../support/workspace.ts";

const turn = { clientId: "c", writerId: "w", content: "go" };

/** The kinds that tell of a turn's life, each with its turn. */
function livesOf(events: readonly OptaEvent[]): readonly string[] {
  return events.flatMap(({ event, payload }) =>
    /^turn\.(queued|start|done|error)$/.test(event) && "turnId" in payload
      ? [`${event} ${payload.turnId}`]
      : [],
  );
}

async function submit(daemon: RunningDaemon, params: object): Promise<string> {
  const { body } = await call(daemon, "turn.submit", { ...turn, ...params });
  return (body as { readonly turnId: string }).turnId;
}

describe("sessions", () => {
  test("are made with what was given, and an id that exists gives the stored one unchanged", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    const messages = [
      { role: "user", content: "before" },
      { role: "assistant", content: "indeed" },
    ];
    const given = {
      sessionId: "first_1",
      title: "A title",
      model: "org/some",
      messages,
      metadata: { workspace: place.workspace, other: 1 },
    };
    const made = await call(daemon, "session.create", given);
    expect(made).toMatchObject({
      status: 201,
      body: {
        sessionId: "first_1",
        title: "A title",
        model: "org/some",
        queuedTurns: 0,
        toolCallCount: 0,
        writerCount: 0,
      },
    });
    expect(made.body).not.toHaveProperty("activeTurnId");
    const again = await call(daemon, "session.create", {
      ...given,
      title: "Another",
      messages: [],
    });
    expect([again.status, again.body]).toEqual([201, made.body]);
    const { body } = await call(daemon, "session.get", { sessionId: "first_1" });
    expect(body).toMatchObject({
      ...(made.body as object),
      id: "first_1",
      messages,
      metadata: { workspace: place.workspace, model: "org/some" },
      seq: 1,
    });
    const kinds = (await eventsIn(daemon, "first_1")).map(({ event }) => event);
    expect(kinds).toEqual(["session.snapshot"]);
    expect(place.sessions().map(({ id }) => id)).toEqual(["first_1"]);
  });

  test("need nothing at all: an empty body makes one with an id and a workspace of its own", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    const { status, body } = await ask(daemon, "POST /v3/sessions");
    const { sessionId } = body as { readonly sessionId: string };
    expect(status).toBe(201);
    expect(sessionId).toMatch(/^[\w-]{10,}$/);
    const got = (await call(daemon, "session.get", { sessionId })).body;
    const { workspace } = (got as { readonly metadata: { readonly workspace: string } }).metadata;
    expect(workspace).toStartWith(place.home);
    expect(workspace).toEndWith(`${sessionId}/workspace`);
    // As clients say it that have none chosen.
    const none = { sessionId: "none", metadata: { workspace: "" } };
    expect((await call(daemon, "session.create", none)).status).toBe(201);
  });

  test("that go on with a conversation get the system message with their first turn (lesson 3)", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "It is 5." }] });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    const messages = [
      { role: "user", content: "What is 2 + 2?" },
      { role: "assistant", content: "4" },
    ];
    const metadata = { workspace: place.workspace };
    await call(daemon, "session.create", { sessionId: "a", messages, metadata });
    const turnId = await submit(daemon, { sessionId: "a", content: "And 2 + 3?" });
    await turnEnd(daemon, "a", turnId);
    const sent = lmx.chats()[0]?.messages ?? [];
    expect(sent.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user"]);
    expect(String(sent[0]?.content)).toContain("opta");
    expect(sent.slice(1, 3)).toMatchObject(messages);
  });

  test("with a wrong id, workspace or message are refused, and nothing is left of them", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    const refused = [
      [{ sessionId: "a/b" }, ["sessionId"]],
      [{ sessionId: "x".repeat(65) }, ["sessionId"]],
      [{ sessionId: "" }, ["sessionId"]],
      [{ sessionId: 5 }, ["sessionId"]],
      [{ messages: [{ role: "king", content: "x" }] }, ["messages", 0, "role"]],
      [{ metadata: { workspace: 1 } }, ["metadata", "workspace"]],
    ] as const;
    for (const [params, path] of refused) {
      const { status, body } = await call(daemon, "session.create", params);
      expect([params, status, body]).toMatchObject([
        params,
        400,
        { code: "usage", error: expect.any(String), details: [{ path }] },
      ]);
    }
    const workspace = join(place.workspace, "none");
    const refusal = await call(daemon, "session.create", { metadata: { workspace } });
    expect(refusal).toMatchObject({
      status: 404,
      body: { error: `the workspace ${workspace} is not a directory`, code: "not-found" },
    });
    expect(place.sessionEntries()).toEqual([]);
    for (const route of [
      "GET /v3/sessions/..%2fx",
      "GET /v3/sessions/a.b",
      "DELETE /v3/sessions/a.b",
    ]) {
      const { status, body } = await ask(daemon, route);
      expect([route, status, body]).toMatchObject([route, 400, { code: "usage" }]);
    }
  });

  test("are listed newest first, by pages, by workspace and by what was said", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    const other = join(place.workspace, "other");
    mkdirSync(other);
    for (const [index, sessionId] of ["a", "b", "c", "d"].entries()) {
      const workspace = index % 2 === 0 ? place.workspace : other;
      const messages = [{ role: "user", content: index < 2 ? "about Apples" : "about pears" }];
      await call(daemon, "session.create", { sessionId, messages, metadata: { workspace } });
      // Times of sessions have milliseconds.
      await Bun.sleep(3);
    }
    const list = async (params: object) => {
      const { body } = await call(daemon, "session.list", { ...params });
      const { sessions, nextCursor } = body as {
        readonly sessions: readonly { readonly sessionId: string }[];
        readonly nextCursor: string | null;
      };
      return [sessions.map(({ sessionId }) => sessionId).join(""), nextCursor];
    };
    expect(await list({})).toEqual(["dcba", null]);
    expect(await list({ limit: 3 })).toEqual(["dcb", "b"]);
    expect(await list({ limit: 3, cursor: "b" })).toEqual(["a", null]);
    expect(await list({ limit: 4 })).toEqual(["dcba", null]);
    expect(await list({ workspace: other })).toEqual(["db", null]);
    expect(await list({ workspace: `${other}/` })).toEqual(["db", null]);
    expect(await list({ workspace: other, limit: 1 })).toEqual(["d", "d"]);
    expect(await list({ query: "APPLE" })).toEqual(["ba", null]);
    expect(await list({ query: "apple", workspace: place.workspace })).toEqual(["a", null]);
    for (const params of [{ limit: 0 }, { limit: "x" }, { limit: 1.5 }, { cursor: "nobody" }]) {
      const { status, body } = await call(daemon, "session.list", params);
      expect([params, status, body]).toMatchObject([params, 400, { code: "usage" }]);
    }
  });

  test("that are deleted are gone with file, events and turns; one that is not there is a 404", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "a", fault: { kind: "silence" } }] });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await call(daemon, "session.create", { sessionId: "a" });
    await submit(daemon, { sessionId: "a" });
    const { status, body } = await call(daemon, "session.delete", { sessionId: "a" });
    expect([status, body]).toEqual([200, { deleted: true }]);
    expect(place.sessionEntries().filter((name) => name.endsWith(".json"))).toEqual([]);
    expect(await eventsIn(daemon, "a")).toEqual([]);
    for (const name of ["session.get", "session.delete", "session.resume"] as const) {
      const answer = await call(daemon, name, { sessionId: "a" });
      expect([name, answer.status, answer.body]).toMatchObject([
        name,
        404,
        { error: "there is no session a", code: "not-found", hint: "opta sessions list" },
      ]);
    }
    expect(await call(daemon, "turn.submit", { sessionId: "a", ...turn })).toMatchObject({
      status: 404,
    });
    expect((await call(daemon, "daemon.metrics")).body).toMatchObject({
      runtime: { activeTurnCount: 0, queuedTurnCount: 0 },
    });
  });
});

describe("turns", () => {
  test("are accepted with 202 and told by events that a later reader finds, too", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "Hello, you." }] });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await call(daemon, "session.create", {
      sessionId: "a",
      metadata: { workspace: place.workspace },
    });
    const { status, body } = await call(daemon, "turn.submit", {
      sessionId: "a",
      ...turn,
      extra: 1,
    });
    expect([status, body]).toEqual([202, { turnId: expect.any(String), queued: 0 }]);
    const { turnId } = body as { readonly turnId: string };
    const events = await turnEnd(daemon, "a", turnId);
    const kinds = events.map(({ event }) => event).filter((kind) => kind !== "turn.progress");
    expect([...new Set(kinds)]).toEqual([
      "session.snapshot",
      "turn.queued",
      "turn.start",
      "turn.token",
      "turn.done",
      "session.updated",
    ]);
    const queued = events.find(({ event }) => event === "turn.queued");
    expect(queued?.payload).toMatchObject({ turnId, clientId: "c", writerId: "w" });
    const after = (await call(daemon, "session.get", { sessionId: "a" })).body;
    expect(after).toMatchObject({ title: "go", seq: events.length, queuedTurns: 0 });
    expect(after).not.toHaveProperty("activeTurnId");
    const { messages } = after as { readonly messages: readonly { content: string }[] };
    expect(messages.at(-1)).toMatchObject({ role: "assistant", content: "Hello, you." });
  });

  test("in plan, review and research run nothing, whatever their overrides say", async () => {
    using place = createPlace();
    const command = "touch ran";
    await using lmx = await startScripted({
      loop: true,
      turns: [{ toolCalls: [{ name: "run_command", arguments: { command } }] }, { text: "I see." }],
    });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    for (const mode of ["plan", "review", "research"]) {
      for (const overrides of [
        { permissionMode: "dangerous" },
        { permissionMode: "auto", dangerous: true },
        { dangerous: true, auto: true },
      ]) {
        const metadata = { workspace: place.workspace };
        const { body } = await call(daemon, "session.create", { metadata });
        const { sessionId } = body as { readonly sessionId: string };
        const turnId = await submit(daemon, { sessionId, mode, overrides });
        const events = await turnEnd(daemon, sessionId, turnId);
        const results = events.filter(({ event }) => event === "tool.result");
        expect(JSON.stringify(results)).toContain("denied by policy");
        expect(existsSync(join(place.workspace, "ran"))).toBe(false);
      }
    }
  });

  test("that are malformed are a 400 with what the schema found, and leave nothing behind", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    await call(daemon, "session.create", { sessionId: "a" });
    const malformed = [
      [{ content: undefined }, ["content"]],
      [{ content: "" }, ["content"]],
      [{ clientId: undefined }, ["clientId"]],
      [{ writerId: 5 }, ["writerId"]],
      [{ mode: "fly" }, ["mode"]],
      [{ lastSeenSeq: -1 }, ["lastSeenSeq"]],
      [{ lastSeenSeq: 1.5 }, ["lastSeenSeq"]],
      [{ idempotencyKey: "" }, ["idempotencyKey"]],
      [{ overrides: { maxSteps: 0 } }, ["overrides", "maxSteps"]],
    ] as const;
    for (const [change, path] of malformed) {
      const answer = await call(daemon, "turn.submit", { sessionId: "a", ...turn, ...change });
      expect([change, answer.status, answer.body]).toMatchObject([
        change,
        400,
        { error: expect.stringContaining(path.join(".")), code: "usage", details: [{ path }] },
      ]);
    }
    expect((await eventsIn(daemon, "a")).map(({ event }) => event)).toEqual(["session.snapshot"]);
  });

  test("of a session that is not there, or whose workspace has gone, are refused", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    expect(await call(daemon, "turn.submit", { sessionId: "none", ...turn })).toMatchObject({
      status: 404,
      body: { error: "there is no session none", code: "not-found" },
    });
    const workspace = join(place.workspace, "gone");
    mkdirSync(workspace);
    await call(daemon, "session.create", { sessionId: "a", metadata: { workspace } });
    rmSync(workspace, { recursive: true });
    expect(await call(daemon, "turn.submit", { sessionId: "a", ...turn })).toMatchObject({
      status: 404,
      body: { error: `the workspace ${workspace} is not a directory`, code: "not-found" },
    });
    expect(livesOf(await eventsIn(daemon, "a"))).toEqual([]);
  });

  test("whose writer has not seen the newest event are a 409; one that has is accepted", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "one" }] });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await call(daemon, "session.create", { sessionId: "a" });
    const stale = await call(daemon, "turn.submit", { sessionId: "a", ...turn, lastSeenSeq: 0 });
    expect([stale.status, stale.body]).toMatchObject([
      409,
      { error: "session a has gone on to event 1; you have seen 0", code: "state-conflict" },
    ]);
    const turnId = await submit(daemon, { sessionId: "a", lastSeenSeq: 1 });
    expect(livesOf(await turnEnd(daemon, "a", turnId))).toEqual([
      `turn.queued ${turnId}`,
      `turn.start ${turnId}`,
      `turn.done ${turnId}`,
    ]);
  });

  test("with one idempotency key are one turn, asked at once, later, with an old lastSeenSeq, and after a restart", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "one" }, { text: "two" }] });
    const where = { place, modelPort: lmx.port };
    let turnId = "";
    {
      await using daemon = await startDaemon(where);
      await call(daemon, "session.create", { sessionId: "a" });
      await call(daemon, "session.create", { sessionId: "b" });
      const params = { sessionId: "a", idempotencyKey: "k1" };
      const atOnce = await Promise.all(Array.from({ length: 20 }, () => submit(daemon, params)));
      turnId = atOnce[0] ?? "";
      expect(new Set(atOnce)).toEqual(new Set([turnId]));
      await turnEnd(daemon, "a", turnId);
      expect(await submit(daemon, { ...params, lastSeenSeq: 1 })).toBe(turnId);
      // The key is the session's own.
      const other = await submit(daemon, { ...params, sessionId: "b" });
      expect(other).not.toBe(turnId);
      await turnEnd(daemon, "b", other);
    }
    await using daemon = await startDaemon(where);
    expect(await submit(daemon, { sessionId: "a", idempotencyKey: "k1" })).toBe(turnId);
    expect(livesOf(await eventsIn(daemon, "a"))).toEqual([
      `turn.queued ${turnId}`,
      `turn.start ${turnId}`,
      `turn.done ${turnId}`,
    ]);
    expect(lmx.chats().length).toBe(2);
  });

  test("wait in the session's queue, in order, and one too many is a 409", async () => {
    using place = createPlace();
    await using lmx = await startScripted({ turns: [{ text: "a", fault: { kind: "silence" } }] });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await call(daemon, "session.create", { sessionId: "a" });
    const accepted: unknown[] = [];
    let refused: unknown;
    for (let index = 0; refused === undefined && index < 1_000; index++) {
      const { status, body } = await call(daemon, "turn.submit", { sessionId: "a", ...turn });
      if (status === 202) accepted.push((body as { readonly queued: number }).queued);
      else refused = { status, body };
    }
    // The one that runs, then those that wait, each told how many are to be done before it.
    expect(accepted).toEqual(Array.from({ length: 33 }, (_, index) => index));
    expect(refused).toMatchObject({ status: 409, body: { code: "state-conflict" } });
    expect((await call(daemon, "session.get", { sessionId: "a" })).body).toMatchObject({
      queuedTurns: 32,
      activeTurnId: expect.any(String),
      writerCount: 1,
    });
  });

  test("are a 503 while the daemon stops, and what ran ends in the log", async () => {
    using place = createPlace();
    const stubborn = { command: "trap '' TERM; echo begun > begun; sleep 30; sleep 30" };
    await using lmx = await startScripted({
      turns: [{ toolCalls: [{ name: "run_command", arguments: stubborn }] }],
    });
    const where = { place, modelPort: lmx.port };
    let turnId = "";
    {
      await using daemon = await startDaemon(where);
      await call(daemon, "session.create", {
        sessionId: "a",
        metadata: { workspace: place.workspace },
      });
      turnId = await submit(daemon, { sessionId: "a", overrides: { dangerous: true } });
      await until(() => Bun.file(join(place.workspace, "begun")).exists(), "the command");
      expect(await call(daemon, "daemon.stop")).toMatchObject({ body: { stopping: true } });
      const late = await call(daemon, "turn.submit", { sessionId: "a", ...turn });
      expect(late).toMatchObject({
        status: 503,
        body: { error: "the daemon is stopping", code: "daemon-stopping" },
      });
      expect(await daemon.process.exited).toBe(0);
    }
    await using daemon = await startDaemon(where);
    const events = await eventsIn(daemon, "a");
    expect(livesOf(events)).toEqual([
      `turn.queued ${turnId}`,
      `turn.start ${turnId}`,
      `turn.error ${turnId}`,
    ]);
    const end = events.find(({ event }) => event === "turn.error");
    expect(end?.payload).toMatchObject({ code: "daemon-stopping" });
  });
});

describe("cancel", () => {
  const silent: ScenarioInput = {
    turns: [{ text: "a", fault: { kind: "silence" } }],
    loop: true,
  };

  test("by turn and by writer ends exactly those, each with one terminal event", async () => {
    using place = createPlace();
    await using lmx = await startScripted(silent);
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await call(daemon, "session.create", { sessionId: "a" });
    const mine = await submit(daemon, { sessionId: "a", writerId: "me" });
    const theirs = await submit(daemon, { sessionId: "a", writerId: "them" });
    const mineToo = await submit(daemon, { sessionId: "a", writerId: "me" });
    const theirsToo = await submit(daemon, { sessionId: "a", writerId: "them" });
    const cancel = async (params: object) =>
      (await call(daemon, "turn.cancel", { sessionId: "a", ...params })).body;

    expect(await cancel({ writerId: "them" })).toEqual({
      ok: true,
      cancelled: 2,
      cancelledQueued: 2,
      cancelledActive: false,
    });
    expect(await cancel({ turnId: mine, writerId: "them" })).toMatchObject({ cancelled: 0 });
    expect(await cancel({ turnId: mine })).toEqual({
      ok: true,
      cancelled: 1,
      cancelledQueued: 0,
      cancelledActive: true,
    });
    await turnEnd(daemon, "a", mine);
    await until(async () => {
      const { body } = await call(daemon, "session.get", { sessionId: "a" });
      return (body as { readonly activeTurnId?: string }).activeTurnId === mineToo;
    }, "the next turn");
    expect(await cancel({ writerId: "me" })).toMatchObject({ cancelled: 1, cancelledActive: true });
    const events = await turnEnd(daemon, "a", mineToo);
    for (const turnId of [mine, theirs, mineToo, theirsToo]) {
      const ends = livesOf(events).filter(
        (life) => /done|error/.test(life) && life.endsWith(turnId),
      );
      expect([turnId, ends]).toEqual([turnId, [`turn.error ${turnId}`]]);
    }
    const errors = events.filter(({ event }) => event === "turn.error");
    for (const { payload } of errors) expect(payload).toMatchObject({ code: "cancelled" });
  });

  test("of a turn that waits takes its words back: they are in no conversation, also after a crash", async () => {
    using place = createPlace();
    await using lmx = await startScripted(silent);
    const where = { place, modelPort: lmx.port };
    const spoken = async (daemon: RunningDaemon) => {
      const { body } = await call(daemon, "session.get", { sessionId: "a" });
      const { messages } = body as { messages: { role: string; content: string }[] };
      return messages.flatMap(({ role, content }) =>
        role === "user" ? [content.split("\n", 1)[0]] : [],
      );
    };
    {
      await using daemon = await startDaemon(where);
      await call(daemon, "session.create", { sessionId: "a" });
      const turns: string[] = [];
      for (const content of ["first", "second", "third"]) {
        turns.push(await submit(daemon, { sessionId: "a", content }));
      }
      const [first = "", second = "", third = ""] = turns;
      await call(daemon, "turn.cancel", { sessionId: "a", turnId: second });
      await call(daemon, "turn.cancel", { sessionId: "a", turnId: first });
      await turnEnd(daemon, "a", first);
      await until(async () => (await spoken(daemon)).includes("third"), "the third turn");
      await call(daemon, "turn.cancel", { sessionId: "a", turnId: third });
      await turnEnd(daemon, "a", third);
      expect(await spoken(daemon)).toEqual(["first", "third"]);
      daemon.process.kill("SIGKILL");
      await daemon.process.exited;
    }
    await using daemon = await startDaemon(where);
    expect(await spoken(daemon)).toEqual(["first", "third"]);
  });

  test("with neither cancels nothing, and still tells a client that may be stuck", async () => {
    using place = createPlace();
    await using lmx = await startScripted(silent);
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await call(daemon, "session.create", { sessionId: "a" });
    const nothing = { ok: true, cancelled: 0, cancelledQueued: 0, cancelledActive: false };
    const idle = await call(daemon, "turn.cancel", { sessionId: "a" });
    expect([idle.status, idle.body]).toEqual([200, nothing]);
    const turnId = await submit(daemon, { sessionId: "a" });
    expect((await call(daemon, "turn.cancel", { sessionId: "a" })).body).toEqual(nothing);
    const other = await call(daemon, "turn.cancel", { sessionId: "a", writerId: "nobody" });
    expect(other.body).toEqual(nothing);
    const events = await eventsIn(daemon, "a");
    const told = events.filter(({ event }) => event === "session.cancelled");
    // Once, while nothing ran: in the middle of a turn it would look like that turn's end.
    expect(told.map(({ payload }) => payload)).toEqual([{ cancelled: 0 }]);
    expect(livesOf(events).filter((life) => life.startsWith("turn.error"))).toEqual([]);
    expect((await call(daemon, "session.get", { sessionId: "a" })).body).toMatchObject({
      activeTurnId: turnId,
    });
  });

  test("in a session that is not there is a 404", async () => {
    using place = createPlace();
    await using daemon = await startDaemon({ place });
    expect(await call(daemon, "turn.cancel", { sessionId: "none" })).toMatchObject({
      status: 404,
      body: { error: "there is no session none", code: "not-found" },
    });
  });
});
