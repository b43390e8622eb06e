// Clients that are no good: TCP connections that shake hands and then never read, or read and never answer a ping, as
// a laptop that was closed. The daemon has to find them out by itself; they only watch what becomes of them.
import { connect, type Socket } from "node:net";

export interface StalledOptions {
  readonly port: number;
  readonly token: string;
  readonly sessionId: string;
  readonly afterSeq: number;
  /** Never reads after the handshake; else it reads all and says nothing. */
  readonly reads: boolean;
}

export interface StalledClient extends Disposable {
  /** Reads on, to see the end; resolves with the close code it was sent, or undefined for an end without one. */
  findEnd(
    limitMs: number,
  ): Promise<{ readonly ended: boolean; readonly closeCode: number | undefined }>;
}

/** Resolves after the handshake. @throws Error when it is refused */
export async function startStalledClient(options: StalledOptions): Promise<StalledClient> {
  const { port, token, sessionId, afterSeq, reads } = options;
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => undefined); // a reset is one of the ends it may find
  const ended = new Promise<true>((resolve) => socket.once("close", () => resolve(true)));
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write(
    [
      `GET /v3/ws?sessionId=${sessionId}&afterSeq=${afterSeq} HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      `Authorization: Bearer ${token}`,
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
      "\r\n",
    ].join("\r\n"),
  );
  const first = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
  if (!first.toString("latin1").startsWith("HTTP/1.1 101")) {
    throw new Error(`the handshake was refused: ${first.toString("latin1").slice(0, 100)}`);
  }
  let tail = first;
  socket.on("data", (bytes: Buffer) => {
    tail = Buffer.concat([tail, bytes]).subarray(-tailBytes);
  });
  if (!reads) socket.pause();
  return {
    async findEnd(limitMs) {
      socket.resume();
      const timer = Bun.sleep(limitMs).then(() => false as const);
      return { ended: await Promise.race([ended, timer]), closeCode: closeCodeAt(tail) };
    },
    [Symbol.dispose]: () => destroy(socket),
  };
}

/** More than a close frame with its longest reason. */
const tailBytes = 256;

/** A server's close frame is not masked and is the last thing it sends (RFC 6455 section 5.5.1). */
function closeCodeAt(tail: Buffer): number | undefined {
  for (let at = tail.length - 4; at >= 0; at--) {
    if (tail[at] === 0x88 && at + 2 + (tail[at + 1] ?? 0) === tail.length) {
      return tail.readUInt16BE(at + 2);
    }
  }
  return undefined;
}

function destroy(socket: Socket): void {
  socket.destroy();
}
