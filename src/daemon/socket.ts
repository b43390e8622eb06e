// WebSocket /v3/ws: one socket is one session (contracts/daemon-v3.md section 3). Events go down, as followers.ts
// gives them; a few commands come up and are answered with an `ack`, by the same operations as over HTTP.
import * as z from "zod";
import { systemClock } from "../base/clock.ts";
import { type ErrorCode, type OptaError, toOptaError } from "../protocol/error.ts";
import { invalidParams } from "../protocol/invalid-params.ts";
import { operations } from "../protocol/operations.ts";
import type { DaemonParts } from "./daemon-parts.ts";
import { cursorError } from "./event-answers.ts";
import { parseJson } from "./http.ts";
import type { Service, SocketServer } from "./server.ts";
import type { SocketData } from "./socket-data.ts";
import { createSocketPings } from "./socket-pings.ts";

type Socket = Bun.ServerWebSocket<SocketData>;

/** Bytes that may wait in a socket before its reader counts as slow and reads from the log instead. */
const fullBytes = 256 * 1024;
/** Commands of one socket that are under way at once. */
const pendingLimit = 64;
/** Commands beyond that in one go: a socket that sends still more is no client, and is closed. */
const refusedLimit = 1_000;
/** Close codes: 4408 as HTTP's 408; 1008 is "policy violation" (RFC 6455 section 7.4.1). */
const closeCodes = { tooSlow: 4408, badCursor: 4409, policy: 1008 } as const;
/** A client that is cut gets that long to read why. */
const farewellMs = 1_000;

/**
 * Topic of a session's live events. Every socket also has a topic that nothing is ever published to: leaving its last
 * topic would make uWebSockets forget what it has not yet written to the socket.
 */
const topicOf = (sessionId: string) => `session:${sessionId}`;
const anchorTopic = "anchor";

export function createSocketHandlers(parts: DaemonParts): Service["sockets"] {
  const pings = createSocketPings(systemClock);
  const noteSign = ({ data: { pinged } }: Socket) => pinged && pings.noteSign(pinged);
  return {
    open(socket) {
      const pinged = {
        ping: () => void socket.ping(),
        cut: () => cut(socket, "no answer to two pings: come back with your last seq"),
      };
      socket.data.pinged = pinged;
      pings.add(pinged);
      socket.data.leavePages = parts.pages.keep(socket.data.admission, () => revoke(socket));
      socket.subscribe(anchorTopic);
      follow(socket, parts, socket.data.afterSeq);
    },
    message(socket, message) {
      noteSign(socket);
      void answer(socket, message, parts);
    },
    pong: noteSign,
    drain(socket) {
      noteSign(socket);
      socket.data.follower?.resume();
    },
    close({ data: { pinged, follower, leavePages } }) {
      leavePages();
      if (pinged) pings.remove(pinged);
      follower?.stop();
    },
  };
}

/** What is left unsaid is dropped. */
function cut(socket: Socket, reason: string): void {
  socket.close(closeCodes.tooSlow, reason);
  setTimeout(() => socket.terminate(), farewellMs);
}

/** Broadcasts a stored event to the sockets that are live. */
export function publishEvent(
  server: SocketServer,
  event: { readonly sessionId: string; readonly text: string },
): void {
  server.publish(topicOf(event.sessionId), event.text);
}

function follow(socket: Socket, parts: DaemonParts, afterSeq: number): void {
  const { data } = socket;
  const { sessionId, dialect } = data;
  data.follower = parts.followers.follow({
    sessionId,
    afterSeq,
    dialect,
    sink: {
      send(texts) {
        socket.cork(() => {
          for (const text of texts) socket.send(text);
        });
      },
      isFull: () => socket.getBufferedAmount() > fullBytes,
      refuse: (error, cursor) => refuseCursor(socket, { error, cursor }, parts),
      cut: () => cut(socket, "too slow: come back with your last seq"),
      // In another dialect the texts differ, and the end of a turn may have to wait.
      ...(dialect === "opta"
        ? {
            goLive: () => void socket.subscribe(topicOf(sessionId)),
            leaveLive: () => void socket.unsubscribe(topicOf(sessionId)),
          }
        : {}),
    },
  });
}

/**
 * Ours is told and closed: it decides what to do. The existing client knows no such frame and would come back with the
 * same cursor for ever: it is told, then gets what there is.
 */
function refuseCursor(
  socket: Socket,
  { error, cursor }: { readonly error: OptaError; readonly cursor: number },
  parts: DaemonParts,
): void {
  const { sessionId, dialect } = socket.data;
  const { stream } = parts.engine;
  if (error.code !== "before-retention" && error.code !== "ahead-of-head") {
    // The log cannot be read: it says nothing of where to go on either.
    socket.send(JSON.stringify(cursorError(error)));
    socket.close(closeCodes.badCursor, error.code);
    return;
  }
  const headSeq = stream.lastSeq(sessionId);
  const firstSeq = cursor > headSeq ? headSeq + 1 : stream.firstSeqAfter(sessionId, cursor);
  socket.send(JSON.stringify({ ...cursorError(error), firstSeq, headSeq }));
  if (dialect === "opta") {
    socket.close(closeCodes.badCursor, error.code);
    return;
  }
  setTimeout(() => {
    if (socket.readyState === WebSocket.OPEN) follow(socket, parts, firstSeq - 1);
  }, 0);
}

