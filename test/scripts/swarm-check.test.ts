// The checks of scripts/swarm.ts find what they are there for.
import { expect, test } from "bun:test";
import { createFollowers, type Sink } from "../../src/daemon/followers.ts";
import { createEventLog } from "../../src/engine/event-log.ts";
import { createMemoryEventStore } from "../../src/store/memory-event-store.ts";
import {
  createStreamCheck,
  type Findings,
  type Hashes,
  noFindings,
} from "../../scripts/support/swarm-check.ts";
import { sumResults } from "../../scripts/support/swarm-crowd.ts";
import { createTestClock } from "../support/test-clock.ts";

const envelope = (seq: number, text = `word ${seq}`, event = "turn.token") =>
  JSON.stringify({ v: "3", event, daemonId: "d", sessionId: "s", seq, ts: "", payload: { text } });

function check(texts: readonly string[], dialect: "opta" | "opta-code" = "opta") {
  const findings = noFindings();
  const client = createStreamCheck({ name: "client", dialect, hashes: [], findings });
  for (const text of texts) client.note(text);
  return { findings, client };
}

const none = { gaps: 0, duplicates: 0, reorders: 0, mismatches: 0, refusals: 0 };

test("a stream as it should be has no findings", () => {
  const { findings, client } = check([1, 2, 3].map((seq) => envelope(seq)));
  expect(findings).toEqual({ ...none, samples: [] });
  expect(client.cursor()).toBe(3);
});

const breaches: readonly (readonly [string, readonly number[], Partial<Findings>])[] = [
  ["a gap", [1, 2, 4], { gaps: 1 }],
  ["a missing beginning", [2, 3], { gaps: 1 }],
  ["an event that comes twice", [1, 2, 2, 3], { duplicates: 1 }],
  ["a replay that begins too early", [1, 2, 3, 2, 3, 4], { duplicates: 2 }],
  ["two events in the wrong order", [1, 3, 2, 4], { gaps: 1, reorders: 1 }],
];
for (const [title, seqs, found] of breaches) {
  test(`${title} is found`, () => {
    const { findings } = check(seqs.map((seq) => envelope(seq)));
    expect(findings).toMatchObject({ ...none, ...found });
  });
}

test("a text that differs from what another client got is found, in one process and between two", () => {
  const findings = noFindings();
  const hashes: Hashes = [];
  for (const text of ["one", "other"]) {
    createStreamCheck({ name: text, dialect: "opta", hashes, findings }).note(envelope(1, text));
  }
  expect(findings).toMatchObject({ ...none, mismatches: 1 });

  const result = { behind: 0, lost: 0, delivered: 1, reconnects: 0, skipped: [] };
  const { findings: both } = sumResults([
    { ...result, findings: noFindings(), hashes: { s: [0, 1, 2] } },
    { ...result, findings: noFindings(), hashes: { s: [0, 1, 3] } },
  ]);
  expect(both).toMatchObject({ ...none, mismatches: 1 });
});

test("a frame that is no event is found, unless it is a heartbeat", () => {
  const frames = [`{"error":"no","code":"ahead-of-head"}`, `{"v":"3","event":"heartbeat"}`];
  expect(check(frames).findings).toMatchObject({ ...none, refusals: 1 });
});

test("opta-code: what is left out is noted, to be held against the log", () => {
  const { findings, client } = check([envelope(1), envelope(4)], "opta-code");
  expect(findings).toMatchObject(none);
  expect(client.skipped()).toEqual([2, 3]);
});

test("a reader that is subscribed only after its replay, with a gap in between, is found", () => {
  const clock = createTestClock();
  const store = createMemoryEventStore();
  const log = createEventLog({ daemonId: "d", now: () => new Date(0), store });
  const say = () => log.append("s", "turn.token", { turnId: "t", text: "x" });
  const live = new Set<(text: string) => void>();
  const followers = createFollowers({
    stream: log,
    clock,
    broadcast: ({ text }) => live.forEach((take) => take(text)),
  });
  const findings = noFindings();
  function follow(name: string, goLive: (take: (text: string) => void) => void): void {
    const client = createStreamCheck({ name, dialect: "opta", hashes: [], findings });
    const sink: Sink = {
      send: (texts) => texts.forEach(client.note),
      isFull: () => false,
      refuse: () => undefined,
      cut: () => undefined,
      goLive: () => goLive(client.note),
    };
    followers.follow({ sessionId: "s", afterSeq: 0, dialect: "opta", sink });
  }
  say();
  follow("good", (take) => live.add(take));
  follow("racy", (take) => clock.after(0, () => live.add(take)));
  say();
  clock.advance(0);
  say();
  expect(findings).toMatchObject({ ...none, gaps: 1 });
  expect(findings.samples).toEqual(["racy: seq 3 came after 1"]);
});
