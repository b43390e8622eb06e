// Hand-written bytes over TCP, and what came back: the tool of every attack. No HTTP client would send most of it, and
// none would show what exactly was answered.
import { connect, type Socket } from "node:net";

/** One connection to 127.0.0.1; disposing resets it. */
export interface Wire extends Disposable {
  /** Resolves when the kernel has taken the bytes, or the connection is gone. */
  send(bytes: string | Uint8Array): Promise<void>;
  /** FIN: nothing more is sent, answers are still read. */
  end(): void;
  /** Whether what arrives is read; at first it is. */
  setReading(reading: boolean): void;
  /** Everything that arrived. */
  received(): Buffer;
  /** The other side has ended or reset the connection. */
  isClosed(): boolean;
  /** True once `enough` says so; false after the limit. Asked whenever something happens. */
  until(enough: () => boolean, limitMs: number): Promise<boolean>;
}

/** @throws the system's error when nobody listens */
export async function openWire(port: number): Promise<Wire> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  const wire = watch(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return wire;
}

function watch(socket: Socket): Wire {
  let chunks: Buffer[] = [];
  let closed = false;
  const waiting = new Set<() => void>();
  const wake = () => waiting.forEach((check) => check());
  const onClosed = () => {
    closed = true;
    wake();
  };
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    wake();
  });
  socket.on("end", onClosed);
  socket.on("close", onClosed);
  // A reset is an end like any other; "close" follows it.
  socket.on("error", onClosed);
  return {
    send(bytes) {
      if (closed && socket.destroyed) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      socket.once("close", resolve);
      socket.write(bytes, () => {
        socket.off("close", resolve);
        resolve();
      });
      return promise;
    },
    end: () => void socket.end(),
    setReading: (reading) => void (reading ? socket.resume() : socket.pause()),
    received() {
      if (chunks.length !== 1) chunks = [Buffer.concat(chunks)];
      return chunks[0] ?? Buffer.alloc(0);
    },
    isClosed: () => closed,
    until(enough, limitMs) {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const finish = (result: boolean) => {
        clearTimeout(timer);
        waiting.delete(check);
        resolve(result);
      };
      const check = () => {
        if (enough()) finish(true);
      };
      const timer = setTimeout(() => finish(false), limitMs);
      waiting.add(check);
      check();
      return promise;
    },
    [Symbol.dispose]: () => void socket.resetAndDestroy(),
  };
}

/** An HTTP answer as it came. */
export interface Answer {
  readonly status: number;
  /** Status line and header lines. */
  readonly head: string;
  readonly body: Buffer;
}

/** The whole answers at the beginning of `bytes`, and what follows them: half an answer, or frames after a 101. */
export function parseAnswers(bytes: Buffer): {
  readonly answers: readonly Answer[];
  readonly rest: Buffer;
} {
  const answers: Answer[] = [];
  let rest = bytes;
  for (;;) {
    const headEnd = rest.indexOf("\r\n\r\n");
    const head = headEnd < 0 ? "" : rest.subarray(0, headEnd).toString("latin1");
    const status = Number(/^HTTP\/1\.[01] (\d{3})\b/.exec(head)?.[1]);
    if (!(status > 0)) return { answers, rest };
    const after = rest.subarray(headEnd + 4);
    const body = bodyOf(status, head, after);
    if (body === undefined) return { answers, rest };
    answers.push({ status, head, body: body.bytes });
    rest = after.subarray(body.length);
    if (status === 101) return { answers, rest };
  }
}

/** Undefined while it is not whole. `length`: what it takes on the wire. */
function bodyOf(status: number, head: string, after: Buffer) {
  if (status < 200 || status === 204 || status === 304)
    return { bytes: Buffer.alloc(0), length: 0 };
  if (/^transfer-encoding: *chunked$/im.test(head)) return chunkedBody(after);
  const length = Number(headerOf(head, "content-length") ?? 0);
  return after.length < length ? undefined : { bytes: after.subarray(0, length), length };
}

function chunkedBody(after: Buffer) {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = after.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(after.subarray(at, lineEnd).toString("latin1"), 16);
    const start = lineEnd + 2;
    if (after.length < start + size + 2) return undefined;
    at = start + size + 2;
    if (!(size > 0)) return { bytes: Buffer.concat(parts), length: at };
    parts.push(after.subarray(start, start + size));
  }
}

export function headerOf(head: string, name: string): string | undefined {
  return new RegExp(`^${name}: *(.*)$`, "im").exec(head)?.[1];
}
