// The routes that the daemon has beside those of the operations table, and the commands of its WebSocket: what the
// API's description says of them. They are served by daemon/own-routes.ts, server.ts and socket.ts; a test holds
// this table to what is served.
import * as z from "zod";
import { dialects } from "./dialect.ts";
import { healthSchema, metricsSchema } from "./health.ts";
import type { OperationName } from "./operations.ts";
import { sessionIdSchema } from "./session.ts";

/** Schemas are lazy, as those of operations are. */
export interface DaemonRoute {
  readonly method: "GET" | "POST";
  /** `:name` is a parameter; the others travel in the query (GET) or the JSON body (POST). */
  readonly path: string;
  /** HTTP status of a success where it is not 200. */
  readonly status?: 101 | 201 | 202 | 501;
  readonly summary: string;
  /** Goes on for as long as the client stays. */
  readonly streams?: "sse" | "websocket";
  /** Asks for no token. */
  readonly isPublic?: true;
  readonly params: z.ZodType;
  /** The body; of one event where it streams. "events": envelopes (protocol/event.ts). */
  readonly result: z.ZodType | "event" | "events";
  /** The body of a refusal where it is not the usual one. */
  readonly failure?: z.ZodType;
}

const nothing = z.lazy(() => z.object({}));

/** Where in a session's events to begin, and how they are named. */
const place = {
  sessionId: sessionIdSchema,
  /** The last seq the client has. */
  afterSeq: z.coerce.number().int().min(0).default(0),
  /** Default: `daemon.dialect` of the settings. */
  dialect: z.enum(dialects).optional(),
};

/** Its names are those of existing clients. */
const bridgeSchema = z.object({
  status: z.string(),
  activationState: z.string(),
  deviceId: z.string().nullable(),
  sessionId: z.string().nullable(),
  bridgeTokenPresent: z.boolean(),
  connectedAt: z.string().nullable(),
  updatedAt: z.string().nullable(),
  lastError: z.string().nullable(),
});

const safetySchema = z.enum(["read", "write", "dangerous"]);

/** Cloud pairing of the daemon that existing clients were made for. */
const withoutCloud = {
  method: "POST",
  status: 501,
  params: nothing,
  result: z.lazy(() => z.object({ error: z.string() })),
} as const;

