// Attacks within a request body: too large, cut short, too deep, no JSON, no UTF-8, keys that reach for prototypes.
// Requests carry the right token; what a body asks for would be carried out, if it were taken.
import { type Attack, refusedBytes, refusedRequest, requestBytes } from "./abuse-attack.ts";
import { keptSession, type Target } from "./abuse-target.ts";

const mebibyte = 1024 * 1024;
const limit = 10 * mebibyte;
const turn = '"clientId":"c","writerId":"w","content":"x"';
const decision = '"decision":"allow","decidedBy":"m"';
const turns = `POST /v3/sessions/${keptSession}/turns HTTP/1.1`;
const permission = `POST /v3/sessions/${keptSession}/permissions/perm_1 HTTP/1.1`;

const tooLarge: readonly Attack[] = [
  refusedRequest("10 MiB and a byte", { body: "x".repeat(limit + 1) }, [413]),
  refusedRequest("10 MiB and a byte, no token", {
    body: "x".repeat(limit + 1),
    authorization: null,
  }),
  refusedRequest("a terabyte that never comes", { headers: ["Content-Length: 1099511627776"] }),
  refusedBytes("12 MiB in chunks", (target) => chunks(target, 12, mebibyte), [413, "closed"]),
  refusedBytes("12 MiB in chunks to a route that is none", (target) =>
    chunks(target, 12, mebibyte, "POST /v3/none HTTP/1.1"),
  ),
  refusedBytes("11 MiB in chunks of 64 bytes", (target) => chunks(target, 180_000, 64), [
    413,
    "closed",
  ]),
  refusedBytes(
    "a body cut short",
    (target) => requestBytes(target, { headers: ["Content-Length: 1000"] }),
    undefined,
    { count: 0 },
  ),
];

const deepArray = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
const deepObject = `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`;

const tooDeep: readonly (readonly [name: string, line: string, body: string])[] = [
  ["an array 100,000 deep", "POST /v3/sessions HTTP/1.1", deepArray],
  ["an object 100,000 deep", turns, deepObject],
  ["a depth of 100,000 in a turn", turns, `{${turn},"metadata":${deepArray}}`],
  ["a depth of 100,000 in overrides", turns, `{${turn},"overrides":${deepObject}}`],
  ["a depth of 100,000 in an answer", permission, `{${decision},"answer":${deepArray}}`],
  [
    "a depth of 100,000 in a message",
    "POST /v3/sessions HTTP/1.1",
    `{"sessionId":"pwned","messages":[{"role":"user","content":"x","x":${deepArray}}]}`,
  ],
  [
    "a depth of 10,000 in a message",
    "POST /v3/sessions HTTP/1.1",
    `{"sessionId":"pwned","messages":[{"role":"user","content":"x","x":${"[".repeat(10_000)}${"]".repeat(10_000)}}]}`,
  ],
  [
    "a depth of 100,000 in a tool's arguments",
    "POST /v3/permissions/explain HTTP/1.1",
    `{"workspace":"/","tool":"run_command","args":{"command":"ls","x":${deepArray}}}`,
  ],
  [
    "a depth of 100,000 in a setting",
    "POST /v3/operations/config.set HTTP/1.1",
    `{"input":{"key":"permissions.rules","value":${deepArray}}}`,
  ],
  [
    "a depth of 10,000 in a setting",
    "POST /v3/operations/config.set HTTP/1.1",
    `{"input":{"key":"permissions.rules","value":${"[".repeat(10_000)}${"]".repeat(10_000)}}}`,
  ],
  ["brackets without an end", "POST /v3/sessions HTTP/1.1", "[".repeat(limit)],
  ["a number of 1 MB", "POST /v3/sessions HTTP/1.1", `{"sessionId":${"9".repeat(mebibyte)}}`],
];

const noJson: readonly (readonly [name: string, body: string | Uint8Array])[] = [
  ["bytes that are no UTF-8", Uint8Array.of(0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d)],
  ["an overlong slash", Uint8Array.of(0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xc0, 0xaf, 0x22, 0x7d)],
  [
    "a surrogate in UTF-8",
    Uint8Array.of(0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x7d),
  ],
  ["UTF-16", Buffer.from('{"sessionId":"pwned"}', "utf16le")],
  ["gzip", Bun.gzipSync(Buffer.from('{"sessionId":"pwned"}'))],
  ["a bare NUL in a string", '{"sessionId":"a\0b"}'],
  ["a trailing comma", '{"sessionId":"pwned",}'],
  ["single quotes", "{'sessionId':'pwned'}"],
  ["a comment", '{"sessionId":"pwned"/**/}'],
  ["NaN", '{"sessionId":NaN}'],
  ["two documents", '{"sessionId":"pwned"} {"sessionId":"pwned"}'],
  ["an array", '[{"sessionId":"pwned"}]'],
  ["a string", '"pwned"'],
  ["null", "null"],
  ["a form", "sessionId=pwned"],
  ["multipart", '--b\r\nContent-Disposition: form-data; name="sessionId"\r\n\r\npwned\r\n--b--'],
];

