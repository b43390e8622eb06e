// The judge of the crash checks sees every fault that it is there for: a healthy session, then one fault at a time.
import { expect, test } from "bun:test";
import { newCrashSession } from "../../scripts/support/crash-client.ts";
import { inspectSession, type ShownSession } from "../../scripts/support/crash-inspect.ts";
import {
  callsOf,
  plannedFile,
  type PlannedTurn,
  toWords,
} from "../../scripts/support/crash-plan.ts";
import type { Message } from "../../src/protocol/message.ts";

const plan: PlannedTurn = {
  steps: [
    {
      tokens: 1,
      calls: [
        { id: "901", kind: "run", answer: "allow" },
        { id: "902", kind: "write", answer: "allow" },
      ],
    },
    { tokens: 1, calls: [] },
  ],
  gapMs: 0,
  permissionMode: "safe",
};

interface Draft {
  readonly event: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly daemonId?: string;
}

const callDrafts = (callId: string): readonly Draft[] => [
  { event: "permission.request", payload: { turnId: "t", requestId: `perm_${callId}`, callId } },
  {
    event: "permission.resolved",
    payload: { turnId: "t", requestId: `perm_${callId}`, decision: "allow", decidedBy: "crash" },
  },
  { event: "tool.start", payload: { turnId: "t", callId } },
  { event: "tool.result", payload: { turnId: "t", callId, ok: true } },
];

const healthyDrafts: readonly Draft[] = [
  { event: "session.snapshot", payload: {} },
  { event: "turn.queued", payload: { turnId: "t" } },
  { event: "turn.start", payload: { turnId: "t" } },
  { event: "turn.token", payload: { turnId: "t", text: "word" } },
  ...callDrafts("901"),
  ...callDrafts("902"),
  { event: "turn.done", payload: { turnId: "t" } },
  { event: "session.updated", payload: {} },
];

const call = (id: string) => ({
  id,
  type: "function" as const,
  function: { name: "run_command", arguments: "{}" },
});

const healthyMessages: readonly Message[] = [
  { role: "system", content: "be good" },
  { role: "user", content: `${toWords(plan)}\n\n<context>\n</context>`, turnId: "t" },
  { role: "assistant", content: "word", tool_calls: [call("901"), call("902")] },
  { role: "tool", content: "ran", tool_call_id: "901" },
  { role: "tool", content: "wrote", tool_call_id: "902" },
  { role: "assistant", content: "done" },
];

interface Fault {
  readonly drafts?: (drafts: readonly Draft[]) => readonly Draft[];
  readonly texts?: (texts: readonly string[]) => readonly string[];
  readonly shown?: Partial<ShownSession>;
  readonly session?: (session: ReturnType<typeof newCrashSession>) => void;
}

function inspect(fault: Fault = {}): readonly string[] {
  const drafts = fault.drafts?.(healthyDrafts) ?? healthyDrafts;
  const texts = drafts.map(({ event, payload, daemonId = "d1" }, index) =>
    JSON.stringify({ v: "3", event, daemonId, sessionId: "s", seq: index + 1, ts: "now", payload }),
  );
  const session = newCrashSession("s", "/w");
  session.isAccepted = true;
  session.submissions.push({ key: "k", plan, turnId: "t" });
  for (const [index, text] of texts.entries()) session.observed.set(index + 1, text);
  fault.session?.(session);
  const written = callsOf(plan).flatMap((each) => plannedFile("/w", each)?.after ?? []);
  return inspectSession(session, {
    texts: fault.texts?.(texts) ?? texts,
    messages: healthyMessages,
    ran: ["901"],
    read: () => written[0],
    ...fault.shown,
  });
}

const without = (name: string) => (drafts: readonly Draft[]) =>
  drafts.filter(({ event }) => event !== name);
const change = (name: string, change: Partial<Draft>) => (drafts: readonly Draft[]) =>
  drafts.map((draft) => (draft.event === name ? { ...draft, ...change } : draft));
const behind = (more: Draft) => (drafts: readonly Draft[]) => [...drafts, more];

test("a session that kept every promise has nothing wrong", () => {
  expect(inspect()).toEqual([]);
});

