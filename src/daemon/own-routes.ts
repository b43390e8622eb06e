// The daemon's own routes: health, metrics, tickets, events, client operations, the API's description.
import { version } from "../base/version.ts";
import { isDialect, type Dialect } from "../protocol/dialect.ts";
import { OptaError } from "../protocol/error.ts";
import type { Health, Metrics } from "../protocol/health.ts";
import { sessionIdPattern, sessionIdRule } from "../protocol/session-id.ts";
import { settingsDigest, settingsSourceDigest } from "../config/settings-digest.ts";
import type { ClientOperationContext } from "./client-operations.ts";
import type { DaemonParts } from "./daemon-parts.ts";
import { eventsDocument, eventsStream, healthStream, type Stay } from "./event-answers.ts";
import { errorAnswer, jsonAnswer, readJsonObject } from "./http.ts";
import { installedAs } from "./installed-as.ts";
import { readLogTail } from "./log-reader.ts";
import type { Route, RouteRequest } from "./route.ts";

/** What a client must find to speak with a daemon at all. */
export const daemonContract = { name: "opta-daemon-v3", version: 1 } as const;

export const ownRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/v3/health",
    answer: (_request, parts) => jsonAnswer(health(parts)),
  },
  {
    method: "GET",
    path: "/v3/health/stream",
    answer: (asked, parts) => healthStream(() => health(parts), stayOf(asked, parts)),
  },
  {
    method: "GET",
    path: "/v3/metrics",
    answer: (_request, parts) =>
      jsonAnswer({
        daemonId: parts.daemonId,
        runtime: runtime(parts),
        ts: new Date().toISOString(),
      } satisfies Metrics),
  },
  {
    method: "POST",
    path: "/v3/ws-ticket",
    answer: (_request, { access }) => jsonAnswer(access.issueTicket(), { status: 201 }),
  },
  {
    method: "POST",
    path: "/v3/daemon/stop",
    answer(_request, { stop }) {
      // The answer leaves first.
      setTimeout(stop, 0);
      return jsonAnswer({ stopping: true }, { status: 202 });
    },
  },
  {
    method: "GET",
    path: "/v3/sessions/:sessionId/events",
    answer({ url, params }, parts) {
      const sessionId = checkedSessionId(params["sessionId"]);
      const afterSeq = afterSeqOf(url);
      if (afterSeq === undefined) return jsonAnswer({ error: "Invalid query" }, { status: 400 });
      const place = { sessionId, afterSeq, dialect: dialectOf(url, parts) };
      return eventsDocument(parts.engine.stream, place);
    },
  },
  {
    method: "GET",
    path: "/v3/sse/events",
    answer(asked, parts) {
      const { url } = asked;
      const given = url.searchParams.get("sessionId");
      if (given === null) {
        return jsonAnswer({ error: "Missing sessionId query param" }, { status: 400 });
      }
      const sessionId = checkedSessionId(given);
      const afterSeq = afterSeqOf(url);
      if (afterSeq === undefined) return jsonAnswer({ error: "Invalid query" }, { status: 400 });
      const place = { sessionId, afterSeq, dialect: dialectOf(url, parts) };
      return eventsStream(parts.followers, place, stayOf(asked, parts));
    },
  },
  {
    method: "GET",
    path: "/v3/operations",
    async answer() {
      const { listClientOperations } = await import("./client-operations.ts");
      return jsonAnswer({ operations: listClientOperations() });
    },
  },
  {
    method: "POST",
    path: "/v3/operations/:id",
    answer: answerClientOperation,
  },
  {
    method: "GET",
    path: "/v3/openapi.json",
    async answer() {
      const { describeApi } = await import("../protocol/openapi.ts");
      return jsonAnswer(describeApi(version));
    },
  },
  {
    method: "GET",
    path: "/v3/bridge/status",
    answer: () =>
      jsonAnswer({
        status: "disconnected",
        activationState: "inactive",
        deviceId: null,
        sessionId: null,
        bridgeTokenPresent: false,
        connectedAt: null,
        updatedAt: null,
        lastError: null,
      }),
  },
  ...["/v3/bridge/connect", "/v3/bridge/disconnect", "/v3/device/bootstrap", "/v3/device/execute"]
    // opta keeps to this machine and its model server: there is no cloud to pair with.
    .map((path) => ({
      method: "POST",
      path,
      answer: () => jsonAnswer({ error: "opta has no cloud pairing" }, { status: 501 }),
    })),
];

/** For how long a stream is written: until client or daemon leave, or the page may not stay. */
function stayOf({ request, admission }: RouteRequest, { pages, leaving }: DaemonParts): Stay {
  return {
    signal: AbortSignal.any([request.signal, leaving]),
    keep: (end) => pages.keep(admission, end),
  };
}

function health(parts: DaemonParts): Health {
  const { settings, environment } = parts;
  const { token } = parts.state();
  return {
    status: "ok",
    version,
    daemonId: parts.daemonId,
    pid: process.pid,
    contract: daemonContract,
    settings: settingsDigest(settings.config(), environment, token),
    settingsSource: settingsSourceDigest(settings.text(), environment, token),
    runtime: runtime(parts),
  };
}

function runtime({ engine, times, subscriberCount }: DaemonParts): Health["runtime"] {
  const { sessions, active, queued } = engine.activity();
  return {
    sessionCount: sessions,
    activeTurnCount: active,
    queuedTurnCount: queued,
    subscriberCount: subscriberCount(),
    ingressSeq: times.count(),
    // Tools run in this process: there are no workers to be busy.
    toolWorkers: { workers: 0, busy: 0, queued: 0 },
    latency: times.report(),
  };
}

/** @throws OptaError usage */
export function checkedSessionId(given: string | null | undefined): string {
  if (sessionIdPattern.test(given ?? "")) return given ?? "";
  throw new OptaError("usage", sessionIdRule);
}

/** Undefined for what is no whole number from 0 up. */
export function afterSeqOf(url: URL): number | undefined {
  const given = url.searchParams.get("afterSeq") ?? "0";
  return /^\d{1,15}$/.test(given) ? Number(given) : undefined;
}

/** What the client asks for, else what the settings say. */
export function dialectOf(url: URL, { settings }: DaemonParts): Dialect {
  const asked = url.searchParams.get("dialect") ?? "";
  return isDialect(asked) ? asked : settings.config().daemon.dialect;
}

async function answerClientOperation(
  { request, params }: RouteRequest,
  parts: DaemonParts,
): Promise<Response> {
  let body: unknown;
  try {
    body = await readJsonObject(request);
  } catch (thrown) {
    return errorAnswer(thrown);
  }
  const context: ClientOperationContext = {
    // A model load outlives the client that asked for it.
    call: (operation, input) => parts.engine.call(operation, input as never, parts.stopping),
    loadConfig: parts.loadConfig,
    daemon: {
      status: () => ({
        ...parts.state(),
        version,
        installedAs: installedAs(parts.environment),
      }),
      logs: (lines) =>
        readLogTail({ directory: parts.paths.directory, lines }).map((entry) => ({
          ...entry,
          raw: JSON.stringify(entry),
        })),
    },
    signal: AbortSignal.any([request.signal, parts.stopping]),
    home: parts.environment.home,
  };
  const { runClientOperation } = await import("./client-operations.ts");
  const answer = await runClientOperation(params["id"] ?? "", body, context);
  return jsonAnswer(answer.body, { status: answer.status });
}
