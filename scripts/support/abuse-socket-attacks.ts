// Attacks on the WebSocket: handshakes that are none, frames against RFC 6455, commands that are none, not allowed or
// too many. The token is right, so that only what is sent can be the reason for the refusal.
import { type Attack, type Finding, refusedRequest, type RequestShape } from "./abuse-attack.ts";
import {
  type AbuseSocket,
  closeBytes,
  frameBytes,
  type FrameShape,
  handshakeShape,
  opcodes,
  openSocket,
} from "./abuse-socket.ts";
import { keptSession } from "./abuse-target.ts";

const limitMs = 15_000;
const askAgainMs = 50;
/** A request that is served so soon has not waited for anything. */
const leastWaitMs = 250;
const heartbeat = '{"type":"ping"}';
const submit = '"type":"turn.submit","clientId":"c","writerId":"w","content":"x"';
const resolve = '"type":"permission.resolve","decision":"allow","decidedBy":"m"';

const handshakes: readonly (readonly [string, RequestShape])[] = [
  ["no key", without("Sec-WebSocket-Key")],
  ["a short key", changed("Sec-WebSocket-Key", "YWJj")],
  ["a key that is no base64", changed("Sec-WebSocket-Key", "!".repeat(24))],
  ["a key of 4 KB", changed("Sec-WebSocket-Key", "A".repeat(4_096))],
  ["two keys", added("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")],
  ["no version", without("Sec-WebSocket-Version")],
  ["version 8", changed("Sec-WebSocket-Version", "8")],
  ["version 99", changed("Sec-WebSocket-Version", "99")],
  ["two versions", added("Sec-WebSocket-Version: 8")],
  ["no Upgrade", without("Upgrade")],
  ["Upgrade: h2c", changed("Upgrade", "h2c")],
  ["by POST", { ...handshakeShape(""), line: `POST /v3/ws?sessionId=${keptSession} HTTP/1.1` }],
  ["without a session", handshakeShape("")],
  ["with an empty session", handshakeShape("?sessionId=")],
];

/** Frames after which the connection must be over. */
const badFrames: readonly (readonly [string, ...FrameShape[]])[] = [
  ["an unmasked frame", { payload: `{${submit}}`, isMasked: false }],
  ...[1, 2, 4, 7].map(
    (reserved) => [`reserved bits ${reserved}`, { payload: `{${submit}}`, reserved }] as const,
  ),
  ...[3, 4, 7, 11, 15].map(
    (opcode) => [`opcode ${opcode}`, { payload: `{${submit}}`, opcode }] as const,
  ),
  ["a fragmented ping", { opcode: opcodes.ping, payload: "x", isFinal: false }],
  ["a fragmented close", { opcode: opcodes.close, payload: "", isFinal: false }],
  ["a ping of 126 bytes", { opcode: opcodes.ping, payload: "x".repeat(126) }],
  ["a pong of 64 KB", { opcode: opcodes.pong, payload: "x".repeat(65_536) }],
  ["a continuation of nothing", { opcode: opcodes.continuation, payload: `{${submit}}` }],
  ["a message within a message", { payload: "{", isFinal: false }, { payload: `{${submit}}` }],
  ["a frame of 10 MiB and a byte", { payload: "x", length: 10n * 1024n * 1024n + 1n }],
  ["a frame of 2^32", { payload: "x", length: 1n << 32n }],
  ["a frame of 2^63", { payload: "x", length: 1n << 63n }],
  ["a frame of 2^64 - 1", { payload: "x", length: (1n << 64n) - 1n }],
  [
    "fragments of 1 MiB up to 12 MiB",
    ...Array.from({ length: 12 }, (_, index) => ({
      opcode: index === 0 ? opcodes.text : opcodes.continuation,
      payload: "x".repeat(1024 * 1024),
      isFinal: false,
    })),
  ],
  ["text that is no UTF-8", { payload: Uint8Array.of(0x22, 0xff, 0x22) }],
  ["an overlong slash in text", { payload: Uint8Array.of(0x22, 0xc0, 0xaf, 0x22) }],
  ["a surrogate in text", { payload: Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22) }],
  [
    "no UTF-8 in fragments",
    { payload: Uint8Array.of(0x22, 0xff), isFinal: false },
    { opcode: opcodes.continuation, payload: '"' },
  ],
];

const closeCodes = [0, 999, 1004, 1005, 1006, 1015, 2_999, 5_000, 65_535];

const depth = 100_000;

