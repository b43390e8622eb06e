// What must hold of a session after its daemon was killed and started again (promises E1, E3, E8, E9, G1, G4): a pure
// judgement of what the daemon shows, of the ledger of what it owed, and of what the tools did in the workspace.
import { completeHistory } from "../../src/engine/message-history.ts";
import type { OptaEvent } from "../../src/protocol/event.ts";
import type { Message } from "../../src/protocol/message.ts";
import { messageText } from "../../src/protocol/message-text.ts";
import { type CrashSession, plannedCalls } from "./crash-client.ts";
import { plannedFile, toWords } from "./crash-plan.ts";

export interface ShownSession {
  /** The stored events, byte for byte. */
  readonly texts: readonly string[];
  /** Undefined: the daemon knows no such session. */
  readonly messages: readonly Message[] | undefined;
  /** What commands left in the workspace: the ids they appended. */
  readonly ran: readonly string[];
  /** The content of a file; undefined when there is none. */
  readonly read: (path: string) => string | undefined;
}

/** @returns what is wrong, a sentence each; empty for a session that kept every promise */
export function inspectSession(session: CrashSession, shown: ShownSession): readonly string[] {
  const events = shown.texts.map((text) => JSON.parse(text) as OptaEvent);
  return [
    ...session.complaints,
    ...inspectStream(session, shown.texts, events),
    ...inspectTurns(session, events),
    ...inspectQuestions(events),
    ...inspectCalls(session, shown, events),
    ...inspectTranscript(session, shown, events),
    ...inspectAnswers(shown, events),
  ].map((problem) => `${session.id}: ${problem}`);
}

/** seq counts from 1; what anybody saw is there, byte for byte. */
function inspectStream(
  { id, observed }: CrashSession,
  texts: readonly string[],
  events: readonly OptaEvent[],
): readonly string[] {
  const misplaced = events.flatMap(({ seq, sessionId }, index) =>
    seq === index + 1 && sessionId === id ? [] : [`event ${index + 1} has seq ${seq}`],
  );
  const lost = [...observed].flatMap(([seq, text]) => {
    const stored = texts[seq - 1];
    return stored === text ? [] : [`seq ${seq} was seen as ${text} and is ${stored}`];
  });
  return [...misplaced.slice(0, 3), ...lost.slice(0, 3)];
}

/** Each turn is queued once, starts at most once, ends exactly once, and says nothing after its end. */
function inspectTurns(session: CrashSession, events: readonly OptaEvent[]): readonly string[] {
  const turns = Map.groupBy(events, (event) => turnIdOf(event) ?? "");
  turns.delete("");
  const problems: string[] = [];
  for (const [turnId, ofTurn] of turns) {
    // A cancel that finds nothing says so, also of a turn that is over.
    const kinds = ofTurn.map(({ event }) => event).filter((kind) => kind !== "session.cancelled");
    const count = (...wanted: string[]) => kinds.filter((kind) => wanted.includes(kind)).length;
    const ends = count("turn.done", "turn.error");
    if (ends !== 1) problems.push(`turn ${turnId} has ${ends} ends: ${kinds.join(" ")}`);
    else if (!["turn.done", "turn.error"].includes(kinds.at(-1) ?? "")) {
      problems.push(`turn ${turnId} goes on after its end: ${kinds.join(" ")}`);
    }
    if (count("turn.queued") !== 1 || kinds[0] !== "turn.queued" || count("turn.start") > 1) {
      problems.push(`turn ${turnId} begins wrongly: ${kinds.join(" ")}`);
    }
  }
  const accepted = session.submissions.flatMap(({ turnId }) => turnId ?? []);
  for (const turnId of accepted) {
    if (!turns.has(turnId)) problems.push(`turn ${turnId} was accepted and is not there`);
  }
  if (new Set(accepted).size < accepted.length) problems.push("two keys have one turn");
  const unanswered = session.submissions.length - accepted.length;
  const unclaimed = unclaimedTurns(session, events).length;
  if (unclaimed > unanswered)
    problems.push(`${unclaimed} turns were accepted that nobody submitted`);
  return problems;
}

/** Turns in the log that no submission was answered with: their client never heard. */
export function unclaimedTurns(
  { submissions }: CrashSession,
  events: readonly OptaEvent[],
): readonly string[] {
  const claimed = new Set(submissions.map(({ turnId }) => turnId));
  return events.flatMap((event) =>
    event.event === "turn.queued" && !claimed.has(event.payload.turnId)
      ? [event.payload.turnId]
      : [],
  );
}

/** Each question has one answer; one that a crash interrupted is a "no". */
function inspectQuestions(events: readonly OptaEvent[]): readonly string[] {
  const answers = events.filter((event) => event.event === "permission.resolved");
  return events.flatMap((asked) => {
    if (asked.event !== "permission.request") return [];
    const { requestId } = asked.payload;
    const given = answers.filter(({ payload }) => payload.requestId === requestId);
    const [answer] = given;
    if (given.length !== 1 || answer === undefined || answer.seq < asked.seq) {
      return [`question ${requestId} has ${given.length} answers`];
    }
    const isByNextDaemon = answer.daemonId !== asked.daemonId;
    const { decision, decidedBy } = answer.payload;
    return isByNextDaemon && (decision !== "deny" || decidedBy !== "opta")
      ? [`question ${requestId} outlived a crash and was answered ${decision} by ${decidedBy}`]
      : [];
  });
}