const wrongValues: readonly (readonly [name: string, line: string, body: string])[] = [
  ["a lone surrogate as id", "POST /v3/sessions HTTP/1.1", '{"sessionId":"\\ud800"}'],
  ["an escaped NUL in an id", "POST /v3/sessions HTTP/1.1", '{"sessionId":"a\\u0000b"}'],
  ["an id twice", "POST /v3/sessions HTTP/1.1", '{"sessionId":"pwned","sessionId":"../victim"}'],
  ["an object as id", "POST /v3/sessions HTTP/1.1", '{"sessionId":{"toString":"x"}}'],
  ["an array as id", "POST /v3/sessions HTTP/1.1", '{"sessionId":["pwned"]}'],
  ["NUL as workspace", "POST /v3/sessions HTTP/1.1", '{"metadata":{"workspace":"\\u0000"}}'],
  ["a relative workspace", "POST /v3/sessions HTTP/1.1", '{"metadata":{"workspace":"../.."}}'],
  ["a file as workspace", "POST /v3/sessions HTTP/1.1", '{"metadata":{"workspace":"/etc/passwd"}}'],
  ["another session's turn", turns, `{"__proto__":{${turn}}}`],
  ["a turn from a constructor", turns, `{"constructor":{"prototype":{${turn}}}}`],
  ["a mode that is a method's name", turns, `{${turn},"mode":"constructor"}`],
  ["a permission from a prototype", permission, `{"__proto__":{${decision}}}`],
  ["a decision that is an object", permission, `{"decision":{"toString":"allow"},"decidedBy":"m"}`],
  ["a permission nobody asked for", permission, `{${decision}}`],
  ["a cwd with NUL", "POST /v3/background/start HTTP/1.1", background('"cwd":"\\u0000"')],
  ["a negative timeout", "POST /v3/background/start HTTP/1.1", background('"timeoutMs":-1')],
  ...operationInputs(),
];

export const bodyAttacks: readonly Attack[] = [
  ...tooLarge,
  ...tooDeep.map(([name, line, body]) => refusedRequest(name, { line, body }, [400, 404, 413])),
  ...noJson.map(([name, body]) => refusedRequest(`for JSON: ${name}`, { body }, [400])),
  ...wrongValues.map(([name, line, body]) =>
    refusedRequest(name, { line, body }, [400, 403, 404, 409]),
  ),
  refusedRequest("prototypes are what they were", { line: turns, body: "{}" }, [400]),
];

function background(rest: string): string {
  return `{"sessionId":"${keptSession}","command":"true",${rest}}`;
}

/** What reaches for prototypes, files and other sessions by way of a named operation. */
function operationInputs(): readonly (readonly [string, string, string])[] {
  const inputs: readonly (readonly [operation: string, input: string])[] = [
    ["config.set", '{"key":"__proto__","value":{"polluted":true}}'],
    ["config.set", '{"key":"__proto__.polluted","value":true}'],
    ["config.set", '{"key":"constructor.prototype.polluted","value":true}'],
    ["config.set", '{"key":"permissions.__proto__.polluted","value":true}'],
    ["config.set", '{"key":"","value":true}'],
    ["config.get", '{"key":"__proto__"}'],
    ["config.get", '{"key":"constructor"}'],
    ["config.get", '{"key":"permissions.constructor.name"}'],
    ["sessions.delete", `{"__proto__":{"sessionId":"${keptSession}"}}`],
    ["sessions.delete", `{"constructor":{"sessionId":"${keptSession}"}}`],
    ["sessions.delete", `{"input":{"__proto__":{"id":"${keptSession}"}}}`],
    ["sessions.export", `{"id":"${keptSession}","outputPath":"../victim.md"}`],
    ["sessions.export", `{"id":"${keptSession}","outputPath":"/proc/self/mem"}`],
    ["sessions.export", `{"id":"${keptSession}","format":"../victim"}`],
    ["mcp.add", '{"name":"__proto__","command":"true"}'],
    ["mcp.add", '{"name":"","command":"true"}'],
    ["mcp.remove", '{"name":"__proto__"}'],
    ["mcp.remove", '{"name":"constructor"}'],
    ["models.aliases.set", '{"alias":"__proto__","target":"x"}'],
    ["models.aliases.delete", '{"alias":"__proto__"}'],
  ];
  return inputs.map(([operation, input]) => [
    `${operation} ${input}`,
    `POST /v3/operations/${operation} HTTP/1.1`,
    input,
  ]);
}

function chunks(
  target: Target,
  count: number,
  size: number,
  line = "POST /v3/sessions HTTP/1.1",
): readonly (string | Uint8Array)[] {
  const chunk = `${size.toString(16)}\r\n${"x".repeat(size)}\r\n`;
  const perPiece = Math.max(1, Math.floor(mebibyte / size));
  const head = requestBytes(target, { line, headers: ["Transfer-Encoding: chunked"], body: "" });
  const pieces = Array.from({ length: Math.ceil(count / perPiece) }, () => chunk.repeat(perPiece));
  return [head, ...pieces, "0\r\n\r\n"];
}
