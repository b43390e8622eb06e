// Plain requests to a daemon under test, checked against the description of its API: a success must have the status
// and the body that the tables say, a refusal the error's shape. And a reader of its streams.
import type { OptaEvent } from "../../src/protocol/event.ts";
import { daemonRoutes } from "../../src/protocol/daemon-routes.ts";
import { lmxWireSchemas } from "../../src/protocol/lmx-wire-schemas.ts";
import { type OperationName, operationRoutes } from "../../src/protocol/operation-routes.ts";
import { operations } from "../../src/protocol/operations.ts";
import { toQuery } from "../../src/protocol/query.ts";
import type { RunningDaemon } from "./daemon.ts";

export type RouteName = OperationName | keyof typeof daemonRoutes;

export const routeNames = [
  ...Object.keys(daemonRoutes),
  ...Object.keys(operations),
] as readonly RouteName[];

export interface Answer {
  readonly status: number;
  /** The JSON document; undefined where there is none. */
  readonly body: unknown;
  readonly headers: Headers;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is, in place of the parameters. */
  readonly rawBody?: string;
}

/** Asks with the token, whatever comes of it. @param route "GET /v3/health" */
export async function ask(
  daemon: RunningDaemon,
  route: string,
  { headers = {}, rawBody }: RequestOptions = {},
): Promise<Answer> {
  const response = await open(daemon, route, {
    headers,
    ...(rawBody === undefined ? {} : { rawBody }),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
  const body = isJson ? (JSON.parse(text) as unknown) : undefined;
  return { status: response.status, body, headers: response.headers };
}

/** The answer whose body has not been read. An empty `authorization` sends none. */
export function open(
  { state }: RunningDaemon,
  route: string,
  { headers: given = {}, rawBody }: RequestOptions = {},
): Promise<Response> {
  const [method = "", path = ""] = route.split(" ");
  const headers = new Headers({ authorization: `Bearer ${state.token}`, ...given });
  if (headers.get("authorization") === "") headers.delete("authorization");
  return fetch(`http://127.0.0.1:${state.port}${path}`, {
    method,
    headers,
    redirect: "error",
    ...(rawBody === undefined ? {} : { body: rawBody }),
  });
}

/** Asks for a route by its name. @throws Error for an answer that is not as the API's description says */
export async function call(
  daemon: RunningDaemon,
  name: RouteName,
  params: Readonly<Record<string, unknown>> = {},
  options: RequestOptions = {},
): Promise<Answer> {
  const { method, status } = rowOf(name);
  const answer = await ask(daemon, `${method} ${pathOf(name, params)}`, {
    ...(method === "POST" ? { rawBody: JSON.stringify(bodyOf(name, params)) } : {}),
    ...options,
  });
  const problem = judge(name, answer);
  if (problem === undefined) return answer;
  const wanted = `${name}: wanted ${status ?? 200} or an error`;
  throw new Error(`${wanted}, got ${answer.status} ${JSON.stringify(answer.body)}: ${problem}`);
}

interface RouteRow {
  readonly method: string;
  readonly path: string;
  readonly status?: number;
}

/** A route's row in its table. */
export function rowOf(name: RouteName): RouteRow {
  return name in daemonRoutes
    ? daemonRoutes[name as keyof typeof daemonRoutes]
    : operationRoutes[name as OperationName];
}

/** With the parameters that belong there, and for a GET or DELETE the others as its query. */
export function pathOf(name: RouteName, params: Readonly<Record<string, unknown>> = {}): string {
  const { method, path } = rowOf(name);
  const inPath = path.replaceAll(/:(\w+)/g, (_, key: string) =>
    encodeURIComponent(String(params[key] ?? `{${key}}`)),
  );
  return method === "POST" ? inPath : `${inPath}${toQuery(bodyOf(name, params))}`;
}

function bodyOf(name: RouteName, params: Readonly<Record<string, unknown>>) {
  const { path } = rowOf(name);
  return Object.fromEntries(
    Object.entries(params).filter(([key]) => !path.split("/").includes(`:${key}`)),
  );
}

/** What an answer has that the API's description does not say of it; undefined for a good one. */
function judge(name: RouteName, { status, body }: Answer): string | undefined {
  const row = rowOf(name);
  if (status === (row.status ?? 200)) return judgeResult(name, body);
  if (isForwarded(name) || (status === 304 && name === "lmx.models")) return undefined;
  if (status < 400) return "another status";
  const error = (body as { readonly error?: unknown } | undefined)?.error;
  const isTold = typeof error === "string" || (name === "operations.run" && error !== undefined);
  return isTold ? undefined : "no error is told";
}

function judgeResult(name: RouteName, body: unknown): string | undefined {
  if (name in daemonRoutes) {
    const { result } = daemonRoutes[name as keyof typeof daemonRoutes];
    return typeof result === "string" ? undefined : problemOf(result, body);
  }
  if (isForwarded(name)) return undefined;
  const row = operations[name as OperationName];
  return problemOf(lmxWireSchemas[name as OperationName] ?? row.result, body);
}

/** Status and body are the model server's own. */
export function isForwarded(name: RouteName): boolean {
  return name in operationRoutes && "forwarded" in operationRoutes[name as OperationName];
}

function problemOf(
  schema: { safeParse(value: unknown): { readonly error?: Error | undefined } },
  body: unknown,
): string | undefined {
  return schema.safeParse(body).error?.message;
}

/** Stored events, in the dialect that is asked for. */
export async function eventsIn(
  daemon: RunningDaemon,
  sessionId: string,
  query: Readonly<Record<string, unknown>> = {},
): Promise<OptaEvent[]> {
  const { body } = await call(daemon, "events.list", { sessionId, ...query });
  return (body as { readonly events: OptaEvent[] }).events;
}

export interface SseReader extends AsyncDisposable {
  readonly headers: Headers;
  /** The next block, without its empty line; undefined at the end. */
  next(): Promise<string | undefined>;
  /** The next `data:` as JSON; comments are passed over. @throws Error at the end */
  nextData<T>(): Promise<T>;
}

/** @throws Error unless the daemon answers with a stream */
export async function openSse(
  daemon: RunningDaemon,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<SseReader> {
  const response = await open(daemon, `GET ${path}`, { headers });
  const type = response.headers.get("content-type");
  if (response.body === null || type !== "text/event-stream") {
    throw new Error(`${path}: HTTP ${response.status}, ${type}: ${await response.text()}`);
  }
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const blocks: string[] = [];
  let rest = "";

  async function next(): Promise<string | undefined> {
    while (blocks.length === 0) {
      const { value, done } = await reader.read();
      if (done) return undefined;
      const parts = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = parts.pop() ?? "";
      blocks.push(...parts);
    }
    return blocks.shift();
  }

  return {
    headers: response.headers,
    next,
    async nextData<T>() {
      for (;;) {
        const block = await next();
        if (block === undefined) throw new Error(`${path} ended`);
        if (block.startsWith("data: ")) return JSON.parse(block.slice("data: ".length)) as T;
      }
    },
    async [Symbol.asyncDispose]() {
      await reader.cancel().catch(() => undefined);
    },
  };
}
