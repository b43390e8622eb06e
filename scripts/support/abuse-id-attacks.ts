// Attacks on ids: every route that takes one gets ids that lead elsewhere in a file system, in a URL or in an object
// (lesson 31). Which routes there are the daemon says itself (/v3/openapi.json).
import type { ApiDescription } from "../../src/protocol/openapi.ts";
import {
  type Attack,
  exchange,
  type Finding,
  judge,
  type RequestShape,
  requestBytes,
  together,
} from "./abuse-attack.ts";
import { handshakeShape } from "./abuse-socket.ts";
import { keptSession, type Target } from "./abuse-target.ts";

/** As they stand in a path or a query. */
const badIds: readonly string[] = [
  "../victim",
  "..%2fvictim",
  "%2e%2e%2fvictim",
  "%2e%2e/victim",
  "..%5cvictim",
  "..\\victim",
  "%252e%252e%252fvictim",
  "%c0%ae%c0%ae%2fvictim",
  "..%c0%afvictim",
  "..%ef%bc%8fvictim",
  "%u002e%u002e%u2215victim",
  "..",
  "%2e%2e",
  ".",
  "%2fetc%2fpasswd",
  "%2Fproc%2Fself%2Fenviron",
  "C:%5cvictim",
  `${keptSession}%2f..%2fvictim`,
  `${keptSession}%00`,
  `${keptSession}%00.json`,
  "%00",
  `${keptSession}.json`,
  `${keptSession}%20`,
  `%20${keptSession}`,
  `${keptSession}%0a`,
  `${keptSession}%0d%0aX-Injected:%20yes`,
  `${keptSession};x`,
  "*",
  "%",
  "%zz",
  "%ff",
  "%ed%a0%80",
  "%F0%9F%98%80",
  `${keptSession.slice(0, -1)}%D1%8F`,
  "a".repeat(65),
  "a".repeat(5_000),
];

/** Well-formed ids of nothing; a table that is an object would find something under them. */
const inheritedIds = ["__proto__", "constructor", "toString", "hasOwnProperty"];

/** As JSON text. */
const badJsonIds: readonly string[] = [
  '"../victim"',
  '"..\\\\victim"',
  '"/etc/passwd"',
  `"${keptSession}\\u0000"`,
  `"${keptSession}/../victim"`,
  `"${keptSession}.json"`,
  '"\\ud83d"',
  '"\\u202e"',
  '"."',
  '".."',
  '""',
  `"${"a".repeat(65)}"`,
  "null",
  "0",
  "true",
  "[]",
  `["${keptSession}"]`,
  `{"toString":"${keptSession}"}`,
];

/** Operations that take a session's id, under both of its names. */
const sessionOperations = ["sessions.get", "sessions.export", "sessions.delete"];

/** A place for an id; `fill` puts one there. */
interface IdPlace {
  readonly name: string;
  readonly isStream: boolean;
  fill(id: string): RequestShape;
}

export async function idAttacks(target: Target): Promise<readonly Attack[]> {
  const api = await readApi(target);
  const places = [...pathPlaces(api), ...queryPlaces(api)];
  return [
    ...places.map((place) => attackOn(place.name, badIds.map(place.fill))),
    ...places
      // Events of a session that is not there are none: an answer, by contract.
      .filter(({ isStream }) => !isStream)
      .map((place) => attackOn(`${place.name}, inherited names`, inheritedIds.map(place.fill))),
    ...bodyPlaces(api).map(({ name, fill }) => attackOn(name, badJsonIds.map(fill))),
  ];
}

function attackOn(name: string, shapes: readonly RequestShape[]): Attack {
  return {
    name,
    async run(target) {
      const before = target.upstream.length;
      const findings: Finding[] = [];
      for (const batch of batches(shapes)) {
        findings.push(
          ...(await Promise.all(
            batch.map(async (shape) => {
              const { seen, problems } = judge(
                await exchange(target, [requestBytes(target, shape)]),
                [400, 404],
              );
              const where = (shape.body || shape.line || "").toString().slice(0, 90);
              return { seen, problems: problems.map((problem) => `${where}: ${problem}`) };
            }),
          )),
        );
      }
      const { seen, problems } = together(findings);
      const escaped = target.upstream
        .slice(before)
        .filter(({ method, path }) => !isExpectedUpstream(method, path))
        .map(({ method, path }) => `the model server got ${method} ${path}`);
      return { seen, problems: [...problems, ...escaped] };
    },
  };
}