export const daemonRoutes = {
  "daemon.alive": {
    method: "GET",
    path: "/health",
    isPublic: true,
    summary: "Says that something listens here, and nothing more.",
    params: nothing,
    result: z.lazy(() => z.object({ status: z.literal("ok") })),
  },
  "daemon.health": {
    method: "GET",
    path: "/v3/health",
    summary: "Who the daemon is, which contract it speaks, what it does just now.",
    params: nothing,
    result: z.lazy(() => healthSchema),
  },
  "daemon.healthStream": {
    method: "GET",
    path: "/v3/health/stream",
    streams: "sse",
    summary: "The same at once and then every 25 s, with `ts` in milliseconds since 1970.",
    params: nothing,
    result: z.lazy(() => healthSchema.extend({ ts: z.number() })),
  },
  "daemon.metrics": {
    method: "GET",
    path: "/v3/metrics",
    summary: "What the daemon does just now, in numbers.",
    params: nothing,
    result: z.lazy(() => metricsSchema),
  },
  "daemon.ticket": {
    method: "POST",
    path: "/v3/ws-ticket",
    status: 201,
    summary: "A ticket for one WebSocket, for pages that cannot send a header there.",
    params: nothing,
    result: z.lazy(() => z.object({ ticket: z.string(), expiresInMs: z.number() })),
  },
  "daemon.stop": {
    method: "POST",
    path: "/v3/daemon/stop",
    status: 202,
    summary: "Stops the daemon: running turns end in the log, then it goes.",
    params: nothing,
    result: z.lazy(() => z.object({ stopping: z.literal(true) })),
  },
  "daemon.openapi": {
    method: "GET",
    path: "/v3/openapi.json",
    summary: "This description (OpenAPI 3.1).",
    params: nothing,
    result: z.lazy(() => z.looseObject({ openapi: z.string(), paths: z.looseObject({}) })),
  },
  "events.list": {
    method: "GET",
    path: "/v3/sessions/:sessionId/events",
    summary: "The stored events of a session after `afterSeq`, all of them.",
    params: z.lazy(() => z.object(place)),
    result: "events",
  },
  "events.stream": {
    method: "GET",
    path: "/v3/sse/events",
    streams: "sse",
    summary: "The events of a session after `afterSeq`, then each new one as it comes.",
    params: z.lazy(() => z.object(place)),
    result: "event",
  },
  "events.socket": {
    method: "GET",
    path: "/v3/ws",
    status: 101,
    streams: "websocket",
    summary: "The same over a WebSocket, which also takes commands.",
    params: z.lazy(() =>
      z.object({
        ...place,
        /** In place of the header. */
        ticket: z.string().optional(),
      }),
    ),
    result: "event",
  },
  "operations.list": {
    method: "GET",
    path: "/v3/operations",
    summary: "What `operations.run` can do: the client operations of the Opta Code client.",
    params: nothing,
    result: z.lazy(() =>
      z.object({
        operations: z.array(
          z.object({
            id: z.string(),
            title: z.string(),
            description: z.string(),
            safety: safetySchema,
          }),
        ),
      }),
    ),
  },
  "operations.run": {
    method: "POST",
    path: "/v3/operations/:id",
    summary: "Runs one of them; dangerous ones only with `confirmDangerous`.",
    params: z.lazy(() =>
      z.object({
        id: z.string(),
        /** Unknown keys are ignored; without this wrapper the whole body is the input. */
        input: z.record(z.string(), z.unknown()).optional(),
        confirmDangerous: z.boolean().optional(),
      }),
    ),
    result: z.lazy(() =>
      z.object({
        ok: z.literal(true),
        id: z.string(),
        safety: safetySchema,
        result: z.unknown(),
      }),
    ),
    failure: z.lazy(() =>
      z.union([
        z.object({
          ok: z.literal(false),
          id: z.string(),
          error: z.object({ code: z.string(), message: z.string(), details: z.unknown() }),
        }),
        z.object({ error: z.string() }),
      ]),
    ),
  },
  "bridge.status": {
    method: "GET",
    path: "/v3/bridge/status",
    summary: "Always disconnected: opta keeps to this machine.",
    params: nothing,
    result: z.lazy(() => bridgeSchema),
  },
  "bridge.connect": {
    ...withoutCloud,
    path: "/v3/bridge/connect",
    summary: "Refused: opta has no cloud pairing.",
  },
  "bridge.disconnect": {
    ...withoutCloud,
    path: "/v3/bridge/disconnect",
    summary: "Refused likewise.",
  },
  "device.bootstrap": {
    ...withoutCloud,
    path: "/v3/device/bootstrap",
    summary: "Refused likewise.",
  },
  "device.execute": {
    ...withoutCloud,
    path: "/v3/device/execute",
    summary: "Refused likewise.",
  },
} as const satisfies Record<string, DaemonRoute>;

export interface SocketCommand {
  readonly summary: string;
  /** Takes its parameters, `sessionId` being the socket's own. */
  readonly operation?: OperationName;
  /** As JSON, in words; undefined: none. */
  readonly reply?: string;
}

/** What a client may send over the WebSocket, by `type`. */
export const socketCommands = {
  hello: { summary: "Does nothing: existing clients begin with it." },
  ping: {
    summary: "Asks for a sign of life.",
    reply: '{"v":"3","event":"heartbeat","daemonId":…,"ts":…,"payload":{}}, without `seq`',
  },
  "turn.submit": {
    summary: "Submits a turn.",
    operation: "turn.submit",
    reply: '{"type":"ack","action":"turn.submit","turnId":…,"queued":…}',
  },
  "turn.cancel": {
    summary: "Cancels turns.",
    operation: "turn.cancel",
    reply:
      '{"type":"ack","action":"turn.cancel","cancelled":{"cancelledQueued":…,"cancelledActive":…}}',
  },
  "permission.resolve": {
    summary: "Answers a permission request.",
    operation: "permission.resolve",
    reply:
      '{"type":"ack","action":"permission.resolve","result":{"ok":…,"conflict":…,"message":…}}',
  },
} as const satisfies Record<string, SocketCommand>;
