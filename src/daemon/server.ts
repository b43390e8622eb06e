// The daemon's one listener: HTTP v3 and the WebSocket on 127.0.0.1. Asks in a fixed order who calls (access.ts)
// before any route or body is looked at; what a route does is routes.ts.
import { OptaError } from "../protocol/error.ts";
import type { DaemonParts } from "./daemon-parts.ts";
import {
  bodyLimitBytes,
  corsHeaders,
  errorAnswer,
  jsonAnswer,
  notFound,
  unauthorized,
} from "./http.ts";
import { afterSeqOf, checkedSessionId, dialectOf } from "./own-routes.ts";
import { findRoute } from "./routes.ts";
import { createSocketHandler, type SocketData } from "./socket.ts";

export interface ListenOptions {
  /** Exactly this port; undefined: 9999, else the first free one of 10000 to 10020. */
  readonly port: number | undefined;
  /** Set before the first request is answered. */
  readonly parts: () => DaemonParts;
  /** A request that failed for a reason of ours. */
  readonly onDefect: (thrown: unknown) => void;
}

const hostname = "127.0.0.1";
const usualPorts = [9999, ...Array.from({ length: 21 }, (_, index) => 10_000 + index)];
/** A connection that sends nothing for so long, in the middle of a request or between two, is closed. */
const idleSeconds = 15;
/** Refusals that wait at once: more are answered without a delay. */
const delayedLimit = 100;

/** @throws OptaError port-taken */
export function listen(options: ListenOptions): Bun.Server<SocketData> {
  const ports = options.port === undefined ? usualPorts : [options.port];
  for (const port of ports) {
    try {
      return serve(port, options);
    } catch (error) {
      if (!(error instanceof Error) || !("code" in error) || error.code !== "EADDRINUSE") {
        throw error;
      }
    }
  }
  if (options.port !== undefined) {
    throw new OptaError(
      "port-taken",
      `port ${options.port} is in use by another program`,
      "opta daemon start   (takes a free one)",
    );
  }
  throw new OptaError(
    "port-taken",
    "ports 9999 and 10000 to 10020 are all in use",
    "opta daemon start --port N",
  );
}

function serve(port: number, { parts, onDefect }: ListenOptions): Bun.Server<SocketData> {
  let delayed = 0;

  async function refuse(parts: DaemonParts): Promise<Response> {
    const delayMs = parts.access.refusalDelayMs();
    if (delayMs > 0 && delayed < delayedLimit) {
      delayed += 1;
      await Bun.sleep(delayMs);
      delayed -= 1;
    }
    return unauthorized();
  }

  return Bun.serve<SocketData>({
    hostname,
    port,
    reusePort: false,
    development: false,
    idleTimeout: idleSeconds,
    maxRequestBodySize: bodyLimitBytes,
    websocket: createSocketHandler(parts),
    async fetch(request, server) {
      const now = parts();
      const startedMs = performance.now();
      const answer = await route(request, server, { parts: now, refuse });
      now.times.note(performance.now() - startedMs);
      return answer;
    },
    error(thrown) {
      onDefect(thrown);
      return jsonAnswer({ error: "internal error", code: "internal" }, { status: 500 });
    },
  });
}

interface Guard {
  readonly parts: DaemonParts;
  refuse(parts: DaemonParts): Promise<Response>;
}

async function route(
  request: Request,
  server: Bun.Server<SocketData>,
  { parts, refuse }: Guard,
): Promise<Response | undefined> {
  const { access } = parts;
  if (!access.isOwnHost(request) || !isPlain(request)) {
    return jsonAnswer({ error: "Forbidden" }, { status: 403 });
  }
  const origin = access.originOf(request);
  if (origin === "refused") return jsonAnswer({ error: "Forbidden" }, { status: 403 });
  const cors = origin === "allowed" ? corsHeaders(request) : {};
  const finish = (answer: Response) => withHeaders(answer, cors);

  const url = new URL(request.url);
  const { pathname } = url;
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: cors });
  if (pathname === "/health") return finish(jsonAnswer({ status: "ok" }));
  const isSocket = pathname === "/v3/ws" && request.method === "GET";
  let found: ReturnType<typeof findRoute>;
  try {
    found = isSocket ? undefined : findRoute(request.method, pathname);
  } catch (thrown) {
    return finish(errorAnswer(thrown));
  }
  if (found === undefined && !isSocket) return finish(notFound(request.method, pathname));
  if (!access.isAuthorized(request, url, { tickets: isSocket })) return finish(await refuse(parts));
  if (found === undefined) return upgrade(request, server, { url, parts, finish });
  const { route: matched, params } = found;
  // A model may take minutes to load: from here on the daemon itself decides how long a request may take. What it
  // sends arrives at once: a body that dawdles is cut by the connection's idle limit.
  if (request.method === "GET" || request.headers.get("content-length") === "0") {
    server.timeout(request, 0);
  }
  const answer = await matched.answer(
    { request: withoutIdleLimit(request, server), url, params },
    parts,
  );
  return finish(answer);
}

/** Lifts the idle limit once the body has arrived. */
function withoutIdleLimit(request: Request, server: Bun.Server<SocketData>): Request {
  if (request.body === null) return request;
  const read = request.bytes.bind(request);
  return Object.assign(request, {
    async bytes() {
      const bytes = await read();
      server.timeout(request, 0);
      return bytes;
    },
  });
}

/** The request line names a path, and the body's length is said once: what else there is serves to smuggle. */
function isPlain(request: Request): boolean {
  const { headers } = request;
  const length = headers.get("content-length");
  if (length !== null && headers.has("transfer-encoding")) return false;
  return length === null || /^\d+$/.test(length);
}

function upgrade(
  request: Request,
  server: Bun.Server<SocketData>,
  context: {
    readonly url: URL;
    readonly parts: DaemonParts;
    readonly finish: (answer: Response) => Response;
  },
): Response | undefined {
  const { url, parts, finish } = context;
  const given = url.searchParams.get("sessionId");
  if (given === null) {
    return finish(jsonAnswer({ error: "Missing sessionId query param" }, { status: 400 }));
  }
  let sessionId: string;
  try {
    sessionId = checkedSessionId(given);
  } catch (thrown) {
    return finish(errorAnswer(thrown));
  }
  const data: SocketData = {
    sessionId,
    afterSeq: afterSeqOf(url) ?? 0,
    dialect: dialectOf(url, parts),
    follower: undefined,
    pending: 0,
  };
  if (server.upgrade(request, { data })) return undefined;
  return finish(jsonAnswer({ error: "not a WebSocket handshake" }, { status: 426 }));
}

function withHeaders(answer: Response, headers: Readonly<Record<string, string>>): Response {
  for (const [name, value] of Object.entries(headers)) answer.headers.set(name, value);
  return answer;
}