function revoke(socket: Socket): void {
  socket.close(closeCodes.policy, "this page is not allowed any more");
}

async function answer(socket: Socket, message: string | Buffer, parts: DaemonParts): Promise<void> {
  const { data } = socket;
  if (data.pending >= pendingLimit) {
    data.refused += 1;
    if (data.refused > refusedLimit) socket.close(closeCodes.policy, "too many commands");
    else socket.send(JSON.stringify({ error: "too many commands at once" }));
    return;
  }
  data.pending += 1;
  try {
    // What came in one piece is looked at as one, so that a flood is seen before it is worked off.
    await new Promise((resolve) => setImmediate(resolve));
    await parts.settings.refresh();
    if (!parts.access.isStillAllowed(data.admission)) {
      revoke(socket);
      return;
    }
    const reply = await replyTo(message, data.sessionId, parts);
    if (reply !== undefined) socket.send(JSON.stringify(reply));
  } finally {
    data.pending -= 1;
    if (data.pending === 0) data.refused = 0;
  }
}

const commandSchema = z.looseObject({ type: z.string(), sessionId: z.string().optional() });

async function replyTo(
  message: string | Buffer,
  sessionId: string,
  parts: DaemonParts,
): Promise<object | undefined> {
  let value: unknown;
  try {
    value = parseJson(typeof message === "string" ? message : "");
  } catch {
    return { error: "Invalid JSON payload" };
  }
  const parsed = commandSchema.safeParse(value);
  if (!parsed.success) return { error: "Invalid WS payload", details: parsed.error.issues };
  const command = parsed.data;
  if (command.type === "hello") return undefined;
  if (command.type === "ping") {
    // Without seq, or the existing client would take it for an event (contracts/daemon-v3.md section 6.1).
    const { daemonId } = parts;
    const ts = new Date().toISOString();
    return { v: "3", event: "heartbeat", daemonId, ts, payload: {} };
  }
  if (command.sessionId !== undefined && command.sessionId !== sessionId) {
    if (command.type === "permission.resolve") {
      denyMalformed(command, "for another session", parts);
    }
    return { error: `this socket is for session ${sessionId}` };
  }
  const run = Object.hasOwn(commands, command.type) ? commands[command.type] : undefined;
  if (run === undefined) {
    const issue = { path: ["type"], message: `unknown type ${JSON.stringify(command.type)}` };
    return { error: "Invalid WS payload", details: [issue] };
  }
  try {
    return { type: "ack", action: command.type, ...(await run({ ...command, sessionId }, parts)) };
  } catch (thrown) {
    return failure(command.type, toOptaError(thrown));
  }
}

function failure(action: string, { message, code, hint }: OptaError): object {
  if (action === "permission.resolve" && (code === "state-conflict" || code === "not-found")) {
    const result = { ok: false, conflict: code === "state-conflict", message };
    return { type: "ack", action, result };
  }
  return {
    error: message,
    code: code satisfies ErrorCode,
    ...(hint === undefined ? {} : { hint }),
  };
}

type Command = (command: Record<string, unknown>, parts: DaemonParts) => Promise<object>;

const commands: Readonly<Record<string, Command>> = {
  async "turn.submit"(command, { engine, followers, stopping }) {
    const params = checked(operations["turn.submit"].params, command);
    const accepted = await engine.call("turn.submit", params, stopping);
    followers.noteAccepted(params.sessionId);
    return accepted;
  },
  async "permission.resolve"(command, parts) {
    const { params: schema } = operations["permission.resolve"];
    const given = schema.safeParse(command);
    if (!given.success) {
      const error = invalidParams(given.error.issues, "permission.resolve");
      denyMalformed(command, error.message, parts);
      throw error;
    }
    const { engine, stopping } = parts;
    return { result: await engine.call("permission.resolve", given.data, stopping) };
  },
  async "turn.cancel"(command, { engine, stopping }) {
    const params = checked(operations["turn.cancel"].params, command);
    const { cancelledQueued, cancelledActive } = await engine.call("turn.cancel", params, stopping);
    return { cancelled: { cancelledQueued, cancelledActive } };
  },
};

/** What is no valid answer to a permission request is a "no" (promises G1); one that names no request is nothing. */
function denyMalformed(
  { requestId }: Record<string, unknown>,
  why: string,
  { engine }: DaemonParts,
): void {
  if (typeof requestId === "string") engine.denyMalformed(requestId, why);
}

/** @throws OptaError usage */
function checked<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalidParams(parsed.error.issues, "command");
}
