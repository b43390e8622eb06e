// Permission requests over the daemon's HTTP, on the built binary: the first valid answer wins, whoever attaches can
// give it, and whatever is no answer is a "no" (promises G1, G2).
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { EventPayload, OptaEvent } from "../../src/protocol/event.ts";
import { type RunningDaemon, startDaemon, turnEnd, until } from "../support/daemon.ts";
import { ask, call, eventsIn, openSse, pathOf } from "../support/daemon-http.ts";
import { type ScriptedServer, startScripted } from "../support/lmx.ts";
import { rounds, roundsLimitMs } from "../support/rounds.ts";
import { createPlace, type Place } from "../support/workspace.ts";

type Request = EventPayload<"permission.request">;

const clientCount = 100;
/** How often a hundred clients answer at once. */
const answerRounds = rounds({ usual: 5, promised: 200 });

/** A model that wants to make a file in each of its turns; the policy asks first. */
function startTouching(turns = 1): Promise<ScriptedServer> {
  return startScripted({
    turns: Array.from({ length: turns }, (_, index) => [
      { toolCalls: [{ name: "run_command", arguments: { command: `touch ran-${index}` } }] },
      { text: "understood" },
    ]).flat(),
  });
}

const ran = (place: Place, index = 0) => existsSync(join(place.workspace, `ran-${index}`));

async function createSession(daemon: RunningDaemon, place: Place, sessionId = "a") {
  const metadata = { workspace: place.workspace };
  await call(daemon, "session.create", { sessionId, metadata });
}

/** Submits a turn and waits for its question. */
async function askForLeave(daemon: RunningDaemon, sessionId = "a"): Promise<Request> {
  const turn = { sessionId, clientId: "c", writerId: "w", content: "go" };
  const { turnId } = (await call(daemon, "turn.submit", turn)).body as { readonly turnId: string };
  let asked: Request | undefined;
  await until(async () => {
    asked = requestsIn(await eventsIn(daemon, sessionId)).find((each) => each.turnId === turnId);
    return asked !== undefined;
  }, "the question");
  return asked as Request;
}

function requestsIn(events: readonly OptaEvent[]): readonly Request[] {
  return events.flatMap((each) => (each.event === "permission.request" ? [each.payload] : []));
}

/** What became of a request: every time it was resolved. */
function resolutionsOf(events: readonly OptaEvent[], requestId: string) {
  return events.flatMap((each) =>
    each.event === "permission.resolved" && each.payload.requestId === requestId
      ? [each.payload]
      : [],
  );
}

/** What was said of the call that was asked about. */
function resultIn(events: readonly OptaEvent[], { callId }: Request) {
  return events.flatMap((each) =>
    each.event === "tool.result" && each.payload.callId === callId ? [each.payload] : [],
  );
}

