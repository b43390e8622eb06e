import { expect, test } from "bun:test";
import { createPermissionDesk } from "../../src/engine/permission.ts";
import type { EventPayload } from "../../src/protocol/event.ts";

const question = {
  turnId: "t",
  toolName: "run_command",
  callId: "c",
  args: {},
  argsDigest: "0",
  rule: "mode safe",
  reason: "commands ask",
};

function createDesk({ timeoutMs = 60_000 } = {}) {
  const requested: EventPayload<"permission.request">[] = [];
  const resolved: EventPayload<"permission.resolved">[] = [];
  const desk = createPermissionDesk({
    requested: (payload) => requested.push(payload),
    resolved: (payload) => resolved.push(payload),
    timeoutMs: () => timeoutMs,
  });
  return { desk, requested, resolved };
}

test("the first answer decides, and later ones learn who was first", async () => {
  const { desk, requested, resolved } = createDesk();
  const asked = desk.ask(question, new AbortController().signal);
  const id = requested[0]?.requestId ?? "";
  desk.resolve(id, { decision: "allow", decidedBy: "alice" });
  expect(() => desk.resolve(id, { decision: "deny", decidedBy: "bob" })).toThrow(
    `${id} was already decided by alice`,
  );
  expect(await asked).toEqual({ decision: "allow", decidedBy: "alice" });
  expect(resolved).toEqual([{ turnId: "t", requestId: id, decision: "allow", decidedBy: "alice" }]);
});

test("an answer to a request that never was is refused", () => {
  const { desk } = createDesk();
  expect(() => desk.resolve("perm_x", { decision: "allow", decidedBy: "a" })).toThrow(
    "there is no permission request perm_x",
  );
});

test("a turn that is cancelled takes its open question with it, as a denial", async () => {
  const { desk, requested } = createDesk();
  const abort = new AbortController();
  const asked = desk.ask(question, abort.signal);
  abort.abort();
  expect((await asked).decision).toBe("deny");
  expect(() =>
    desk.resolve(requested[0]?.requestId ?? "", { decision: "allow", decidedBy: "late" }),
  ).toThrow("already decided");
});

test("a question of a turn that is already cancelled is denied at once", async () => {
  const { desk } = createDesk();
  expect((await desk.ask(question, AbortSignal.abort())).decision).toBe("deny");
});

test("a question that nobody answers in time is denied, with the reason", async () => {
  const { desk, requested, resolved } = createDesk({ timeoutMs: 10 });
  const answer = await desk.ask(question, new AbortController().signal);
  expect(answer).toMatchObject({ decision: "deny", decidedBy: "opta" });
  expect(resolved).toMatchObject([{ decision: "deny", reason: "nobody answered within 0 s" }]);
  const id = requested[0]?.requestId ?? "";
  expect(() => desk.resolve(id, { decision: "allow", decidedBy: "late" })).toThrow(
    "already decided by opta",
  );
});