const faults: Readonly<Record<string, Fault & { readonly says: string }>> = {
  "a lost event": { texts: (texts) => texts.slice(0, -1), says: "seq 14 was seen as" },
  "a byte that changed": {
    texts: (texts) => texts.map((text) => text.replace("word", "Word")),
    says: "seq 4 was seen as",
  },
  "a gap": { texts: (texts) => texts.toSpliced(3, 1), says: "event 4 has seq 5" },
  "a duplicate": {
    texts: (texts) => texts.toSpliced(3, 0, texts[3] ?? ""),
    says: "event 5 has seq 4",
  },
  "two events in the wrong order": {
    texts: (texts) => texts.with(3, texts[4] ?? "").with(4, texts[3] ?? ""),
    says: "event 4 has seq 5",
  },
  "a turn without an end": { drafts: without("turn.done"), says: "turn t has 0 ends" },
  "a turn with two ends": {
    drafts: behind({ event: "turn.error", payload: { turnId: "t" } }),
    says: "turn t has 2 ends",
  },
  "a turn that goes on after its end": {
    drafts: behind({ event: "turn.token", payload: { turnId: "t" } }),
    says: "goes on after its end",
  },
  "a turn that was accepted twice": {
    drafts: (drafts) => drafts.toSpliced(1, 0, ...drafts.slice(1, 2)),
    says: "begins wrongly",
  },
  "a turn that started twice": {
    drafts: (drafts) => drafts.toSpliced(2, 0, ...drafts.slice(2, 3)),
    says: "begins wrongly",
  },
  "a turn that was accepted and is not there": {
    session: ({ submissions }) => submissions.push({ key: "l", plan, turnId: "lost" }),
    says: "turn lost was accepted and is not there",
  },
  "one turn for two keys": {
    session: ({ submissions }) => submissions.push({ key: "l", plan, turnId: "t" }),
    says: "two keys have one turn",
  },
  "a turn that nobody submitted": {
    session: ({ submissions }) => void submissions.pop(),
    says: "1 turns were accepted that nobody submitted",
  },
  "a question without an answer": {
    drafts: without("permission.resolved"),
    says: "question perm_901 has 0 answers",
  },
  "a question that the next daemon allows": {
    drafts: change("permission.resolved", { daemonId: "d2" }),
    says: "outlived a crash and was answered allow by crash",
  },
  "a command that ran twice": { shown: { ran: ["901", "901"] }, says: "a command ran twice" },
  "a command that ran without its record": {
    drafts: (drafts) =>
      drafts.filter(
        ({ event, payload }) => payload["callId"] !== "901" || !event.startsWith("tool."),
      ),
    says: "call 901 ran without its tool.start",
  },
  "a command that ran without a yes": {
    drafts: change("permission.resolved", {
      payload: { turnId: "t", requestId: "perm_901", decision: "deny", decidedBy: "opta" },
    }),
    says: "call 901 ran without a stored yes",
  },
  "a call without a result": { drafts: without("tool.result"), says: "1 starts, 0 results" },
  "a success that did nothing": {
    shown: { ran: [] },
    says: "call 901 succeeded and did nothing",
  },
  "half a file": { shown: { read: () => "aft" }, says: "call 902 left half a file" },
  "a session that is gone": { shown: { messages: undefined }, says: "the session is gone" },
  "words that are not in the conversation": {
    shown: { messages: healthyMessages.filter(({ role }) => role !== "user") },
    says: "the words of turn t are there 0 times",
  },
  "words that are there twice": {
    shown: { messages: [...healthyMessages, ...healthyMessages.slice(1)] },
    says: "the words of turn t are there 2 times",
  },
  "other words": {
    shown: {
      messages: healthyMessages.map((message) =>
        message.role === "user" ? { ...message, content: "something else" } : message,
      ),
    },
    says: "the words of turn t are there 1 times",
  },
  "a call without its result in the conversation": {
    shown: { messages: healthyMessages.toSpliced(3, 1) },
    says: "1 messages are missing",
  },
  "words of the model that are not kept": {
    shown: {
      messages: healthyMessages.map((message) =>
        message.content === "word" ? { ...message, content: "[no answer]" } : message,
      ),
    },
    says: "was heard to say word, which is not kept",
  },
  "a conversation without its answer": {
    shown: { messages: healthyMessages.slice(0, -1) },
    says: "1 messages are missing",
  },
  "what a client complained about": {
    session: ({ complaints }) => complaints.push("seq 5 came after 3"),
    says: "seq 5 came after 3",
  },
};

for (const [name, { says, ...fault }] of Object.entries(faults)) {
  test(`it sees ${name}`, () => {
    expect(inspect(fault).join("\n")).toContain(says);
  });
}
