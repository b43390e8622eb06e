// Attacks of web pages: the daemon called by a name that is not its own (DNS rebinding), by a request target that names
// another server, or from an origin that nobody allowed (promises S3, S4). All carry the right token.
import {
  type Attack,
  exchange,
  judge,
  refusedRequest,
  type RequestShape,
  requestBytes,
  together,
} from "./abuse-attack.ts";
import type { Target } from "./abuse-target.ts";
import { headerOf } from "./abuse-wire.ts";

/** Names that lead to the daemon, or look as if they did; PORT is its port. */
const foreignHosts = [
  "LOCALHOST:PORT",
  "Localhost:PORT",
  "localhost.:PORT",
  "127.0.0.1.:PORT",
  "localhost",
  "127.0.0.1",
  "127.0.0.1:80",
  "127.0.0.1:0PORT",
  "127.0.0.1:PORT:PORT",
  "127.0.0.1: PORT",
  "127.0.0.1:+PORT",
  "user@127.0.0.1:PORT",
  "user:secret@localhost:PORT",
  "127.0.0.1:PORT@evil.example",
  "[::1]",
  "::1:PORT",
  "[0:0:0:0:0:0:0:1]:PORT",
  "[::ffff:127.0.0.1]:PORT",
  "[::1%25lo]:PORT",
  "0.0.0.0:PORT",
  "127.1:PORT",
  "2130706433:PORT",
  "0x7f.0.0.1:PORT",
  "0177.0.0.1:PORT",
  "evil.example",
  "evil.example:PORT",
  "localhost.evil.example:PORT",
  "127.0.0.1.evil.example:PORT",
  "127.0.0.1:PORT.evil.example",
  "127.0.0.1:PORT, evil.example",
  "evil.example, 127.0.0.1:PORT",
  "127.0.0.1:PORT/v3",
  "127.0.0.1:PORT?",
  "127.0.0.1:PORT#",
  "127.0.0.1:PORT\\@evil.example",
  "127.0.0.1:PORT%00",
  "http://127.0.0.1:PORT",
  "ⓛocalhost:PORT",
  "",
];

const foreignOrigins = [
  "null",
  "",
  "http://localhost.evil",
  "http://127.0.0.1@evil",
  "http://127.0.0.1:PORT@evil.example",
  "http://localhost.evil.example:PORT",
  "http://127.0.0.1:PORT.evil.example",
  "http://localhost:3000",
  "http://localhost",
  "http://127.0.0.1:80",
  "https://127.0.0.1:PORT",
  "https://localhost:PORT",
  "HTTP://127.0.0.1:PORT",
  "http://LOCALHOST:PORT",
  "http://localhost.:PORT",
  "http://127.0.0.1:PORT/",
  "http://127.0.0.1:PORT/x",
  "http://user@127.0.0.1:PORT",
  "http://0.0.0.0:PORT",
  "http://[::1]:3000",
  "http://127.0.0.1:PORT, http://evil.example",
  "http://127.0.0.1:PORT http://evil.example",
  "//127.0.0.1:PORT",
  "127.0.0.1:PORT",
  "file://",
  "chrome-extension://abcdefghijklmnop",
  "vscode-webview://abc",
  "tauri://localhost",
];

/** Absolute request targets, and the Host that comes with them: the Host alone counts, as Bun drops the rest. */
const absoluteTargets = [
  ["http://evil.example/v3/sessions", "evil.example"],
  ["http://evil.example:PORT/v3/sessions", "evil.example:PORT"],
  ["http://LOCALHOST:PORT/v3/sessions", "LOCALHOST:PORT"],
  ["http://127.0.0.1:PORT/v3/sessions", "evil.example"],
  ["https://127.0.0.1:PORT/v3/sessions", "evil.example"],
  ["http://127.0.0.1:PORT@evil.example/v3/sessions", "evil.example"],
] as const;

/** Request targets that are no path of a route. */
const foreignTargets = [
  "http:/v3/sessions",
  "file:///v3/sessions",
  "//evil.example/v3/sessions",
  "v3/sessions",
  "*",
  "\\v3\\sessions",
  "/v3/sessions evil",
  "/v3/sessions%00",
  "/v3/sessions%20",
  "/v3//sessions",
  "/v3/sessions/",
  "/V3/SESSIONS",
  "/v3;x=y/sessions",
  "/%76%33/sessions",
];

