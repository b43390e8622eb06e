// A WebSocket written by hand: the handshake as a request like any other, frames with any bit wrong that an attack
// wants wrong, and the frames that came back (RFC 6455).
import { type RequestShape, requestBytes } from "./abuse-attack.ts";
import { keptSession, type Target } from "./abuse-target.ts";
import { openWire, parseAnswers, type Wire } from "./abuse-wire.ts";

export const opcodes = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

export interface FrameShape {
  readonly opcode?: number;
  readonly payload?: string | Uint8Array;
  /** The last of its message; default true. */
  readonly isFinal?: boolean;
  /** Reserved bits, 1 to 7. */
  readonly reserved?: number;
  readonly isMasked?: boolean;
  /** What the header says; default: the payload's length. */
  readonly length?: bigint;
}

export interface ReceivedFrame {
  readonly opcode: number;
  readonly payload: Buffer;
}

export interface AbuseSocket extends Disposable {
  readonly wire: Wire;
  frames(): readonly ReceivedFrame[];
  /** Parsed text frames that are no events of the session. */
  replies(): readonly Readonly<Record<string, unknown>>[];
}

const answerLimitMs = 15_000;

export function handshakeShape(query: string, headers: readonly string[] = []): RequestShape {
  return {
    line: `GET /v3/ws${query} HTTP/1.1`,
    headers: [
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      ...headers,
    ],
    body: "",
    isLengthTold: false,
  };
}

/** On the kept session. @throws Error when the upgrade is refused */
export async function openSocket(
  target: Target,
  query = `?sessionId=${keptSession}`,
): Promise<AbuseSocket> {
  const wire = await openWire(target.port);
  await wire.send(requestBytes(target, handshakeShape(query)));
  const answers = () => parseAnswers(wire.received()).answers;
  await wire.until(() => wire.isClosed() || answers().length > 0, answerLimitMs);
  const [answer] = answers();
  if (answer?.status !== 101) {
    wire[Symbol.dispose]();
    throw new Error(`the upgrade was answered with ${answer?.status ?? "nothing"}`);
  }
  const frames = () => parseFrames(parseAnswers(wire.received()).rest);
  return {
    wire,
    frames,
    replies: () =>
      frames()
        .filter(({ opcode }) => opcode === opcodes.text)
        .map(({ payload }) => JSON.parse(payload.toString()) as Record<string, unknown>)
        .filter(({ seq }) => seq === undefined),
    [Symbol.dispose]: () => wire[Symbol.dispose](),
  };
}

export function frameBytes(shape: FrameShape): Buffer {
  const { opcode = opcodes.text, isFinal = true, reserved = 0, isMasked = true } = shape;
  const payload = Buffer.from((shape.payload ?? "") as string);
  const { length = BigInt(payload.length) } = shape;
  const first = (isFinal ? 0x80 : 0) | (reserved << 4) | opcode;
  const maskBit = isMasked ? 0x80 : 0;
  const head = Buffer.alloc(length > 65_535n ? 10 : length > 125n ? 4 : 2);
  head[0] = first;
  if (head.length === 2) head[1] = maskBit | Number(length);
  if (head.length === 4) {
    head[1] = maskBit | 126;
    head.writeUInt16BE(Number(length), 2);
  }
  if (head.length === 10) {
    head[1] = maskBit | 127;
    head.writeBigUInt64BE(length, 2);
  }
  if (!isMasked) return Buffer.concat([head, payload]);
  const mask = Buffer.from([0x12, 0x34, 0x56, 0x78]);
  return Buffer.concat([head, mask, payload.map((byte, index) => byte ^ (mask[index & 3] ?? 0))]);
}

export function closeBytes(code: number, reason: string | Uint8Array = ""): Buffer {
  const payload = Buffer.concat([
    Buffer.from([code >> 8, code & 255]),
    Buffer.from(reason as string),
  ]);
  return frameBytes({ opcode: opcodes.close, payload });
}

/** Whole frames of a server, which are never masked. */
function parseFrames(bytes: Buffer): readonly ReceivedFrame[] {
  const frames: ReceivedFrame[] = [];
  let at = 0;
  for (;;) {
    if (bytes.length < at + 2) return frames;
    const short = (bytes[at + 1] ?? 0) & 127;
    const start = at + (short === 127 ? 10 : short === 126 ? 4 : 2);
    if (bytes.length < start) return frames;
    const length =
      short === 127
        ? Number(bytes.readBigUInt64BE(at + 2))
        : short === 126
          ? bytes.readUInt16BE(at + 2)
          : short;
    if (bytes.length < start + length) return frames;
    frames.push({ opcode: (bytes[at] ?? 0) & 15, payload: bytes.subarray(start, start + length) });
    at = start + length;
  }
}