describe("an answer", () => {
  test("is a 200, and a later one a 409 that names who decided, also after a restart", async () => {
    using place = createPlace();
    await using lmx = await startTouching();
    const where = { place, modelPort: lmx.port };
    let asked: Request;
    const answer = (decidedBy: string) => ({
      sessionId: "a",
      requestId: asked.requestId,
      decision: "allow",
      decidedBy,
    });
    {
      await using daemon = await startDaemon(where);
      await createSession(daemon, place);
      asked = await askForLeave(daemon);
      expect(asked).toMatchObject({
        toolName: "run_command",
        args: { command: "touch ran-0" },
        rule: expect.any(String),
        reason: expect.any(String),
      });
      const first = await call(daemon, "permission.resolve", answer("Ada"));
      expect([first.status, first.body]).toEqual([200, { ok: true, conflict: false }]);
      const events = await turnEnd(daemon, "a", asked.turnId);
      expect(resolutionsOf(events, asked.requestId)).toEqual([
        { turnId: asked.turnId, requestId: asked.requestId, decision: "allow", decidedBy: "Ada" },
      ]);
      const kinds = events.map(({ event }) => event);
      expect(kinds.indexOf("permission.resolved")).toBeLessThan(kinds.indexOf("tool.start"));
      expect(ran(place)).toBe(true);
    }
    await using daemon = await startDaemon(where);
    for (const decidedBy of ["Bob", "Ada"]) {
      const late = await call(daemon, "permission.resolve", answer(decidedBy));
      const message = `${asked.requestId} was already decided by Ada`;
      expect([late.status, late.body]).toEqual([
        409,
        { ok: false, conflict: true, message, error: message, code: "state-conflict" },
      ]);
    }
  });

  test("is for the tool and the arguments that were shown: question and start carry their digest, and each call its own (G3)", async () => {
    using place = createPlace();
    const commands = ["touch ran-0", "touch ran-1"];
    await using lmx = await startScripted({
      turns: [
        {
          toolCalls: commands.map((command) => ({ name: "run_command", arguments: { command } })),
        },
        { text: "understood" },
      ],
    });
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await createSession(daemon, place);
    const { turnId } = await askForLeave(daemon);
    for (let count = 1; count <= commands.length; count++) {
      let open: Request | undefined;
      await until(async () => {
        open = requestsIn(await eventsIn(daemon, "a"))[count - 1];
        return open !== undefined;
      }, "the next question");
      const { requestId = "" } = open ?? {};
      const decision = count === 1 ? "allow" : "deny";
      const answer = { sessionId: "a", requestId, decision, decidedBy: "Ada" };
      expect((await call(daemon, "permission.resolve", answer)).status).toBe(200);
    }
    const events = await turnEnd(daemon, "a", turnId);
    const starts = events.flatMap((each) => (each.event === "tool.start" ? [each.payload] : []));
    const sha256 = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex");
    const digests = commands.map((command) =>
      sha256(`run_command\0${JSON.stringify({ command })}`),
    );
    expect(requestsIn(events).map(({ argsDigest }) => argsDigest)).toEqual(digests);
    expect(starts.map(({ argsDigest }) => argsDigest)).toEqual(digests);
    expect(starts.map(({ args }) => args)).toEqual(
      commands.map((command) => JSON.stringify({ command })),
    );
    expect([ran(place, 0), ran(place, 1)]).toEqual([true, false]);
  });

  test("of deny is told to the model with its reason, and nothing runs", async () => {
    using place = createPlace();
    await using lmx = await startTouching();
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await createSession(daemon, place);
    const { requestId, turnId } = await askForLeave(daemon);
    const reason = "not on a Friday";
    const answer = { sessionId: "a", requestId, decision: "deny", decidedBy: "Ada", reason };
    expect((await call(daemon, "permission.resolve", answer)).status).toBe(200);
    await turnEnd(daemon, "a", turnId);
    expect(ran(place)).toBe(false);
    expect(String(lmx.chats()[1]?.messages.at(-1)?.content)).toContain(reason);
  });

  test(
    `is one of ${clientCount} that come at once: exactly one 200, all others learn who was first`,
    async () => {
      using place = createPlace();
      await using lmx = await startTouching(answerRounds);
      await using daemon = await startDaemon({ place, modelPort: lmx.port });
      await createSession(daemon, place);
      for (let round = 0; round < answerRounds; round++) {
        const asked = await askForLeave(daemon);
        const answers = await Promise.all(
          Array.from({ length: clientCount }, async (_, index) => {
            const decidedBy = `client ${index}`;
            const decision = index % 2 === 0 ? "allow" : "deny";
            const { requestId } = asked;
            const params = { sessionId: "a", requestId, decision, decidedBy };
            return { decidedBy, decision, ...(await call(daemon, "permission.resolve", params)) };
          }),
        );
        const winners = answers.filter(({ status }) => status === 200);
        expect(winners.length).toBe(1);
        const [winner] = winners;
        const message = `${asked.requestId} was already decided by ${winner?.decidedBy}`;
        for (const { status, body } of answers.filter((each) => each !== winner)) {
          expect([status, body]).toEqual([
            409,
            { ok: false, conflict: true, message, error: message, code: "state-conflict" },
          ]);
        }
        const events = await turnEnd(daemon, "a", asked.turnId);
        expect(resolutionsOf(events, asked.requestId)).toMatchObject([
          { decision: winner?.decision, decidedBy: winner?.decidedBy },
        ]);
        expect(ran(place, round)).toBe(winner?.decision === "allow");
      }
    },
    roundsLimitMs(60_000),
  );
});

