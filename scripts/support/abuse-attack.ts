// What an attack is: a name and a deed that says what it saw and what should not have been. Here are the deeds that
// most of them share: some bytes, sent as they are, and the answers that count as a refusal.
import type { Target } from "./abuse-target.ts";
import { type Answer, openWire, parseAnswers } from "./abuse-wire.ts";

export interface Attack {
  readonly name: string;
  /** Lasts long because it waits: done beside the others. */
  readonly isSlow?: true;
  /** The daemon may delay its answer: done together with its neighbours. */
  readonly isDelayed?: true;
  /** The session is told of it, by contract: that it is another one afterwards is not held against it. */
  readonly isTold?: true;
  run(target: Target): Promise<Finding>;
}

export interface Finding {
  /** For people: statuses, "closed" for an end without an answer. */
  readonly seen: string;
  /** What should not have been. */
  readonly problems: readonly string[];
}

/** A status, or the end of the connection without an answer. */
export type Refusal = number | "closed";

/** Whatever says no. Most attacks name the very status that they expect. */
export const anyRefusal: readonly Refusal[] = [
  ...Array.from({ length: 100 }, (_, index) => 400 + index),
  501,
  505,
  "closed",
];

export interface RequestShape {
  /** Default: the making of a session. */
  readonly line?: string;
  /** Default: the right one; null: none. */
  readonly host?: string | null;
  /** Default: with the token; null: none. */
  readonly authorization?: string | null;
  /** Whole header lines. */
  readonly headers?: readonly string[];
  /** Default: the session `pwned`. */
  readonly body?: string | Uint8Array;
  /** Whether Content-Length is told; default: unless `headers` say how long the body is. */
  readonly isLengthTold?: boolean;
}

export const pwnedBody = '{"sessionId":"pwned"}';

/** A request that would be carried out, but for what the shape changes. */
export function requestBytes(target: Target, shape: RequestShape = {}): Buffer {
  const { line = "POST /v3/sessions HTTP/1.1", headers = [], body = pwnedBody } = shape;
  const { host = `127.0.0.1:${target.port}`, authorization = `Bearer ${target.token}` } = shape;
  const saysLength = headers.some((header) => /^(content-length|transfer-encoding)/i.test(header));
  const { isLengthTold = !saysLength } = shape;
  const content = Buffer.from(body as string);
  const lines = [
    line,
    ...(host === null ? [] : [`Host: ${host}`]),
    ...(authorization === null ? [] : [`Authorization: ${authorization}`]),
    ...headers,
    ...(isLengthTold ? [`Content-Length: ${content.length}`] : []),
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), content]);
}

export interface Reply {
  readonly answers: readonly Answer[];
  /** `server`: it ended the connection by itself; `client`: once we had ended our side; `never`: not even then. */
  readonly ended: "server" | "client" | "never";
}

/** Longer than any answer takes, a delayed refusal included, on a machine that does other things, too. */
const answerLimitMs = 15_000;
/** For an answer that should not come to come after the one that should. */
const afterMs = 15;

/** Sends the pieces, waits for `count` answers or the end, then ends its side. */
export async function exchange(
  target: Target,
  pieces: readonly (string | Uint8Array)[],
  { count = 1 }: { readonly count?: number } = {},
): Promise<Reply> {
  using wire = await openWire(target.port);
  for (const piece of pieces) await wire.send(piece);
  const answers = () => parseAnswers(wire.received()).answers;
  if (count > 0) {
    await wire.until(() => wire.isClosed() || answers().length >= count, answerLimitMs);
  }
  await wire.until(wire.isClosed, afterMs);
  const byServer = wire.isClosed();
  wire.end();
  const hasEnded = await wire.until(wire.isClosed, answerLimitMs);
  return { answers: answers(), ended: byServer ? "server" : hasEnded ? "client" : "never" };
}

export function judge(reply: Reply, expected: readonly Refusal[]): Finding {
  const statuses = reply.answers.map(({ status }) => status);
  const seen = statuses.length > 0 ? statuses.join(" ") : "closed";
  const problems = statuses
    .filter((status) => !expected.includes(status))
    .map((status) => `answered ${status}: ${excerpt(reply.answers, status)}`);
  if (statuses.length === 0 && !expected.includes("closed")) problems.push("no answer");
  if (reply.ended === "never") problems.push("the connection stays, although its client ended it");
  return { seen, problems };
}

function excerpt(answers: readonly Answer[], status: number): string {
  const body = answers.find((answer) => answer.status === status)?.body.toString() ?? "";
  return JSON.stringify(body.slice(0, 120));
}

/** One request that is refused. */
export function refusedRequest(
  name: string,
  shape: RequestShape | ((target: Target) => RequestShape),
  expected: readonly Refusal[] = anyRefusal,
): Attack {
  return refusedBytes(
    name,
    (target) => requestBytes(target, typeof shape === "function" ? shape(target) : shape),
    expected,
  );
}

/** Bytes that are refused. `count`: answers to wait for; 0 for what no server can take for a whole request. */
export function refusedBytes(
  name: string,
  bytes: (target: Target) => string | Uint8Array | readonly (string | Uint8Array)[],
  expected: readonly Refusal[] = anyRefusal,
  options: { readonly count?: number } = {},
): Attack {
  return {
    name,
    async run(target) {
      const made = bytes(target);
      const pieces = typeof made === "string" || made instanceof Uint8Array ? [made] : made;
      return judge(await exchange(target, pieces, options), expected);
    },
  };
}

/** Several findings as one: every sight once, and all problems. */
export function together(findings: readonly Finding[]): Finding {
  return {
    seen: [...new Set(findings.map(({ seen }) => seen))].join(" "),
    problems: findings.flatMap(({ problems }) => problems),
  };
}
