// Attacks on the token: none, a wrong one, the right one in the wrong place; tickets that were made up, used or are too
// old; and a flood of failures, which may slow down nobody but itself (promises S1, S5, S6).
import {
  type Attack,
  exchange,
  type Finding,
  judge,
  type RequestShape,
  requestBytes,
} from "./abuse-attack.ts";
import { handshakeShape } from "./abuse-socket.ts";
import { keptSession, type Target } from "./abuse-target.ts";
import { type Answer, openWire, parseAnswers } from "./abuse-wire.ts";

type Cause = readonly [name: string, shape: (target: Target) => RequestShape];

const ownOrigin = ({ port }: Target) => `Origin: http://127.0.0.1:${port}`;
const session = `?sessionId=${keptSession}`;

const causes: readonly Cause[] = [
  ["no token", () => ({ authorization: null })],
  ["an empty Authorization", () => ({ authorization: "" })],
  ["an empty bearer", () => ({ authorization: "Bearer " })],
  ["a wrong token", () => ({ authorization: `Bearer ${"0".repeat(64)}` })],
  ["a token without its end", ({ token }) => ({ authorization: `Bearer ${token.slice(0, -1)}` })],
  ["a token and more", ({ token }) => ({ authorization: `Bearer ${token}0` })],
  ["a token in capitals", ({ token }) => ({ authorization: `Bearer ${token.toUpperCase()}` })],
  ["a token in quotes", ({ token }) => ({ authorization: `Bearer "${token}"` })],
  ["a token of 8 KB", () => ({ authorization: `Bearer ${"a".repeat(8_000)}` })],
  ["a token without a scheme", ({ token }) => ({ authorization: token })],
  ["Basic with the token", ({ token }) => ({ authorization: `Basic ${btoa(`opta:${token}`)}` })],
  ["Token with the token", ({ token }) => ({ authorization: `Token ${token}` })],
  [
    "two tokens, the second right",
    ({ token }) => ({
      authorization: "Bearer wrong",
      headers: [`Authorization: Bearer ${token}`],
    }),
  ],
  [
    "the token in a cookie",
    ({ token }) => ({ authorization: null, headers: [`Cookie: token=${token}`] }),
  ],
  [
    "the token in headers of its own",
    ({ token }) => ({
      authorization: null,
      headers: [`X-Token: ${token}`, `X-Api-Key: ${token}`, `Proxy-Authorization: Bearer ${token}`],
    }),
  ],
  [
    "the token in the URL",
    ({ token }) => ({ authorization: null, line: `POST /v3/sessions?token=${token} HTTP/1.1` }),
  ],
  [
    "the token in the URL, from an allowed page",
    (target) => ({
      authorization: null,
      headers: [ownOrigin(target)],
      line: `POST /v3/sessions?token=${target.token} HTTP/1.1`,
    }),
  ],
  [
    "a socket with the token in the URL",
    ({ token }) => ({
      ...handshakeShape(`${session}&token=${token}`),
      authorization: null,
    }),
  ],
  [
    "a socket with the token as its protocol",
    ({ token }) => ({
      ...handshakeShape(session, [`Sec-WebSocket-Protocol: ${token}`]),
      authorization: null,
    }),
  ],
  ["a socket without a token", () => ({ ...handshakeShape(session), authorization: null })],
  ["an empty ticket", () => ({ ...handshakeShape(`${session}&ticket=`), authorization: null })],
  [
    "a made-up ticket",
    () => ({ ...handshakeShape(`${session}&ticket=${"a".repeat(24)}`), authorization: null }),
  ],
  [
    "the token as ticket",
    ({ token }) => ({ ...handshakeShape(`${session}&ticket=${token}`), authorization: null }),
  ],
];