/** Text frames that are answered with an error while the socket goes on. */
const badCommands: readonly (readonly [string, string])[] = [
  ["nothing", ""],
  ["half an object", "{"],
  ["null", "null"],
  ["an array", `[{${submit}}]`],
  ["a number", "1"],
  ["no type", "{}"],
  ["a type that is a number", '{"type":1}'],
  ["__proto__ as type", '{"type":"__proto__"}'],
  ["constructor as type", '{"type":"constructor"}'],
  ["an operation that is no command", `{"type":"session.delete","sessionId":"${keptSession}"}`],
  ["a type from a prototype", `{"__proto__":{${submit}}}`],
  ["a type of 5 MB", JSON.stringify({ type: "x".repeat(5_000_000) })],
  ["a lone surrogate as type", '{"type":"\\ud800"}'],
  ["a depth of 100,000", `{"type":${"[".repeat(depth)}${"]".repeat(depth)}}`],
  ["9 MB of brackets", "[".repeat(9_000_000)],
  ["a turn for another session", `{${submit},"sessionId":"other"}`],
  ["a turn for ../victim", `{${submit},"sessionId":"../victim"}`],
  ["a turn for a session that is an object", `{${submit},"sessionId":{"toString":"x"}}`],
  ["a turn without content", '{"type":"turn.submit","clientId":"c","writerId":"w"}'],
  [
    "a turn whose content is a prototype's",
    '{"type":"turn.submit","clientId":"c","writerId":"w","__proto__":{"content":"x"}}',
  ],
  ["a turn in no mode", `{${submit},"mode":"constructor"}`],
  ["a turn with a seq below 0", `{${submit},"lastSeenSeq":-1}`],
  ["an answer for another session", `{${resolve},"requestId":"perm_1","sessionId":"other"}`],
  ["an answer without a request", `{${resolve}}`],
  ["an answer to a request that is a number", `{${resolve},"requestId":1}`],
  ["an answer to a request that is an object", `{${resolve},"requestId":{"toString":1}}`],
  [
    "an answer for another session to a request that is an object",
    `{${resolve},"requestId":{"toString":1},"sessionId":"other"}`,
  ],
  [
    "an answer for another session to a request of 100,000 depth",
    `{${resolve},"requestId":${"[".repeat(depth)}${"]".repeat(depth)},"sessionId":"other"}`,
  ],
  [
    "a decision that is none",
    '{"type":"permission.resolve","decision":"constructor","decidedBy":"m","requestId":"perm_1"}',
  ],
  ["a cancel of a number", '{"type":"turn.cancel","turnId":1}'],
  ["a cancel for another session", '{"type":"turn.cancel","sessionId":"other","turnId":"x"}'],
];

