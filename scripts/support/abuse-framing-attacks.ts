// Attacks on where a request begins and ends: lengths said twice or wrongly (request smuggling), header lines that no
// grammar has, too much of everything, and what is no HTTP/1.1 at all. Requests carry the right token.
import {
  type Attack,
  pwnedBody,
  type Refusal,
  refusedBytes,
  refusedRequest,
  requestBytes,
} from "./abuse-attack.ts";
import type { Target } from "./abuse-target.ts";

const length = `Content-Length: ${pwnedBody.length}`;
const chunkedBody = `${pwnedBody.length.toString(16)}\r\n${pwnedBody}\r\n0\r\n\r\n`;

/** The lines that say how long the body is; the body is sent in chunks, or as it is. */
const lengths: readonly (readonly [name: string, body: "chunks" | "plain", ...lines: string[]])[] =
  [
    ["length and chunks", "chunks", length, "Transfer-Encoding: chunked"],
    ["chunks and length", "chunks", "Transfer-Encoding: chunked", length],
    ["length and chunks, plain body", "plain", length, "Transfer-Encoding: chunked"],
    ["two lengths, the same", "plain", length, length],
    ["two lengths", "plain", length, "Content-Length: 5"],
    ["two lengths, the first 0", "plain", "Content-Length: 0", length],
    ...[
      "+21",
      "-21",
      "-1",
      "0x15",
      "21,21",
      "21, 5",
      "2 1",
      "21.0",
      "2.1e1",
      "21;",
      "21a",
      "",
      "٢١",
      "99999999999999999999",
      "18446744073709551637",
      "9223372036854775807",
      "4294967317",
    ].map((value) => [`length "${value}"`, "plain", `Content-Length: ${value}`] as const),
    ["length, space before the colon", "plain", `Content-Length : ${pwnedBody.length}`],
    ...[
      "xchunked",
      "chunked, identity",
      "identity, chunked",
      "gzip, chunked",
      "chunked, chunked",
      "identity",
      '"chunked"',
      "chunked;q=1",
      "\vchunked",
      "chunked\0",
      "cow",
      "",
    ].flatMap((value) => {
      const line = `Transfer-Encoding: ${value}`;
      const name = `encoding ${JSON.stringify(value)}`;
      return [
        [name, "chunks", line] as const,
        [`${name} and a length`, "plain", line, length] as const,
      ];
    }),
    ["encoding, space before the colon", "chunks", "Transfer-Encoding : chunked"],
    ["encoding and length, space before the colon", "plain", "Transfer-Encoding : chunked", length],
    ["two encodings", "chunks", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
    ["encoding on a folded line", "chunks", "Transfer-Encoding:\r\n chunked"],
    ["encoding on a line of its own LF", "chunks", "X-A: b\nTransfer-Encoding: chunked"],
  ];

/** Where the first chunk's size stands. */
const chunkSizes = [
  "FFFFFFFFFFFFFFFFF",
  "7fffffffffffffff",
  "10000000000000015",
  "-15",
  "+15",
  "0x15",
  " 15",
  "15 ",
  "1_5",
  "zz",
  "",
  `15;${"a".repeat(100_000)}`,
];

/** Lines that no header has. */
const headerLines: readonly (readonly [string, string])[] = [
  ["a folded header", "X-A: a\r\n b"],
  ["a folded first line", " X-A: a"],
  ["a bare LF between headers", "X-A: a\nX-B: b"],
  ["a bare CR between headers", "X-A: a\rX-B: b"],
  ["NUL in a value", "X-A: a\0b"],
  ["NUL in a name", "X\0A: a"],
  ["control characters in a value", "X-A: a\x01\x7f"],
  ["a space in a name", "X A: a"],
  ["a header without a colon", "X-A"],
  ["a header without a name", ": a"],
  ["letters beyond ASCII in a name", "X-ä: a"],
  ["a header of 20 KB", `X-A: ${"a".repeat(20_000)}`],
  ["a header of 1 MB", `X-A: ${"a".repeat(1_000_000)}`],
  ["a name of 20 KB", `${"X".repeat(20_000)}: a`],
  ["5,000 headers", Array.from({ length: 5_000 }, (_, index) => `X-${index}: a`).join("\r\n")],
  ["5,000 headers of one name", Array<string>(5_000).fill("X-A: a").join("\r\n")],
];

const versions = ["0.9", "1.2", "2.0", "9.9", "1.1x", "01.1", "1.", "-1.1"];

/** The beginning of a TLS 1.2 handshake, as a browser sends it to https://127.0.0.1:PORT. */
const clientHello = Buffer.from(
  `16030100c4010000c00303${"5a".repeat(32)}20${"a5".repeat(32)}0006130113021303010000`,
  "hex",
);

const foreignProtocols: readonly (readonly [string, string | Uint8Array])[] = [
  ["HTTP/0.9", "GET /v3/health\r\n"],
  ["HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"],
  ["TLS ClientHello", clientHello],
  ["SSH banner", "SSH-2.0-OpenSSH_9.2p1\r\n"],
  ["SOCKS5 greeting", Uint8Array.of(5, 1, 0)],
  ["SMTP", "EHLO evil.example\r\nMAIL FROM:<a@evil.example>\r\n"],
  ["Redis", "*1\r\n$8\r\nFLUSHALL\r\n"],
  ["1 MB of NUL", new Uint8Array(1_000_000)],
  ["1 MB of CRLF", "\r\n".repeat(500_000)],
  ["only a line end", "\r\n"],
  ["a line that never ends", "G".repeat(1_000_000)],
  ["a path that never ends", `GET /${"a".repeat(1_000_000)}`],
];

/** @param random integers below a limit, from a seed */
export function framingAttacks(random: (limit: number) => number): readonly Attack[] {
  return [
    ...lengths.map(([name, body, ...headers]) =>
      refusedRequest(name, { headers, body: body === "chunks" ? chunkedBody : pwnedBody }),
    ),
    ...smuggled([length, "Transfer-Encoding: chunked"]),
    ...smuggled(["Content-Length: 0", length]),
    ...chunkSizes.map((size) =>
      refusedRequest(`chunk size ${JSON.stringify(size.slice(0, 20))}`, {
        headers: ["Transfer-Encoding: chunked"],
        body: `${size}\r\n${pwnedBody}\r\n0\r\n\r\n`,
      }),
    ),
    refusedRequest("chunks ended by LF", {
      headers: ["Transfer-Encoding: chunked"],
      body: chunkedBody.replaceAll("\r\n", "\n"),
    }),
    refusedRequest("a chunk longer than its size", {
      headers: ["Transfer-Encoding: chunked"],
      body: `5\r\n${pwnedBody}\r\n0\r\n\r\n`,
    }),
    refusedBytes(
      "a chunk that never ends",
      (target) =>
        requestBytes(target, {
          headers: ["Transfer-Encoding: chunked"],
          body: `ffffffff\r\n${pwnedBody}`,
        }),
      undefined,
      { count: 0 },
    ),
    ...headerLines.map(([name, line]) => refusedRequest(name, { headers: [line] })),
    refusedBytes("LF for every CRLF", (target) =>
      requestBytes(target).toString().replaceAll("\r\n", "\n"),
    ),
    refusedRequest("a URL of 100 KB", {
      line: `POST /v3/sessions?x=${"a".repeat(100_000)} HTTP/1.1`,
    }),
    ...versions.map((version) =>
      refusedRequest(`HTTP/${version}`, { line: `POST /v3/sessions HTTP/${version}` }),
    ),
    refusedRequest("no version", { line: "POST /v3/sessions" }),
    ...foreignProtocols.map(([name, bytes]) =>
      refusedBytes(name, () => bytes, undefined, { count: 0 }),
    ),
    ...Array.from({ length: 5 }, (_, index) =>
      refusedBytes(`garbage ${index + 1}`, () => garbage(random), undefined, { count: 0 }),
    ),
    ...pipelined(),
  ];
}

/** A good request whose body, read otherwise, is a second one: neither may be carried out. */
function smuggled(headers: readonly string[]): readonly Attack[] {
  const bytes = (target: Target) =>
    requestBytes(target, {
      line: "GET /v3/metrics HTTP/1.1",
      headers,
      body: `0\r\n\r\n${requestBytes(target).toString()}`,
    });
  return [refusedBytes(`a request within a request: ${headers.join(", ")}`, bytes)];
}

/** A good first request is answered; the bad one after it must not hide behind it. */
function pipelined(): readonly Attack[] {
  const seconds: readonly (readonly [
    string,
    readonly Refusal[],
    Parameters<typeof requestBytes>[1],
  ])[] = [
    ["foreign Host", [200, 403], { host: "evil.example" }],
    ["foreign Origin", [200, 403], { headers: ["Origin: null"] }],
    ["wrong token", [200, 401], { authorization: "Bearer wrong" }],
    ["two lengths", [200, 400], { headers: [length, "Content-Length: 5"] }],
    ["NUL", [200, 400], { headers: ["X-A: \0"] }],
  ];
  return seconds.map(([name, expected, shape]) => ({
    name: `a second request with ${name} behind a good one`,
    run: refusedBytes(
      name,
      (target) => [
        Buffer.concat([
          requestBytes(target, { line: "GET /v3/health HTTP/1.1", body: "" }),
          requestBytes(target, shape),
        ]),
      ],
      expected,
      { count: 2 },
    ).run,
  }));
}

function garbage(random: (limit: number) => number): Uint8Array {
  return Uint8Array.from({ length: 1 + random(5_000) }, () => random(256));
}
