// The LMX-compatible server: an engine behind the routes of contracts/lmx.md section 7b, as far as chat,
// health, models and admin load/unload go. Written from the contract; it knows nothing of our own client.
import { refuseAdmin, refuseInference, refuseUpgrade } from "./access.ts";
import type { ServerKeys } from "./access.ts";
import { adminRoutes } from "./admin-routes.ts";
import { answerChat } from "./chat-http.ts";
import { createChatSocket } from "./chat-socket.ts";
import type { LmxEngine, Refusal } from "./engine.ts";
import { json, refusalResponse } from "./http-error.ts";
import { modelRoutes } from "./model-routes.ts";
import { createRequestLog } from "./request-log.ts";
import type { Arrival, RecordedRequest, RequestRecorder } from "./request-log.ts";
import { findRoute } from "./route.ts";
import type { RouteContext } from "./route.ts";
import type { SocketData } from "./socket-answer.ts";

export interface LmxServerOptions extends ServerKeys {
  readonly engine: LmxEngine;
  /** 0 takes a free one. */
  readonly port?: number | undefined;
  readonly hostname?: string | undefined;
  readonly version?: string | undefined;
  /** Where the socket is served; null serves none, and discovery says so. An upgrade elsewhere is a 403. */
  readonly webSocketPath?: string | null | undefined;
  /** `chat.progress` until a request's first frame; 0 sends none. */
  readonly progressEveryMs?: number | undefined;
  /** WebSocket pings while a request runs; 0 sends none. */
  readonly pingEveryMs?: number | undefined;
  /** Serves what was recorded at GET /__requests. */
  readonly inspect?: boolean | undefined;
  /** Sees each request first, upgrades included; what it answers is the answer. */
  readonly intercept?: ((request: Request) => Promise<Response | undefined>) | undefined;
}

export interface LmxServer extends AsyncDisposable {
  readonly port: number;
  readonly hostname: string;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** `ws://127.0.0.1:PORT/v1/chat/stream` */
  readonly webSocketUrl: string;
  /** The model requests in order of arrival. */
  readonly requests: readonly RecordedRequest[];
  /** Everything that arrived. */
  readonly traffic: readonly RecordedRequest[];
  /** Closes the port and every connection. */
  stop(): Promise<void>;
}

const defaultSocketPath = "/v1/chat/stream";
/** Twice 10 s is below the 30 s after which the original client gives up (contracts/lmx.md section 7b). */
const defaultProgressEveryMs = 10_000;
/** As uvicorn does under real LMX (contracts/lmx.md section 1, "Keepalive"). */
const defaultPingEveryMs = 20_000;
/** 16 MiB a frame, uvicorn's default (contracts/lmx.md section 1); Bun closes the socket above it. */
const maxFrameBytes = 16 * 1024 * 1024;

const routes = [...modelRoutes, ...adminRoutes];
const guards = { none: () => undefined, inference: refuseInference, admin: refuseAdmin };

/** Listens at once. Throws what Bun.serve throws when the port is taken. */
export function startLmxServer(options: LmxServerOptions): LmxServer {
  const { engine, intercept } = options;
  const hostname = options.hostname ?? "127.0.0.1";
  const socketPath =
    options.webSocketPath === undefined ? defaultSocketPath : options.webSocketPath;
  const startedAtMs = Date.now();
  const log = createRequestLog();
  let connections = 0;

  async function answer(request: Request, server: Bun.Server<SocketData>) {
    const arrival = await toArrival(request);
    const connection = arrival.transport === "upgrade" ? ++connections : null;
    const recorder = log.record({ ...arrival, connection });
    const intercepted = await intercept?.(request);
    if (intercepted) return finish(intercepted, recorder);
    if (connection !== null) {
      const refusal = refuseSocket(arrival.path) ?? refuseUpgrade(request.headers, options);
      if (refusal) return finish(refusalResponse(refusal), recorder);
      const { path, headers } = arrival;
      const data = {
        path,
        headers,
        connection,
        running: new Map(),
        waiting: new Set<() => void>(),
      };
      if (server.upgrade(request, { data })) return recorder.end("done");
      return finish(refusalResponse(notAnUpgrade), recorder);
    }
    if (!arrival.isModelRequest) return finish(await answerRoute(request, arrival), recorder);
    const refusal = refuseInference(request.headers, options);
    if (refusal) return finish(refusalResponse(refusal), recorder);
    return answerChat(request, { body: arrival.body, engine, recorder });
  }

  function refuseSocket(pathname: string): Refusal | undefined {
    if (pathname === socketPath) return undefined;
    return { status: 403, code: "no_such_socket", message: `no WebSocket at ${pathname}` };
  }

  async function answerRoute(request: Request, { path, body }: Arrived): Promise<Response> {
    if (options.inspect && path === "/__requests")
      return json({ requests: log.requests, traffic: log.traffic });
    const found = findRoute(routes, request.method, path);
    if (!found) {
      const message = `no route ${request.method} ${path}`;
      return refusalResponse({ status: 404, code: "not_found", message });
    }
    const refusal = guards[found.route.access](request.headers, options);
    if (refusal) return refusalResponse(refusal);
    return found.route.answer({ ...context, request, body, rest: found.rest });
  }

  const server = Bun.serve<SocketData>({
    port: options.port ?? 0,
    hostname,
    // A model may think for minutes before its first byte.
    idleTimeout: 0,
    // Otherwise a connection that the engine breaks on purpose is reported on stderr.
    development: false,
    fetch: answer,
    websocket: {
      ...createChatSocket({
        engine,
        log,
        progressEveryMs: options.progressEveryMs ?? defaultProgressEveryMs,
        pingEveryMs: options.pingEveryMs ?? defaultPingEveryMs,
      }),
      maxPayloadLength: maxFrameBytes,
    },
  });

  const port = server.port ?? 0;
  const authority = `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  const context: Omit<RouteContext, "request" | "body" | "rest"> = {
    models: engine.models,
    version: options.version ?? "0.1.0",
    authority,
    socketPath,
    keys: options,
    uptimeSeconds: () => (Date.now() - startedAtMs) / 1000,
    inFlight: () => log.requests.filter((entry) => entry.outcome === "pending").length,
  };
  const stop = () => server.stop(true);
  return {
    port,
    hostname,
    url: `http://${authority}`,
    webSocketUrl: `ws://${authority}${socketPath ?? defaultSocketPath}`,
    requests: log.requests,
    traffic: log.traffic,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

type Arrived = Omit<Arrival, "connection">;

async function toArrival(request: Request): Promise<Arrived> {
  const { pathname } = new URL(request.url);
  const isUpgrade = request.headers.get("upgrade")?.toLowerCase() === "websocket";
  return {
    transport: isUpgrade ? "upgrade" : "http",
    method: request.method,
    path: pathname,
    headers: Object.fromEntries(request.headers),
    body: await request.text(),
    isModelRequest: request.method === "POST" && pathname === "/v1/chat/completions",
  };
}

const notAnUpgrade: Refusal = {
  status: 400,
  code: "bad_upgrade",
  message: "not a WebSocket handshake",
};

function finish(response: Response, recorder: RequestRecorder): Response {
  recorder.sent(1);
  recorder.end(response.ok ? "done" : "error");
  return response;
}