export const socketAttacks: readonly Attack[] = [
  ...handshakes.map(([name, shape]) =>
    refusedRequest(`handshake: ${name}`, shape, [400, 404, 426]),
  ),
  ...badFrames.map(([name, ...frames]) => cutSocket(name, frames.map(frameBytes))),
  ...closeCodes.map((code) => cutSocket(`close code ${code}`, [closeBytes(code)])),
  cutSocket("a close of one byte", [
    frameBytes({ opcode: opcodes.close, payload: Uint8Array.of(3) }),
  ]),
  cutSocket("a close whose reason is no UTF-8", [closeBytes(1_000, Uint8Array.of(0xff, 0xff))]),
  cutSocket("a command behind the close", [
    Buffer.concat([closeBytes(1_000), frameBytes({ payload: `{${submit}}` })]),
  ]),
  cutSocket("HTTP behind the handshake", [
    Buffer.from("POST /v3/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
  ]),
  ...badCommands.map(([name, text]) => refusedCommand(name, frameBytes({ payload: text }))),
  refusedCommand("a command in a binary frame", frameBytes({ opcode: 2, payload: `{${submit}}` })),
  flood("10,000 pings", 10_000, frameBytes({ opcode: opcodes.ping, payload: "x" })),
  flood("10,000 pongs nobody asked for", 10_000, frameBytes({ opcode: opcodes.pong })),
  flood("10,000 empty frames", 10_000, frameBytes({ payload: "" })),
  flood("10,000 frames of one letter", 10_000, frameBytes({ payload: "x" })),
  {
    ...flood(
      "1,000 cancels",
      1_000,
      frameBytes({ payload: '{"type":"turn.cancel","turnId":"x"}' }),
      { isAnswered: true },
    ),
    isTold: true,
  },
  flood(
    "1,000 answers to nothing",
    1_000,
    frameBytes({ payload: `{${resolve},"requestId":"perm_1"}` }),
    { isAnswered: true },
  ),
  flood(
    "a message in 10,000 fragments",
    1,
    Buffer.concat([
      frameBytes({ payload: "x", isFinal: false }),
      ...Array.from({ length: 9_998 }, () =>
        frameBytes({ opcode: opcodes.continuation, payload: "x", isFinal: false }),
      ),
      frameBytes({ opcode: opcodes.continuation, payload: "x" }),
    ]),
  ),
];

/** Nothing of what is sent is carried out, and the server ends the connection. */
function cutSocket(name: string, pieces: readonly Uint8Array[]): Attack {
  return {
    name: `frame: ${name}`,
    async run(target) {
      using socket = await openSocket(target);
      for (const piece of pieces) await socket.wire.send(piece);
      const isCut = await socket.wire.until(socket.wire.isClosed, limitMs);
      const close = socket.frames().find(({ opcode }) => opcode === opcodes.close);
      const code = close && close.payload.length > 1 ? ` ${close.payload.readUInt16BE(0)}` : "";
      return {
        seen: isCut ? `closed${code}` : "open",
        problems: [...(isCut ? [] : ["the socket stays open"]), ...carriedOut(socket)],
      };
    },
  };
}

/** The command is answered with an error, and the socket still serves. */
function refusedCommand(name: string, frame: Uint8Array): Attack {
  return {
    name: `command: ${name}`,
    async run(target) {
      using socket = await openSocket(target);
      await socket.wire.send(frame);
      await socket.wire.send(frameBytes({ payload: heartbeat }));
      const isAnswered = () => socket.replies().length >= 2;
      await socket.wire.until(() => socket.wire.isClosed() || isAnswered(), limitMs);
      const [errors, others] = partition(socket.replies(), isRefusal);
      const isServed = others.some(({ event }) => event === "heartbeat");
      return {
        seen: errors.length > 0 ? "error" : "silence",
        problems: [
          ...(errors.length === 1 ? [] : [`${errors.length} errors came back`]),
          ...(isServed ? [] : ["the socket serves no more"]),
          ...carriedOut(socket),
        ],
      };
    },
  };
}

/** Many frames at once: who asks meanwhile does not wait for all of them, and the socket serves on or is closed. */
function flood(
  name: string,
  count: number,
  frame: Buffer,
  { isAnswered = false }: { readonly isAnswered?: boolean } = {},
): Attack {
  return {
    name: `flood: ${name}`,
    async run(target): Promise<Finding> {
      using socket = await openSocket(target);
      const { wire } = socket;
      const startedMs = performance.now();
      await wire.send(Buffer.concat(Array<Buffer>(count).fill(frame)));
      const { healthMs, problems } = await target.health();
      const isServed = () => wire.received().includes('"heartbeat"');
      // A socket with too many commands under way says so to each further one.
      const isLate = () => performance.now() - startedMs > limitMs;
      while (!isServed() && !wire.isClosed() && !isLate()) {
        await wire.send(frameBytes({ payload: heartbeat }));
        await wire.until(() => isServed() || wire.isClosed(), askAgainMs);
      }
      if (isAnswered) {
        await wire.until(() => wire.isClosed() || socket.replies().length > count, limitMs);
      }
      const tookMs = performance.now() - startedMs;
      const hasWaited = healthMs > leastWaitMs && healthMs > tookMs / 2;
      const refused = socket.replies().filter(isRefusal).length;
      return {
        seen: `${wire.isClosed() ? "closed" : `${refused} errors`}, health ${healthMs.toFixed(1)} ms`,
        problems: [
          ...problems,
          ...(isServed() || wire.isClosed() ? [] : ["the socket serves no more"]),
          ...(hasWaited ? [`health waited ${healthMs} of ${tookMs} ms`] : []),
        ],
      };
    },
  };
}

function isRefusal(reply: Readonly<Record<string, unknown>>): boolean {
  return typeof reply["error"] === "string";
}

function carriedOut(socket: AbuseSocket): readonly string[] {
  return socket
    .replies()
    .filter(({ type }) => type === "ack")
    .map((reply) => `carried out: ${JSON.stringify(reply)}`);
}

function partition<T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))];
}

function without(name: string): RequestShape {
  const shape = handshakeShape(`?sessionId=${keptSession}`);
  return { ...shape, headers: shape.headers?.filter((line) => !line.startsWith(`${name}:`)) ?? [] };
}

function changed(name: string, value: string): RequestShape {
  const shape = without(name);
  return { ...shape, headers: [...(shape.headers ?? []), `${name}: ${value}`] };
}

function added(line: string): RequestShape {
  return handshakeShape(`?sessionId=${keptSession}`, [line]);
}
