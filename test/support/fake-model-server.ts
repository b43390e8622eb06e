// A model server made by hand for what the scripted one is too well-behaved to do: wrong shapes, silence,
// sockets that die. Listens on a free port of 127.0.0.1; by default it is an LMX with one model loaded.
import type { ServerWebSocket } from "bun";
import { createLmxProvider, type LmxProviderOptions } from "../../src/providers/lmx/provider.ts";
import type { ChatRequest, Provider, ProviderEvent } from "../../src/providers/provider.ts";

export type FakeSocket = ServerWebSocket<undefined>;
type Route = (request: Request) => Response | Promise<Response>;

export interface FakeModelServer extends Disposable {
  readonly port: number;
  readonly server: string;
  /** Every request in order: "GET /healthz". */
  readonly requests: string[];
  /** The same requests' headers. */
  readonly headers: Headers[];
  /** Every text a WebSocket client sent. */
  readonly frames: string[];
  /** Close codes of WebSocket clients. */
  readonly closes: number[];
  provider(options?: Partial<LmxProviderOptions>): Provider;
  /** Closes the port; connections that are open stay so. */
  stopListening(): void;
}

export const fakeModel = "org/Model-7B";

export function startFake(
  options: {
    /** Path -> answer; overrides the usual ones. */
    readonly routes?: Readonly<Record<string, Route>>;
    /** A client's frame that is no cancel. Absent: upgrades are refused with 403. */
    readonly onFrame?: (socket: FakeSocket, frame: string) => void;
    readonly webSocketPath?: string;
  } = {},
): FakeModelServer {
  const { onFrame, webSocketPath = "/v1/chat/stream" } = options;
  const requests: string[] = [];
  const headers: Headers[] = [];
  const frames: string[] = [];
  const closes: number[] = [];
  const routes: Record<string, Route> = {
    "/healthz": () => Response.json({ status: "ok", version: "1.0" }),
    "/admin/models": () =>
      Response.json({ loaded: [{ id: fakeModel, loaded: true, context_length: 32768 }], count: 1 }),
    ...options.routes,
  };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch(request, upgrade) {
      const { pathname } = new URL(request.url);
      requests.push(`${request.method} ${pathname}`);
      headers.push(request.headers);
      const isUpgrade = request.headers.get("upgrade") === "websocket";
      const route = routes[pathname];
      if (isUpgrade && route === undefined) {
        if (onFrame === undefined || pathname !== webSocketPath)
          return new Response("", { status: 403 });
        return upgrade.upgrade(request) ? undefined : new Response("", { status: 400 });
      }
      return route === undefined
        ? Response.json({ detail: "Not Found" }, { status: 404 })
        : route(request);
    },
    websocket: {
      maxPayloadLength: 64 * 1024 * 1024,
      sendPings: false,
      message(socket: FakeSocket, data) {
        frames.push(String(data));
        if (!String(data).includes("chat.cancel")) onFrame?.(socket, String(data));
      },
      close(_socket, code) {
        closes.push(code);
      },
    },
  });
  const port = server.port!;
  return {
    port,
    server: `127.0.0.1:${port}`,
    requests,
    headers,
    frames,
    closes,
    provider: (more) => createLmxProvider({ host: "127.0.0.1", port, fallbackHosts: [], ...more }),
    stopListening: () => void server.stop(false),
    [Symbol.dispose]: () => void server.stop(true),
  };
}

/** Frames as LMX sends them, for request id "chatcmpl-1". */
export const lmxFrame = {
  token: (content: string, requestId = "chatcmpl-1") =>
    JSON.stringify({ type: "chat.token", request_id: requestId, content }),
  done: (finishReason = "stop", requestId = "chatcmpl-1") =>
    JSON.stringify({
      type: "chat.done",
      request_id: requestId,
      finish_reason: finishReason,
      usage: { prompt_tokens: 3, completion_tokens: 2 },
    }),
};

/** A response of server-sent events, one write per string, ended cleanly. */
export function sse(writes: readonly string[]): Response {
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      for (const write of writes) {
        controller.enqueue(new TextEncoder().encode(write));
        await Bun.sleep(1);
      }
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

export function chatRequest(more: Partial<ChatRequest> = {}): ChatRequest {
  return {
    model: fakeModel,
    messages: [{ role: "user", content: "hi" }],
    tools: [],
    maxTokens: 2048,
    ...more,
  };
}

export const neverAborted = new AbortController().signal;

export async function collect(
  events: AsyncIterable<ProviderEvent>,
): Promise<readonly ProviderEvent[]> {
  return Array.fromAsync(events);
}

/** Sends one request and returns all its events, the provider closed. */
export async function converse(
  provider: Provider,
  request: ChatRequest = chatRequest(),
): Promise<readonly ProviderEvent[]> {
  const events = await collect(provider.stream(request, neverAborted));
  provider.close();
  return events;
}

export function textOf(events: readonly ProviderEvent[]): string {
  return events.map((event) => (event.type === "text" ? event.text : "")).join("");
}

/** Waits until `isTrue`, checking often; fails the test after 5 s. */
export async function until(isTrue: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 5_000;
  while (!isTrue()) {
    if (performance.now() > deadlineMs) throw new Error("waited 5 s in vain");
    await Bun.sleep(1);
  }
}