const wrongMethods = [
  "PUT",
  "PATCH",
  "DELETE",
  "TRACE",
  "TRACK",
  "PROPFIND",
  "post",
  "POSTS",
  "P\x00ST",
  "POST\t",
  "M".repeat(1_000),
];

/** A request of every kind that a page can cause. */
const kinds: readonly (readonly [string, RequestShape])[] = [
  ["GET", { line: "GET /v3/sessions HTTP/1.1", body: "" }],
  ["POST", {}],
  ["OPTIONS", { line: "OPTIONS /v3/sessions HTTP/1.1", body: "" }],
  [
    "WebSocket",
    {
      line: "GET /v3/ws?sessionId=keeper HTTP/1.1",
      headers: [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      ],
      body: "",
      isLengthTold: false,
    },
  ],
];

export const originAttacks: readonly Attack[] = [
  ...foreignHosts.map((host) => ofEveryKind(`Host "${host}"`, { host })),
  refusedRequest("no Host", { host: null }, [400]),
  refusedRequest("no Host in HTTP/1.0", { host: null, line: "POST /v3/sessions HTTP/1.0" }, [403]),
  ofEveryKind("two Hosts, the same", { headers: ["Host: 127.0.0.1:PORT"] }),
  ofEveryKind("two Hosts, the second foreign", { headers: ["Host: evil.example"] }),
  ofEveryKind("two Hosts, the first foreign", {
    host: "evil.example",
    headers: ["Host: 127.0.0.1:PORT"],
  }),
  ofEveryKind("a foreign Host, the right X-Forwarded-Host", {
    host: "evil.example",
    headers: ["X-Forwarded-Host: 127.0.0.1:PORT", "Forwarded: host=127.0.0.1:PORT"],
  }),
  ofEveryKind("a foreign Host, the own Origin", {
    host: "evil.example",
    headers: ["Origin: http://127.0.0.1:PORT"],
  }),
  ...foreignOrigins.map((origin) =>
    ofEveryKind(`Origin "${origin}"`, { headers: [`Origin: ${origin}`] }),
  ),
  ofEveryKind("two Origins, the second foreign", {
    headers: ["Origin: http://127.0.0.1:PORT", "Origin: http://evil.example"],
  }),
  ofEveryKind("two Origins, the first foreign", {
    headers: ["Origin: http://evil.example", "Origin: http://127.0.0.1:PORT"],
  }),
  ...absoluteTargets.map(([path, host]) =>
    refusedRequest(
      `target ${path}, Host ${host}`,
      (target) => ({
        line: withPort(target, `POST ${path} HTTP/1.1`),
        host: withPort(target, host),
      }),
      [403],
    ),
  ),
  ...foreignTargets.map((path) =>
    refusedRequest(`target ${path}`, (target) => ({
      line: withPort(target, `POST ${path} HTTP/1.1`),
    })),
  ),
  ...["evil.example:443", "127.0.0.1:PORT", "/v3/sessions"].map((path) =>
    refusedRequest(`CONNECT ${path}`, (target) => ({
      line: withPort(target, `CONNECT ${path} HTTP/1.1`),
    })),
  ),
  ...wrongMethods.map((method) =>
    refusedRequest(`method ${JSON.stringify(method.slice(0, 12))}`, {
      line: `${method} /v3/sessions HTTP/1.1`,
    }),
  ),
];

/** The same foreign headers on each kind of request: 403 without a word to the page; what is no HTTP at all is a 400. */
function ofEveryKind(name: string, change: Pick<RequestShape, "host" | "headers">): Attack {
  const changed = (target: Target, shape: RequestShape): RequestShape => ({
    ...shape,
    ...(change.host === undefined ? {} : { host: withPort(target, change.host ?? "") }),
    headers: [...(change.headers ?? []), ...(shape.headers ?? [])].map((header) =>
      withPort(target, header),
    ),
  });
  return {
    name,
    async run(target) {
      const findings = await Promise.all(
        kinds.map(async ([kind, shape]) => {
          const reply = await exchange(target, [requestBytes(target, changed(target, shape))]);
          const { seen, problems } = judge(reply, [403, 400]);
          const isReadable = reply.answers.some(
            ({ head }) => headerOf(head, "access-control-allow-origin") !== undefined,
          );
          const all = isReadable ? [...problems, "the page may read it"] : problems;
          return { seen, problems: all.map((problem) => `${kind}: ${problem}`) };
        }),
      );
      return together(findings);
    },
  };
}

function withPort({ port }: Target, text: string): string {
  return text.replaceAll("PORT", String(port));
}