/** An id is one part of the path that the model server is asked for, whatever is in it. */
function isExpectedUpstream(method: string, path: string): boolean {
  if (method === "DELETE") return /^\/admin\/models\/[^/?#]+$/.test(path);
  return !path.includes("victim") || /^\/admin\/models\/download\/[^/?#]+\/progress$/.test(path);
}

function* batches<T>(items: readonly T[], size = 12): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}

async function readApi(target: Target): Promise<ApiDescription> {
  const line = "GET /v3/openapi.json HTTP/1.1";
  const { answers } = await exchange(target, [requestBytes(target, { line, body: "" })]);
  return JSON.parse(answers[0]?.body.toString() ?? "") as ApiDescription;
}

function* operationsOf({ paths }: ApiDescription) {
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      yield { path, method: method.toUpperCase(), operation };
    }
  }
}

/** What stands in the other places of a path. */
const goodIds: Readonly<Record<string, string>> = { sessionId: keptSession, id: "sessions.get" };

function pathPlaces(api: ApiDescription): readonly IdPlace[] {
  return [...operationsOf(api)].flatMap(({ path, method }) =>
    [...path.matchAll(/\{(\w+)\}/g)].map(([placeholder, name = ""]) => ({
      name: `${method} ${path}: ${name}`,
      isStream: path.endsWith("/events"),
      fill(id) {
        const filled = path
          .replace(placeholder, () => id)
          .replaceAll(/\{(\w+)\}/g, (_, other: string) => goodIds[other] ?? "x_1");
        return requestShape(method, filled);
      },
    })),
  );
}

function queryPlaces(api: ApiDescription): readonly IdPlace[] {
  return [...operationsOf(api)].flatMap(({ path, method, operation: { parameters = [] } }) =>
    parameters
      .filter((parameter) => parameter.in === "query" && parameter.name === "sessionId")
      .filter(() => !path.includes("{"))
      .map(() => ({
        name: `${method} ${path}?sessionId`,
        isStream: path === "/v3/ws" || path.startsWith("/v3/sse/"),
        fill(id) {
          const query = `?sessionId=${id}&workspace=%2Ftmp`;
          return path === "/v3/ws" ? handshakeShape(query) : requestShape(method, path + query);
        },
      })),
  );
}

function requestShape(method: string, path: string): RequestShape {
  const turn = '{"clientId":"c","writerId":"w","content":"x","decision":"allow","decidedBy":"m"}';
  return { line: `${method} ${path} HTTP/1.1`, body: method === "POST" ? turn : "" };
}

function bodyPlaces(api: ApiDescription): readonly Pick<IdPlace, "name" | "fill">[] {
  const routes = [...operationsOf(api)]
    .filter(({ path, operation }) => !path.includes("{") && takesSessionId(operation))
    .map(({ path, method }) => ({
      name: `${method} ${path} {sessionId}`,
      fill: (id: string) => ({
        line: `${method} ${path} HTTP/1.1`,
        body: `{"sessionId":${id},"command":"true"}`,
      }),
    }));
  const named = sessionOperations.flatMap((operation) =>
    ["id", "sessionId"].map((key) => ({
      name: `${operation} {${key}}`,
      fill: (id: string) => ({
        line: `POST /v3/operations/${operation} HTTP/1.1`,
        body: `{"${key}":${id}}`,
      }),
    })),
  );
  return [...routes, ...named];
}

function takesSessionId(operation: ApiDescription["paths"][string][string]): boolean {
  const schema = operation.requestBody?.content["application/json"].schema;
  return schema?.properties?.["sessionId"] !== undefined;
}
