// The program whose power is cut by crash-power.ts: opens an event log, tells what is in it, appends what it is told to,
// says so after each append, and dies without closing.
// Usage: bun crash-power-driver.ts FILE with PowerWork as JSON; prints a line of PowerFound, then one per append.
import { readFileSync, writeSync } from "node:fs";
import { createSqliteEventStore } from "../../src/store/sqlite-event-store.ts";
import { eventLogIn, type PowerFound, type PowerWork } from "./crash-power.ts";

const { directory, sessions, appends } = JSON.parse(
  readFileSync(process.argv[2] ?? "", "utf8"),
) as PowerWork;
const store = createSqliteEventStore({ ...eventLogIn(directory), now: () => new Date() });
const heads = new Map(sessions.map((id) => [id, store.open(id, 0).lastSeq]));
const found: PowerFound = {
  texts: Object.fromEntries(
    sessions.map((id) => [id, store.read(id, 0, 1_000_000).map(({ text }) => text)]),
  ),
  unended: sessions.flatMap((id) =>
    store.unsettledTurns(id).flatMap(({ turnId, hasEnded }) => (hasEnded ? [] : [turnId])),
  ),
  isSetAside: store.setAside !== undefined,
};
say(found);
for (const { sessionId, text, isControl, begins, ends } of appends) {
  const seq = (heads.get(sessionId) ?? 0) + 1;
  store.append({
    sessionId,
    seq,
    text,
    isControl,
    isClosing: false,
    endsTurn: ends === undefined ? undefined : { turnId: ends, takesBack: false },
    submission:
      begins === undefined
        ? undefined
        : { turnId: begins, clientId: "c", writerId: "w", content: "x", idempotencyKey: begins },
  });
  heads.set(sessionId, seq);
  say({ sessionId, seq });
}
process.kill(process.pid, "SIGKILL");

function say(value: object): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(value)}\n`);
  for (let written = 0; written < bytes.length;) written += writeSync(1, bytes.subarray(written));
}
