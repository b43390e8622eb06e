// Every HTTP route of the daemon: those of the operations table, which all work alike, and the few that are the
// daemon's own. What is asked before a route is answered (origin, token) is answer-request.ts.
import { OptaError, toOptaError } from "../protocol/error.ts";
import { invalidParams } from "../protocol/invalid-params.ts";
import { fromQuery } from "../protocol/query.ts";
import {
  type OperationName,
  type OperationRoute,
  operationRoutes,
} from "../protocol/operation-routes.ts";
import { operations } from "../protocol/operations.ts";
import { lmxRequest, toLmxWire } from "../protocol/lmx-wire.ts";
import { lmxErrorCode, lmxErrorMessage } from "../protocol/lmx-wire-errors.ts";
import type { DaemonParts } from "./daemon-parts.ts";
import { ownRoutes } from "./own-routes.ts";
import { errorAnswer, jsonAnswer, readJsonObject, textAnswer } from "./http.ts";
import type { Route, RouteRequest } from "./route.ts";

interface CompiledRoute extends Route {
  readonly segments: readonly string[];
}

const routes: readonly CompiledRoute[] = [
  ...ownRoutes,
  ...Object.keys(operationRoutes).map((name) => operationRoute(name as OperationName)),
].map((route) => ({ ...route, segments: route.path.split("/") }));

/** Exact paths before those with parameters. */
const byPrecision = routes.toSorted((one, other) => placeholders(one) - placeholders(other));

/** The route for a method and a raw path; undefined when there is none. @throws OptaError usage for a bad escape */
export function findRoute(
  method: string,
  pathname: string,
): { readonly route: Route; readonly params: Readonly<Record<string, string>> } | undefined {
  const parts = pathname.split("/");
  for (const route of byPrecision) {
    if (route.method !== method) continue;
    const params = matchSegments(route.segments, parts);
    if (params !== undefined) return { route, params };
  }
  return undefined;
}

function placeholders({ segments }: CompiledRoute): number {
  return segments.filter((segment) => segment.startsWith(":")).length;
}

/** A model's id has slashes of its own, raw or escaped; it is always the last part of a path. */
function matchSegments(
  segments: readonly string[],
  parts: readonly string[],
): Record<string, string> | undefined {
  const takesRest = segments.at(-1) === ":modelId" && parts.length > segments.length;
  const given = takesRest
    ? [...parts.slice(0, segments.length - 1), parts.slice(segments.length - 1).join("/")]
    : parts;
  if (given.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, segment] of segments.entries()) {
    const part = given[index] ?? "";
    if (!segment.startsWith(":")) {
      if (segment !== part) return undefined;
      continue;
    }
    if (part === "") return undefined;
    params[segment.slice(1)] = decode(part);
  }
  return params;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new OptaError("usage", "the path has a % that escapes nothing");
  }
}

function operationRoute(name: OperationName): Route {
  const { method, path } = operationRoutes[name];
  return {
    method,
    path,
    answer: (request, parts) => answerOperation(name, request, parts),
  };
}

async function answerOperation(
  name: OperationName,
  { request, url, params }: RouteRequest,
  parts: DaemonParts,
): Promise<Response> {
  const { method, status = 200, forwarded }: OperationRoute = operationRoutes[name];
  const isLmx = name.startsWith("lmx.");
  let given: Record<string, unknown>;
  try {
    const sent = method === "POST" ? await readJsonObject(request) : fromQuery(url.searchParams);
    // What the path says counts: a body that names another session is not for this one.
    given = { ...(lmxRequest(name, sent) as object), ...params };
    const checked = operations[name].params.safeParse(given);
    if (!checked.success) {
      const error = invalidParams(checked.error.issues, name);
      refuseAnswer(name, params, error, parts);
      return errorAnswer(error, checked.error.issues);
    }
    given = checked.data as Record<string, unknown>;
  } catch (thrown) {
    refuseAnswer(name, params, toOptaError(thrown), parts);
    return errorAnswer(thrown);
  }
  try {
    if (name === "lmx.models") return await answerModels(request, parts);
    const result = await parts.engine.call(name, given as never, parts.stopping);
    if (changesModels.has(name)) parts.modelsCache.forget();
    if (name === "turn.submit") parts.followers.noteAccepted(params["sessionId"] ?? "");
    if (forwarded) {
      const { status: upstream, body } = result as { status: number; body: unknown };
      return jsonAnswer(body, { status: upstream });
    }
    const body = isLmx ? toLmxWire(name, result) : result;
    return jsonAnswer(body, { status });
  } catch (thrown) {
    if (isLmx) return lmxError(toOptaError(thrown));
    if (name === "permission.resolve") return permissionError(toOptaError(thrown));
    return errorAnswer(thrown);
  }
}

const changesModels: ReadonlySet<OperationName> = new Set<OperationName>([
  "lmx.load",
  "lmx.download",
  "lmx.unload",
  "lmx.deleteModel",
]);

/** What is no valid answer to a permission request is a "no" (promises G1). */
function refuseAnswer(
  name: OperationName,
  params: RouteRequest["params"],
  error: OptaError,
  { engine }: DaemonParts,
): void {
  if (name !== "permission.resolve") return;
  engine.denyMalformed(params["requestId"] ?? "", error.message);
}

async function answerModels(request: Request, { modelsCache }: DaemonParts): Promise<Response> {
  const ifNoneMatch = request.headers.get("if-none-match");
  const { signal } = request;
  const { status, etag, text } = await modelsCache.answer({ ifNoneMatch, signal });
  const headers = { etag };
  return status === 304 ? new Response(null, { status, headers }) : textAnswer(text, { headers });
}

/** In the words that existing clients know; the model server's own 401 and 403 must not look like ours. */
function lmxError(error: OptaError): Response {
  const answer = errorAnswer(error);
  const status = answer.status === 401 || answer.status === 403 ? 502 : answer.status;
  const { code, hint } = error;
  const told = { error: lmxErrorMessage(error), code: lmxErrorCode(code) };
  const body = { ...told, ...(hint === undefined ? {} : { hint }) };
  return jsonAnswer(body, { status });
}

function permissionError(error: OptaError): Response {
  const { status } = errorAnswer(error);
  const { message, code } = error;
  const body = { ok: false, conflict: code === "state-conflict", message, error: message, code };
  return jsonAnswer(body, { status });
}
