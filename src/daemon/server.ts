// The daemon's one listener, on 127.0.0.1: the port, the limits, and by which names it may be called. Whatever is
// asked beyond that is answered by the service (service.ts), which is loaded when it is first needed.
import { OptaError } from "../protocol/error.ts";
import { usualPorts } from "../store/daemon-place.ts";
import { bodyLimitBytes, errorAnswer, jsonAnswer } from "./http.ts";
import type { SocketData } from "./socket-data.ts";

export type SocketServer = Bun.Server<SocketData>;

/** What serves whoever calls by the right name. */
export interface Service {
  answer(request: Request, server: SocketServer): Promise<Response | undefined>;
  readonly sockets: Required<
    Pick<Bun.WebSocketHandler<SocketData>, "open" | "message" | "pong" | "drain" | "close">
  >;
  /** Ends what runs, with `reason`. */
  close(reason: OptaError): Promise<void>;
}

export interface ListenOptions {
  /** Exactly this port; undefined: 9999, else the first free one of 10000 to 10020. */
  readonly port: number | undefined;
  readonly service: () => Promise<Service>;
  /** A request that failed for a reason of ours. */
  readonly onDefect: (thrown: unknown) => void;
}

const hostname = "127.0.0.1";
/** A connection that sends nothing for so long, in the middle of a request or between two, is closed. */
const idleSeconds = 15;
/** What waits in a socket at the most: never reached, since slow readers leave the broadcast long before. */
const socketLimitBytes = 8 * 1024 * 1024;

/** @throws OptaError port-taken */
export function listen(options: ListenOptions): SocketServer {
  const ports = options.port === undefined ? usualPorts : [options.port];
  for (const port of ports) {
    try {
      return serve(port, options);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code !== "EADDRINUSE") throw error;
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

function serve(port: number, { service, onDefect }: ListenOptions): SocketServer {
  let loaded: Service | undefined;
  /** A socket is opened by the service, so that it is there. */
  const sockets = () => loaded!.sockets;
  const server = Bun.serve<SocketData>({
    hostname,
    port,
    reusePort: false,
    development: false,
    idleTimeout: idleSeconds,
    maxRequestBodySize: bodyLimitBytes,
    websocket: {
      maxPayloadLength: bodyLimitBytes,
      backpressureLimit: socketLimitBytes,
      closeOnBackpressureLimit: true,
      // Half-open sockets are found by pings of our own (socket-pings.ts).
      idleTimeout: 0,
      sendPings: false,
      perMessageDeflate: false,
      open: (socket) => sockets().open(socket),
      message: (socket, message) => sockets().message(socket, message),
      pong: (socket, data) => sockets().pong(socket, data),
      drain: (socket) => sockets().drain(socket),
      close: (socket, code, reason) => sockets().close(socket, code, reason),
    },
    async fetch(request, self) {
      if (!isOwnName(request.headers.get("host"), self.port ?? 0) || isTunnel(request)) {
        return jsonAnswer({ error: "Forbidden" }, { status: 403 });
      }
      if (isLivenessProbe(request)) return jsonAnswer({ status: "ok" });
      try {
        loaded ??= await service();
      } catch (thrown) {
        // Settings that cannot be read: whoever asks learns which, and how to mend them.
        return errorAnswer(thrown);
      }
      return loaded.answer(request, self);
    },
    error(thrown) {
      onDefect(thrown);
      return jsonAnswer({ error: "internal error", code: "internal" }, { status: 500 });
    },
  });
  return server;
}

/**
 * Exactly our own names with our own port, against DNS rebinding (promises S3). Bun joins two Host headers with ", ",
 * so that equality refuses those, too.
 */
function isOwnName(host: string | null, port: number): boolean {
  return ["127.0.0.1", "localhost", "[::1]"].some(
    // The port of http is left out (RFC 9110 section 7.2).
    (name) => host === `${name}:${port}` || (port === 80 && host === name),
  );
}

/** CONNECT names a host instead of a path, so that its URL is none. */
function isTunnel({ url }: Request): boolean {
  return !url.startsWith("http://");
}

/** Says that somebody is there, and nothing else (promises S6). A page's request is looked at like any other. */
function isLivenessProbe({ method, url, headers }: Request): boolean {
  return method === "GET" && new URL(url).pathname === "/health" && !headers.has("origin");
}