/** In this order: the last ones leave the daemon with its failures used up. */
export function accessAttacks(): readonly Attack[] {
  const refusals = new Map<string, string>();
  const note = (name: string, answers: readonly Answer[]) => {
    for (const answer of answers) if (answer.status === 401) refusals.set(name, faceOf(answer));
  };
  return [
    ...causes.map(([name, shape]): Attack => ({
      name,
      isDelayed: true,
      async run(target: Target) {
        const reply = await exchange(target, [requestBytes(target, shape(target))]);
        note(name, reply.answers.filter(isWithoutCors));
        return judge(reply, [401]);
      },
    })),
    {
      name: "a used ticket",
      isDelayed: true,
      async run(target) {
        const ticket = await fetchTicket(target);
        const use = () => useTicket(target, ticket);
        const first = await use();
        const others = await Promise.all([use(), use()]);
        for (const reply of others) note("a used ticket", reply.answers);
        return expectAll(
          [
            ...judge(first, [101]).problems,
            ...others.flatMap((reply) => judge(reply, [401]).problems),
          ],
          "101 401",
        );
      },
    },
    {
      name: "a ticket used twice at once",
      isDelayed: true,
      async run(target) {
        const ticket = await fetchTicket(target);
        const replies = await Promise.all([1, 2, 3, 4].map(() => useTicket(target, ticket)));
        const opened = replies.filter(({ answers }) => answers[0]?.status === 101).length;
        return expectAll(opened === 1 ? [] : [`${opened} sockets opened`], "101 401");
      },
    },
    {
      name: "a ticket for an HTTP route",
      isDelayed: true,
      async run(target) {
        const line = `POST /v3/sessions?ticket=${await fetchTicket(target)} HTTP/1.1`;
        const shape = { authorization: null, line };
        const reply = await exchange(target, [requestBytes(target, shape)]);
        note("a ticket for an HTTP route", reply.answers);
        return judge(reply, [401]);
      },
    },
    {
      name: "more tickets than are kept",
      async run(target) {
        const first = await fetchTicket(target);
        for (let count = 0; count < 1_000; count += 100) {
          await Promise.all(Array.from({ length: 100 }, () => fetchTicket(target)));
        }
        const last = await fetchTicket(target);
        const oldest = await useTicket(target, first);
        const newest = await useTicket(target, last);
        return expectAll(
          [...judge(oldest, [401]).problems, ...judge(newest, [101]).problems],
          "401 101",
        );
      },
    },
    {
      name: "a ticket that is too old",
      isSlow: true,
      async run(target) {
        const { ticket, expiresInMs } = await issueTicket(target);
        await Bun.sleep(expiresInMs + 500);
        const reply = await useTicket(target, ticket);
        return judge(reply, [401]);
      },
    },
    {
      name: "all refusals look alike",
      async run() {
        const faces = new Set(refusals.values());
        const problems = refusals.size < 20 ? [`only ${refusals.size} refusals were seen`] : [];
        return {
          seen: `${refusals.size} times 401`,
          problems: [...problems, ...(faces.size === 1 ? [] : [...faces])],
        };
      },
    },
    { name: "what /health says", run: readHealth },
    { name: "a flood of failures", run: floodFailures },
  ];
}

/** What is told to anybody: status, and nothing that a token would not show differently. */
async function readHealth(target: Target): Promise<Finding> {
  const line = "GET /health HTTP/1.1";
  const ask = (authorization: string | null) =>
    exchange(target, [
      requestBytes(target, { line, authorization, body: "", isLengthTold: false }),
    ]);
  const replies = [await ask(null), await ask("Bearer wrong"), await ask(`Bearer ${target.token}`)];
  const faces = replies.map(({ answers }) => answers.map(faceOf).join());
  const [body] = replies.map(({ answers }) => answers[0]?.body.toString());
  return expectAll(
    [
      ...(body === '{"status":"ok"}' ? [] : [`it says ${body}`]),
      ...(new Set(faces).size === 1 ? [] : ["it differs by token"]),
    ],
    "200",
  );
}

const floodSize = 150;
/** Few, so that a busy machine answers them long before the failures' delay is over. */
const goodRequests = 5;

/** Wrong tokens at once: some have to wait, all are refused, and who has the token is served meanwhile. */
async function floodFailures(target: Target): Promise<Finding> {
  const wrong = requestBytes(target, { authorization: "Bearer wrong" });
  const good = requestBytes(target, { line: "GET /v3/health HTTP/1.1", body: "" });
  let waiting = floodSize;
  const flood = Array.from({ length: floodSize }, async () => {
    const reply = await exchange(target, [wrong]);
    waiting -= 1;
    return judge(reply, [401]).problems;
  });
  const problems: string[] = [];
  for (let count = 0; count < goodRequests; count += 1) {
    problems.push(...judge(await exchange(target, [good]), [200]).problems);
  }
  if (waiting === 0) problems.push("no failure had to wait, or the good requests waited with them");
  problems.push(...(await Promise.all(flood)).flat());
  return expectAll(problems, "401");
}

async function issueTicket(
  target: Target,
): Promise<{ readonly ticket: string; readonly expiresInMs: number }> {
  using wire = await openWire(target.port);
  await wire.send(requestBytes(target, { line: "POST /v3/ws-ticket HTTP/1.1", body: "" }));
  const answers = () => parseAnswers(wire.received()).answers;
  await wire.until(() => wire.isClosed() || answers().length > 0, 15_000);
  return JSON.parse(answers()[0]?.body.toString() ?? "");
}

async function fetchTicket(target: Target): Promise<string> {
  return (await issueTicket(target)).ticket;
}

function useTicket(target: Target, ticket: string) {
  const shape = { ...handshakeShape(`${session}&ticket=${ticket}`), authorization: null };
  return exchange(target, [requestBytes(target, shape)]);
}

/** Everything of an answer that its reader can tell, but the time. */
function faceOf({ head, body }: Answer): string {
  return `${head.replace(/^date: .*\r?$/im, "")}\n${body.toString()}`;
}

/** A page that is allowed is told so in every answer. */
function isWithoutCors({ head }: Answer): boolean {
  return !/^access-control-/im.test(head);
}

function expectAll(problems: readonly string[], seen: string): Finding {
  return { seen, problems };
}
