// The requests from which the attacks are made, with nothing wrong in them: each is carried out. Without that a refusal
// would prove nothing.
import {
  type Attack,
  exchange,
  type Finding,
  judge,
  type RequestShape,
  requestBytes,
} from "./abuse-attack.ts";
import { frameBytes, handshakeShape, openSocket } from "./abuse-socket.ts";
import { keptSession, type Target } from "./abuse-target.ts";
import { headerOf } from "./abuse-wire.ts";

/** Making a session that is there gives the one that is there. */
const body = `{"sessionId":"${keptSession}"}`;
const socket = handshakeShape(`?sessionId=${keptSession}`);

const requests: readonly (readonly [name: string, status: number, shape: RequestShape])[] = [
  ["GET", 200, { line: "GET /v3/sessions HTTP/1.1", body: "" }],
  ["POST", 201, { body }],
  [
    "POST in chunks",
    201,
    {
      headers: ["Transfer-Encoding: chunked"],
      body: `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    },
  ],
  ["a body just below the limit", 201, { body: body.padEnd(10 * 1024 * 1024 - 1) }],
  ["a depth that somebody may mean", 201, { body: `${body.slice(0, -1)},"x":${nested(200)}}` }],
  ["Host localhost", 201, { body, host: "localhost:PORT" }],
  ["Host [::1]", 201, { body, host: "[::1]:PORT" }],
  ["the own Origin", 201, { body, headers: ["Origin: http://127.0.0.1:PORT"] }],
  ["the own Origin by name", 201, { body, headers: ["Origin: http://localhost:PORT"] }],
  [
    "OPTIONS from the own Origin",
    204,
    {
      line: "OPTIONS /v3/sessions HTTP/1.1",
      headers: ["Origin: http://127.0.0.1:PORT"],
      authorization: null,
      body: "",
    },
  ],
  ["a WebSocket", 101, socket],
  [
    "a WebSocket from the own Origin",
    101,
    { ...socket, headers: [...(socket.headers ?? []), "Origin: http://127.0.0.1:PORT"] },
  ],
  ["headers of 8 KB", 201, { body, headers: [`X-A: ${"a".repeat(8_000)}`] }],
];

export const controls: readonly Attack[] = [
  ...requests.map(([name, status, shape]) => ({
    name,
    run: (target: Target) => served(target, status, shape),
  })),
  {
    name: "a frame",
    async run(target) {
      using open = await openSocket(target);
      await open.wire.send(frameBytes({ payload: '{"type":"ping"}' }));
      await open.wire.until(() => open.replies().length > 0, 15_000);
      const events = open.replies().map(({ event }) => event);
      const problems = events.join() === "heartbeat" ? [] : [`it was answered with ${events}`];
      return { seen: events.join(), problems };
    },
  },
];

async function served(target: Target, status: number, shape: RequestShape): Promise<Finding> {
  const withPort = (text: string) => text.replaceAll("PORT", String(target.port));
  const { host, headers } = shape;
  const bytes = requestBytes(target, {
    ...shape,
    ...(typeof host === "string" ? { host: withPort(host) } : {}),
    ...(headers === undefined ? {} : { headers: headers.map(withPort) }),
  });
  const reply = await exchange(target, [bytes]);
  const finding = judge(reply, [status]);
  const isFromPage = headers?.some((header) => header.startsWith("Origin:")) === true;
  const isReadable = reply.answers.every(
    ({ head }) => headerOf(head, "access-control-allow-origin") !== undefined,
  );
  const isHidden = isFromPage && status !== 101 && !isReadable;
  return isHidden
    ? { ...finding, problems: [...finding.problems, "the page may not read it"] }
    : finding;
}

function nested(depth: number): string {
  return `${"[".repeat(depth)}${"]".repeat(depth)}`;
}
