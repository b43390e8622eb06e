// A bare WebSocket client for tests of a server: frames as they come, and how the socket ended.

export interface RawSocket extends Disposable {
  /** Every frame so far: parsed JSON, the text where it is none, bytes of a binary one. */
  readonly frames: readonly unknown[];
  send(frame: unknown): void;
  /** Resolves when `enough` says so of the frames so far; rejects when the socket ends before. */
  until(enough: (frames: readonly Frame[]) => boolean): Promise<readonly Frame[]>;
  /** The code the socket ended with; 1006 also for a refused upgrade. */
  readonly closed: Promise<number>;
  close(): void;
}

/** A `chat.*` frame, loosely. */
export interface Frame {
  readonly type?: string;
  readonly request_id?: string | null;
  readonly [key: string]: unknown;
}

/** Resolves when it is open; rejects when the upgrade is refused. */
export async function openRawSocket(
  url: string,
  headers: Record<string, string> = {},
): Promise<RawSocket> {
  const socket = new WebSocket(url, { headers });
  socket.binaryType = "arraybuffer";
  const frames: Frame[] = [];
  const waiting = new Set<() => void>();
  const wake = () => waiting.forEach((check) => check());
  socket.addEventListener("message", ({ data }) => {
    frames.push(toFrame(data));
    wake();
  });
  const closed = new Promise<number>((resolve) =>
    socket.addEventListener("close", ({ code }) => resolve(code)),
  );
  await new Promise<void>((resolve, reject) => {
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("error", () => reject(new Error(`no socket at ${url}`)));
  });
  return {
    frames,
    send: (frame) => socket.send(typeof frame === "string" ? frame : JSON.stringify(frame)),
    until: (enough) =>
      new Promise((resolve, reject) => {
        const check = () => {
          if (!enough(frames)) return;
          waiting.delete(check);
          resolve(frames);
        };
        waiting.add(check);
        void closed.then((code) => reject(new Error(`closed with ${code}`)));
        check();
      }),
    closed,
    close: () => socket.close(),
    [Symbol.dispose]: () => socket.terminate(),
  };
}

/** For `until`: a frame that ends a request has come. */
export function isOver(frames: readonly Frame[]): boolean {
  return frames.some((frame) => frame.type === "chat.done" || frame.type === "chat.error");
}

function toFrame(data: unknown): Frame {
  if (typeof data !== "string") return { bytes: Buffer.from(data as ArrayBuffer).toString() };
  try {
    return JSON.parse(data) as Frame;
  } catch {
    return { text: data };
  }
}