describe("a request that waits", () => {
  test("survives the client that caused it: one that attaches later sees it by replay and answers", async () => {
    using place = createPlace();
    await using lmx = await startTouching();
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await createSession(daemon, place);
    let asked: Request;
    {
      await using first = await openSse(daemon, "/v3/sse/events?sessionId=a");
      asked = await askForLeave(daemon);
      let seen: OptaEvent;
      do seen = await first.nextData<OptaEvent>();
      while (seen.event !== "permission.request");
      expect(seen.payload).toEqual(asked);
    }
    await until(async () => {
      const { body } = await call(daemon, "daemon.metrics");
      return (body as { runtime: { subscriberCount: number } }).runtime.subscriberCount === 0;
    }, "the first client's end");
    await using second = await openSse(daemon, "/v3/sse/events?sessionId=a");
    let event: OptaEvent;
    do event = await second.nextData<OptaEvent>();
    while (event.event !== "permission.request");
    expect(event.payload).toEqual(asked);
    const answer = {
      sessionId: "a",
      requestId: asked.requestId,
      decision: "allow",
      decidedBy: "second",
    };
    expect((await call(daemon, "permission.resolve", answer)).status).toBe(200);
    do event = await second.nextData<OptaEvent>();
    while (event.event !== "turn.done");
    expect(ran(place)).toBe(true);
  });

  test("is denied with the reason when nobody answers in time", async () => {
    using place = createPlace();
    place.configure({ permissions: { timeoutMs: 1_000 } });
    await using lmx = await startTouching();
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await createSession(daemon, place);
    const asked = await askForLeave(daemon);
    const events = await turnEnd(daemon, "a", asked.turnId);
    expect(resolutionsOf(events, asked.requestId)).toMatchObject([
      { decision: "deny", decidedBy: "opta", reason: "nobody answered within 1 s" },
    ]);
    expect(resultIn(events, asked)).toMatchObject([{ ok: false }]);
    expect(String(lmx.chats()[1]?.messages.at(-1)?.content)).toContain(
      "nobody answered within 1 s",
    );
    expect(ran(place)).toBe(false);
    const late = {
      sessionId: "a",
      requestId: asked.requestId,
      decision: "allow",
      decidedBy: "Ada",
    };
    expect(await call(daemon, "permission.resolve", late)).toMatchObject({
      status: 409,
      body: { message: `${asked.requestId} was already decided by opta` },
    });
  });

  test("is denied when its turn is cancelled", async () => {
    using place = createPlace();
    await using lmx = await startTouching();
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await createSession(daemon, place);
    const { requestId, turnId } = await askForLeave(daemon);
    await call(daemon, "turn.cancel", { sessionId: "a", turnId });
    const events = await turnEnd(daemon, "a", turnId);
    expect(resolutionsOf(events, requestId)).toMatchObject([
      { decision: "deny", decidedBy: "opta", reason: "cancelled" },
    ]);
    expect(ran(place)).toBe(false);
  });

  for (const end of ["SIGTERM", "SIGKILL"] as const) {
    test(`is denied when the daemon goes with ${end} and comes back, and stays so`, async () => {
      using place = createPlace();
      await using lmx = await startTouching();
      const where = { place, modelPort: lmx.port };
      let asked: Request;
      {
        await using daemon = await startDaemon(where);
        await createSession(daemon, place);
        asked = await askForLeave(daemon);
        daemon.process.kill(end);
        await daemon.process.exited;
      }
      await using daemon = await startDaemon(where);
      const events = await turnEnd(daemon, "a", asked.turnId);
      expect(resolutionsOf(events, asked.requestId)).toMatchObject([
        { decision: "deny", decidedBy: "opta" },
      ]);
      expect(events.filter(({ event }) => /^turn\.(done|error)$/.test(event)).length).toBe(1);
      const { requestId } = asked;
      const late = { sessionId: "a", requestId, decision: "allow", decidedBy: "Ada" };
      expect((await call(daemon, "permission.resolve", late)).status).toBe(409);
      expect(ran(place)).toBe(false);
    });
  }
});

