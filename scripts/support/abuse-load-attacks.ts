// Attacks that take up what a server has for all: connections that say nothing, little, or everything very slowly, and
// clients that ask for much and read nothing. Who asks in the usual way must not feel any of it.
import { type Attack, type Finding, requestBytes } from "./abuse-attack.ts";
import { frameBytes, handshakeShape, opcodes, openSocket } from "./abuse-socket.ts";
import { keptSession, type Target } from "./abuse-target.ts";
import { openWire, type Wire } from "./abuse-wire.ts";

const crowd = 500;
/** Well above the 15 s after which an idle connection is cut. */
const patienceMs = 60_000;
const mebibyte = 1024 * 1024;
/** What one client that reads nothing may cost at its peak. */
const deafLimitBytes = 64 * mebibyte;
/** Bytes that are not taken for so long are not read any more. */
const stuckMs = 1_000;
/** In which the daemon works off what it has taken. */
const settleMs = 200;
const batchSize = 1_000;

export const loadAttacks: readonly Attack[] = [
  crowdOf("500 connections that say nothing", () => ""),
  crowdOf("500 requests without an end", (target) => requestBytes(target).subarray(0, -10)),
  crowdOf("500 headers without an end", () => "GET /v3/health HTTP/1.1\r\nX-A: "),
  crowdOf("500 TLS handshakes without an end", () => Buffer.from("1603010200", "hex")),
  crowdOf("500 sockets that are never closed", (target) =>
    requestBytes(target, handshakeShape(`?sessionId=${keptSession}`)),
  ),
  crowdOf("500 streams that nobody reads", (target) =>
    requestBytes(target, {
      line: `GET /v3/sse/events?sessionId=${keptSession} HTTP/1.1`,
      body: "",
    }),
  ),
  {
    name: "1,000 connections that are reset at once",
    async run(target) {
      for (let count = 0; count < 1_000; count += 50) {
        const wires = await Promise.all(Array.from({ length: 50 }, () => openWire(target.port)));
        for (const wire of wires) wire[Symbol.dispose]();
      }
      return { seen: "reset", problems: [] };
    },
  },
  deaf("60,000 requests whose answers nobody reads", (target) => [
    requestBytes(target, { line: "GET /v3/openapi.json HTTP/1.1", body: "" }),
    60_000,
  ]),
  deaf("60,000 refusals that nobody reads", (target) => [
    requestBytes(target, { line: "GET /v3/none HTTP/1.1", authorization: null, body: "" }),
    60_000,
  ]),
  {
    name: "200,000 pings whose pongs nobody reads",
    async run(target) {
      using socket = await openSocket(target);
      const ping = frameBytes({ opcode: opcodes.ping, payload: "x".repeat(125) });
      return await sendDeaf(target, socket.wire, [ping, 200_000]);
    },
  },
  {
    name: "100,000 commands whose errors nobody reads",
    async run(target) {
      using socket = await openSocket(target);
      return await sendDeaf(target, socket.wire, [
        frameBytes({ payload: '{"type":"none"}' }),
        100_000,
      ]);
    },
  },
  slow("a connection that says nothing", () => []),
  slow("headers that never come", () => ["GET /v3/health HTTP/1.1\r\n"]),
  slow("a body that never comes", (target) => [requestBytes(target).subarray(0, -10)]),
  slow("headers of a byte a second", (target) => bytesOf(requestBytes(target))),
  slow("a body of a byte a second", (target) => {
    const bytes = requestBytes(target, { body: " ".repeat(1_000) });
    const bodyStart = bytes.indexOf("\r\n\r\n") + 4;
    return [bytes.subarray(0, bodyStart), ...bytesOf(bytes.subarray(bodyStart))];
  }),
];

/** All of them open at once; meanwhile and afterwards the daemon serves. */
function crowdOf(name: string, bytes: (target: Target) => string | Uint8Array): Attack {
  return {
    name,
    async run(target) {
      using open = new DisposableStack();
      const sent = bytes(target);
      for (let count = 0; count < crowd; count += 50) {
        const wires = await Promise.all(Array.from({ length: 50 }, () => openWire(target.port)));
        for (const wire of wires) open.use(wire);
        await Promise.all(wires.map((wire) => wire.send(sent)));
      }
      const { problems, healthMs } = await target.inspect();
      return { seen: `health ${healthMs.toFixed(1)} ms`, problems };
    },
  };
}

/** Sends the same bytes over and over and reads nothing: the daemon stops reading, too, or cuts the connection. */
function deaf(name: string, bytes: (target: Target) => readonly [Uint8Array, number]): Attack {
  return {
    name,
    async run(target) {
      using wire = await openWire(target.port);
      return await sendDeaf(target, wire, bytes(target));
    },
  };
}

async function sendDeaf(
  target: Target,
  wire: Wire,
  [bytes, times]: readonly [Uint8Array, number],
): Promise<Finding> {
  wire.setReading(false);
  const before = target.rssBytes();
  let peak = before;
  const batch = Buffer.concat(Array<Uint8Array>(batchSize).fill(bytes));
  let isStuck = false;
  let sent = 0;
  for (; sent < times && !wire.isClosed() && !isStuck; sent += batchSize) {
    isStuck = await Promise.race([
      wire.send(batch).then(() => false),
      Bun.sleep(stuckMs).then(() => true),
    ]);
    peak = Math.max(peak, target.rssBytes());
  }
  await Bun.sleep(settleMs);
  const cost = Math.max(peak, target.rssBytes()) - before;
  const shown = `${(cost / mebibyte).toFixed(1)} MB`;
  return {
    seen: `${isStuck ? "no longer read" : wire.isClosed() ? "closed" : "open"} after ${sent}, ${shown}`,
    problems: cost > deafLimitBytes ? [`it costs ${shown}`] : [],
  };
}

/** The daemon ends it by itself, however long the client goes on. */
function slow(name: string, pieces: (target: Target) => readonly Uint8Array[] | string[]): Attack {
  return {
    name: `slow: ${name}`,
    isSlow: true,
    async run(target) {
      using wire = await openWire(target.port);
      const startedMs = performance.now();
      const isLate = () => performance.now() - startedMs > patienceMs;
      for (const piece of pieces(target)) {
        if (wire.isClosed() || isLate()) break;
        await wire.send(piece);
        await wire.until(wire.isClosed, 1_000);
      }
      const leftMs = patienceMs - (performance.now() - startedMs);
      const isCut = await wire.until(wire.isClosed, Math.max(1, leftMs));
      const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0);
      const said = wire.received().toString("latin1").slice(9, 12);
      return {
        seen: isCut ? `closed after ${seconds} s ${said}` : `open after ${seconds} s`,
        problems: isCut ? [] : ["the connection stays"],
      };
    },
  };
}

function bytesOf(bytes: Uint8Array): readonly Uint8Array[] {
  return Array.from(bytes, (byte) => Uint8Array.of(byte));
}
