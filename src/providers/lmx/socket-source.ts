// Where the socket for the next request comes from: one opened ahead while the server is being probed,
// else a new one; and for how long a server is remembered as having no WebSocket (contracts/lmx.md rows
// 13 and 20). One spare is enough: later steps pay one round trip, and nothing idles while tools run.
import type { Clock } from "../../base/clock.ts";
import type { Candidate } from "../route.ts";
import { openChatSocket, type ChatSocket, type Handshake } from "./chat-socket.ts";
import { keyHeaders, requestJson, urlOn, withDeadline, type Keys } from "./endpoint.ts";
import { isRecord } from "./http-errors.ts";
import type { LmxTimeouts } from "./timeouts.ts";

export type Refusal = Extract<Handshake, { open: false }>;

export interface SocketSource {
  /** Starts a handshake for the request to come. */
  openAhead(server: Candidate): void;
  /** False while a failed WebSocket of this server is remembered. */
  mayOpen(server: Candidate): boolean;
  /** An open socket, or why there is none; a refusal with a status is remembered. Never rejects. */
  take(server: Candidate, signal: AbortSignal): Promise<ChatSocket | Refusal>;
  /** Remembers that this server's WebSocket does not work, though the server does. */
  giveUp(server: Candidate): void;
  /** The path at which this server's WebSocket is taken to be; null while it is known not to work. */
  pathOf(server: Candidate): string | null;
  /** Takes over what an earlier process learnt: `pathOf` of then. */
  assume(server: Candidate, path: string | null): void;
  /** Closes the spare. */
  drop(): void;
}

const chatPath = "/v1/chat/stream";

export function createSocketSource(options: {
  readonly keys: Keys;
  readonly clock: Clock;
  readonly timeouts: LmxTimeouts;
}): SocketSource {
  const { keys, clock, timeouts } = options;
  const headers = keyHeaders(keys);
  /** Server -> when its WebSocket may be tried again. */
  const refusedUntilMs = new Map<string, number>();
  /** Server -> the path its discovery document named, where that is not the usual one. */
  const paths = new Map<string, string>();
  let spare: { readonly server: string; readonly socket: ChatSocket } | undefined;

  const open = (server: Candidate) =>
    openChatSocket({
      url: urlOn(server, "ws", paths.get(server.server) ?? chatPath),
      headers,
      clock,
      timeouts,
    });
  const drop = () => {
    spare?.socket.close();
    spare = undefined;
  };
  const takeSpare = (server: Candidate): ChatSocket | undefined => {
    const { socket, server: of } = spare ?? {};
    const isFresh =
      socket !== undefined && clock.nowMs() - socket.startedMs < timeouts.spareSocketMs;
    if (socket === undefined || of !== server.server || !isFresh || !socket.isAlive()) {
      drop();
      return undefined;
    }
    spare = undefined;
    return socket;
  };
  const mayOpen = (server: Candidate) =>
    clock.nowMs() >= (refusedUntilMs.get(server.server) ?? -Infinity);
  const giveUp = (server: Candidate) => {
    refusedUntilMs.set(server.server, clock.nowMs() + timeouts.webSocketRetryMs);
  };
  const handshake = async (
    socket: ChatSocket,
    signal: AbortSignal,
  ): Promise<ChatSocket | Refusal> => {
    const close = () => socket.close();
    signal.addEventListener("abort", close, { once: true });
    if (signal.aborted) close();
    const result = await socket.handshake;
    signal.removeEventListener("abort", close);
    return result.open ? socket : result;
  };

  return {
    openAhead(server) {
      drop();
      spare = { server: server.server, socket: open(server) };
    },
    mayOpen,
    async take(server, signal) {
      const first = await handshake(takeSpare(server) ?? open(server), signal);
      // 401 is about the key, whatever the path.
      if (!("open" in first) || first.status === null || first.status === 401) return first;
      const path = await discoverPath(server, { clock, timeouts, signal });
      if (path !== null && path !== (paths.get(server.server) ?? chatPath)) {
        paths.set(server.server, path);
        const second = await handshake(open(server), signal);
        if (!("open" in second)) return second;
        paths.delete(server.server);
      }
      giveUp(server);
      return first;
    },
    giveUp,
    pathOf: (server) => (mayOpen(server) ? (paths.get(server.server) ?? chatPath) : null),
    assume(server, path) {
      if (path === null) return giveUp(server);
      refusedUntilMs.delete(server.server);
      if (path !== chatPath) paths.set(server.server, path);
    },
    drop,
  };
}

/** Asks the discovery document, without keys; anything but a clear answer is the usual path. */
async function discoverPath(
  server: Candidate,
  options: { readonly clock: Clock; readonly timeouts: LmxTimeouts; readonly signal: AbortSignal },
): Promise<string | null> {
  const { clock, timeouts, signal } = options;
  const deadline = withDeadline(clock, timeouts.probeMs, signal);
  try {
    const answer = await requestJson(server, "/.well-known/opta-lmx", { signal: deadline.signal });
    return answer.status === 200 ? webSocketPath(answer.json) : chatPath;
  } catch {
    // Discovery is optional (row 20); what is wrong with the server the request itself will tell.
    return chatPath;
  } finally {
    deadline.stop();
  }
}

/**
 * The WebSocket path a discovery document names (row 20): null when it says there is none. Only the path of
 * a web address is taken: its host may be unreachable from here, and keys go to the configured host alone.
 */
export function webSocketPath(discovery: unknown): string | null {
  const endpoints = isRecord(discovery) && isRecord(discovery.endpoints) ? discovery.endpoints : {};
  const { websocket_url: url } = endpoints;
  if (url === null) return null;
  if (typeof url !== "string") return chatPath;
  const { protocol, pathname } = URL.canParse(url, "ws://host")
    ? new URL(url, "ws://host")
    : { protocol: "", pathname: "" };
  return /^(?:ws|http)s?:$/.test(protocol) && /^\/[^/]/.test(pathname) ? pathname : chatPath;
}