describe("what is no valid answer denies the request:", () => {
  const answers: readonly (readonly [string, string])[] = [
    ["another word", '{"decision":"maybe","decidedBy":"Ada"}'],
    ["a word in capitals", '{"decision":"ALLOW","decidedBy":"Ada"}'],
    ["true", '{"decision":true,"decidedBy":"Ada"}'],
    ["a list", '{"decision":["allow"],"decidedBy":"Ada"}'],
    ["no decision", '{"decidedBy":"Ada"}'],
    ["nobody who decided", '{"decision":"allow"}'],
    ["no object", '["allow"]'],
    ["no JSON", '{"decision":"allow","decidedBy":"Ada"'],
    ["nothing", ""],
  ];
  for (const [title, rawBody] of answers) {
    test(title, async () => {
      using place = createPlace();
      await using lmx = await startTouching();
      await using daemon = await startDaemon({ place, modelPort: lmx.port });
      await createSession(daemon, place);
      const asked = await askForLeave(daemon);
      const path = pathOf("permission.resolve", { sessionId: "a", requestId: asked.requestId });
      const malformed = await ask(daemon, `POST ${path}`, { rawBody });
      expect([malformed.status, malformed.body]).toMatchObject([400, { code: "usage" }]);
      const events = await turnEnd(daemon, "a", asked.turnId);
      expect(resolutionsOf(events, asked.requestId)).toMatchObject([
        {
          decision: "deny",
          decidedBy: "opta",
          reason: expect.stringContaining("a malformed answer was sent"),
        },
      ]);
      const proper = await ask(daemon, `POST ${path}`, {
        rawBody: '{"decision":"allow","decidedBy":"Ada"}',
      });
      expect(proper.status).toBe(409);
      expect(ran(place)).toBe(false);
    });
  }

  test("one for another session, whether that is there or not", async () => {
    for (const sessionId of ["b", "nowhere"]) {
      using place = createPlace();
      await using lmx = await startTouching();
      await using daemon = await startDaemon({ place, modelPort: lmx.port });
      await createSession(daemon, place);
      await createSession(daemon, place, "b");
      const asked = await askForLeave(daemon);
      const { requestId } = asked;
      const foreign = { sessionId, requestId, decision: "allow", decidedBy: "Mallory" };
      expect(await call(daemon, "permission.resolve", foreign)).toMatchObject({
        status: 404,
        body: {
          ok: false,
          conflict: false,
          message: `there is no permission request ${requestId}`,
          code: "not-found",
        },
      });
      const events = await turnEnd(daemon, "a", asked.turnId);
      expect(resolutionsOf(events, requestId)).toMatchObject([
        { decision: "deny", decidedBy: "opta", reason: expect.stringContaining("Mallory") },
      ]);
      expect(ran(place)).toBe(false);
    }
  });

  test("but what names an unknown request, or another one in its body, leaves this one open", async () => {
    using place = createPlace();
    await using lmx = await startTouching();
    await using daemon = await startDaemon({ place, modelPort: lmx.port });
    await createSession(daemon, place);
    const { requestId, turnId } = await askForLeave(daemon);
    for (const decision of ["allow", "maybe"]) {
      const unknown = { sessionId: "a", requestId: "perm_none", decision, decidedBy: "Ada" };
      const { status } = await call(daemon, "permission.resolve", unknown);
      expect(status).toBe(decision === "allow" ? 404 : 400);
    }
    expect(resolutionsOf(await eventsIn(daemon, "a"), requestId)).toEqual([]);
    // Existing clients repeat the id; what the path says counts.
    const path = pathOf("permission.resolve", { sessionId: "a", requestId });
    const rawBody = JSON.stringify({
      sessionId: "b",
      requestId: "perm_none",
      decision: "allow",
      decidedBy: "Ada",
    });
    expect((await ask(daemon, `POST ${path}`, { rawBody })).status).toBe(200);
    await turnEnd(daemon, "a", turnId);
    expect(ran(place)).toBe(true);
  });
});
