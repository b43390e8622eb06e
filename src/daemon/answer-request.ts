// One request, in a fixed order: what the settings are now, which page it comes from, whether there is such a route, whether it is authorised;
// only then its body is read and the route answers (promises S4, S5). By which name the daemon was called has been
// checked before (server.ts).
import { toOptaError } from "../protocol/error.ts";
import type { Admission } from "./access.ts";
import type { DaemonParts } from "./daemon-parts.ts";
import { corsHeaders, errorAnswer, jsonAnswer, notFound, unauthorized } from "./http.ts";
import { afterSeqOf, checkedSessionId, dialectOf } from "./own-routes.ts";
import { findRoute } from "./routes.ts";
import type { SocketServer } from "./server.ts";

/** @returns undefined: the connection is a WebSocket from here on */
export async function answerRequest(
  request: Request,
  server: SocketServer,
  parts: DaemonParts,
): Promise<Response | undefined> {
  const startedMs = performance.now();
  const answer = await answerChecked(request, server, parts);
  parts.times.note(performance.now() - startedMs);
  return answer;
}

async function answerChecked(
  request: Request,
  server: SocketServer,
  parts: DaemonParts,
): Promise<Response | undefined> {
  const { access, settings } = parts;
  // Who may talk to us is a setting like any other, and holds as it is now.
  await settings.refresh();
  const origin = access.judgeOrigin(request.headers.get("origin"));
  if (origin === "refused" || !isPlain(request)) {
    return jsonAnswer({ error: "Forbidden" }, { status: 403 });
  }
  const cors = origin === "allowed" ? corsHeaders(request) : {};
  const finish = (answer: Response) => withHeaders(answer, cors);

  const url = new URL(request.url);
  const { pathname } = url;
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: cors });
  if (pathname === "/health") return finish(jsonAnswer({ status: "ok" }));
  const isSocket = pathname === "/v3/ws" && request.method === "GET";
  let found: ReturnType<typeof findRoute>;
  try {
    found = isSocket ? undefined : findRoute(request.method, pathname);
  } catch (thrown) {
    return finish(errorAnswer(thrown));
  }
  if (found === undefined && !isSocket) return finish(notFound(request.method, pathname));
  const admission = access.admit(request, url, { tickets: isSocket });
  if (admission === undefined) {
    await access.delayRefusal();
    return finish(unauthorized());
  }
  if (found === undefined) return upgrade(request, server, { url, admission, parts, finish });
  const { route, params } = found;
  // A model may take minutes to load: once the request is here, the daemon decides how long its answer takes.
  if (request.body === null) server.timeout(request, 0);
  const timed = withoutIdleLimit(request, server);
  try {
    return finish(await route.answer({ request: timed, url, params, admission }, parts));
  } catch (thrown) {
    // What has no code of its own is a defect of ours, and told as one (server.ts).
    if (toOptaError(thrown).code === "internal") throw thrown;
    return finish(errorAnswer(thrown));
  }
}

/** Lifts the idle limit once the body has arrived: one that dawdles is cut before. */
function withoutIdleLimit(request: Request, server: SocketServer): Request {
  if (request.body === null) return request;
  const read = request.bytes.bind(request);
  return Object.assign(request, {
    async bytes() {
      const bytes = await read();
      server.timeout(request, 0);
      return bytes;
    },
  });
}

/** The body's length is said once and plainly: what else there is serves to smuggle. */
function isPlain({ headers }: Request): boolean {
  const length = headers.get("content-length");
  if (length === null) return true;
  return !headers.has("transfer-encoding") && /^\d+$/.test(length);
}

function upgrade(
  request: Request,
  server: SocketServer,
  context: {
    readonly url: URL;
    readonly admission: Admission;
    readonly parts: DaemonParts;
    readonly finish: (answer: Response) => Response;
  },
): Response | undefined {
  const { url, admission, parts, finish } = context;
  const given = url.searchParams.get("sessionId");
  if (given === null) {
    return finish(jsonAnswer({ error: "Missing sessionId query param" }, { status: 400 }));
  }
  let sessionId: string;
  try {
    sessionId = checkedSessionId(given);
  } catch (thrown) {
    return finish(errorAnswer(thrown));
  }
  const data = {
    sessionId,
    afterSeq: afterSeqOf(url) ?? 0,
    dialect: dialectOf(url, parts),
    admission,
    leavePages: () => undefined,
    follower: undefined,
    pinged: undefined,
    pending: 0,
    refused: 0,
  };
  if (server.upgrade(request, { data })) return undefined;
  return finish(jsonAnswer({ error: "not a WebSocket handshake" }, { status: 426 }));
}

function withHeaders(answer: Response, headers: Readonly<Record<string, string>>): Response {
  for (const [name, value] of Object.entries(headers)) answer.headers.set(name, value);
  return answer;
}