/** Nothing runs twice, without its record or without a "yes"; each start has one result; files are whole. */
function inspectCalls(
  session: CrashSession,
  { ran, read }: ShownSession,
  events: readonly OptaEvent[],
): readonly string[] {
  const problems: string[] = [];
  if (new Set(ran).size < ran.length) problems.push(`a command ran twice: ${ran.join(" ")}`);
  const modes = new Map(
    session.submissions.flatMap(({ plan }) =>
      plan.steps.flatMap(({ calls }) => calls.map(({ id }) => [id, plan.permissionMode] as const)),
    ),
  );
  for (const call of plannedCalls(session)) {
    const ofCall = events.filter((event) => callIdOf(event) === call.id);
    const starts = ofCall.filter((event) => event.event === "tool.start");
    const results = ofCall.filter((event) => event.event === "tool.result");
    const [start] = starts;
    const [result] = results;
    if (starts.length > 1 || results.length !== starts.length) {
      problems.push(`call ${call.id}: ${starts.length} starts, ${results.length} results`);
      continue;
    }
    const file = plannedFile(session.workspace, call);
    const content = file && read(file.path);
    const hasActed = file === undefined ? ran.includes(call.id) : content === file.after;
    if (file !== undefined && content !== file.after && content !== file.before) {
      problems.push(`call ${call.id} left half a file: ${content?.slice(0, 80)}`);
    }
    if (!hasActed) {
      if (result?.payload.ok) problems.push(`call ${call.id} succeeded and did nothing`);
      continue;
    }
    if (start === undefined) problems.push(`call ${call.id} ran without its tool.start`);
    const mode = modes.get(call.id);
    const needsYes = mode === "safe" || (mode === "auto" && file === undefined);
    if (needsYes && !isAllowed(call.id, start?.seq ?? 0, events)) {
      problems.push(`call ${call.id} ran without a stored yes`);
    }
  }
  return problems;
}

function isAllowed(callId: string, beforeSeq: number, events: readonly OptaEvent[]): boolean {
  const asked = events.flatMap((event) =>
    event.event === "permission.request" && event.payload.callId === callId
      ? [event.payload.requestId]
      : [],
  );
  return events.some(
    (event) =>
      event.event === "permission.resolved" &&
      event.seq < beforeSeq &&
      event.payload.decision === "allow" &&
      asked.includes(event.payload.requestId),
  );
}

/**
 * Every accepted turn's words are in the conversation once, but for those that were taken back before they were read;
 * and the conversation can be sent as it is.
 */
function inspectTranscript(
  session: CrashSession,
  { messages }: ShownSession,
  events: readonly OptaEvent[],
): readonly string[] {
  if (messages === undefined) return session.isAccepted ? ["the session is gone"] : [];
  const problems: string[] = [];
  for (const event of events) {
    if (event.event !== "turn.queued") continue;
    const { turnId } = event.payload;
    const said = messages.filter((message) => message["turnId"] === turnId);
    if (said.length === 0 && wasTakenBack(turnId, events)) continue;
    const submission = session.submissions.find((each) => each.turnId === turnId);
    const words = submission && toWords(submission.plan);
    const isRight = said.length === 1 && said[0]?.role === "user";
    if (!isRight || (words !== undefined && !String(said[0]?.content).startsWith(`${words}\n`))) {
      problems.push(`the words of turn ${turnId} are there ${said.length} times`);
    }
  }
  const missing = completeHistory(messages).length - messages.length;
  if (missing > 0) {
    const roles = messages.map(({ role }) => role).join(" ");
    problems.push(`${missing} messages are missing in the conversation: ${roles}`);
  }
  return problems;
}

function wasTakenBack(turnId: string, events: readonly OptaEvent[]): boolean {
  const ofTurn = events.filter((event) => turnIdOf(event) === turnId);
  const hasStarted = ofTurn.some(({ event }) => event === "turn.start");
  return (
    !hasStarted &&
    ofTurn.some(({ event, payload }) => event === "turn.error" && payload.code === "cancelled")
  );
}

/** They may stand in the middle of an answer. */
const asideKinds: ReadonlySet<string> = new Set(["turn.thinking", "turn.progress"]);

/** What the model was heard to say, between two things that it did, is one of the turn's answers. */
function inspectAnswers(
  { messages = [] }: ShownSession,
  events: readonly OptaEvent[],
): readonly string[] {
  const problems: string[] = [];
  const said = new Map<string, string[]>();
  for (const event of events) {
    const turnId = turnIdOf(event);
    if (turnId === undefined || asideKinds.has(event.event)) continue;
    const parts = said.get(turnId) ?? [""];
    said.set(turnId, parts);
    if (event.event !== "turn.token") parts.push("");
    else parts.push((parts.pop() ?? "") + event.payload.text);
  }
  for (const [turnId, parts] of said) {
    const asked = messages.findIndex((message) => message["turnId"] === turnId);
    const next = messages.findIndex(({ role }, index) => index > asked && role === "user");
    const answers = messages
      .slice(asked, next < 0 ? undefined : next)
      .flatMap((message) => (message.role === "assistant" ? messageText(message) : []));
    for (const part of parts) {
      if (part === "" || answers.includes(part)) continue;
      problems.push(`turn ${turnId} was heard to say ${part.slice(0, 80)}, which is not kept`);
    }
  }
  return problems;
}

function turnIdOf({ payload }: OptaEvent): string | undefined {
  return "turnId" in payload ? payload.turnId : undefined;
}

function callIdOf({ event, payload }: OptaEvent): string | undefined {
  if (event !== "tool.start" && event !== "tool.result") return undefined;
  return "callId" in payload ? payload.callId : undefined;
}
