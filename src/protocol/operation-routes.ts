// How each operation travels over HTTP (contracts/daemon-v3.md section 2). Free of schemas: an attached client needs
// nothing else, and making schemas costs more than asking the daemon. What goes in and out is operations.ts.
export interface OperationRoute {
  readonly method: "GET" | "POST" | "DELETE";
  /** `:name` is a parameter; the others travel in the query (GET, DELETE) or the JSON body (POST). */
  readonly path: string;
  /** HTTP status of a success where it is not 200. */
  readonly status?: number;
  /** The model server's own answer: HTTP answers `result.body` with `result.status`. */
  readonly forwarded?: true;
}

export const operationRoutes = {
  "session.create": { method: "POST", path: "/v3/sessions", status: 201 },
  "session.resume": { method: "POST", path: "/v3/sessions/:sessionId/resume" },
  "session.get": { method: "GET", path: "/v3/sessions/:sessionId" },
  "session.list": { method: "GET", path: "/v3/sessions" },
  "session.delete": { method: "DELETE", path: "/v3/sessions/:sessionId" },
  "session.context": { method: "GET", path: "/v3/context" },
  "turn.submit": { method: "POST", path: "/v3/sessions/:sessionId/turns", status: 202 },
  "turn.cancel": { method: "POST", path: "/v3/sessions/:sessionId/cancel" },
  "permission.resolve": { method: "POST", path: "/v3/sessions/:sessionId/permissions/:requestId" },
  "permission.explain": { method: "POST", path: "/v3/permissions/explain" },
  "background.list": { method: "GET", path: "/v3/background" },
  "background.start": { method: "POST", path: "/v3/background/start", status: 201 },
  "background.status": { method: "GET", path: "/v3/background/:processId/status" },
  "background.output": { method: "GET", path: "/v3/background/:processId/output" },
  "background.kill": { method: "POST", path: "/v3/background/:processId/kill" },
  "lmx.status": { method: "GET", path: "/v3/lmx/status" },
  "lmx.models": { method: "GET", path: "/v3/lmx/models" },
  "lmx.load": { method: "POST", path: "/v3/lmx/models/load" },
  "lmx.download": { method: "POST", path: "/v3/lmx/models/load/confirm" },
  "lmx.downloadProgress": { method: "GET", path: "/v3/lmx/models/download/:downloadId/progress" },
  "lmx.unload": { method: "POST", path: "/v3/lmx/models/unload" },
  "lmx.discovery": { method: "GET", path: "/v3/lmx/discovery", forwarded: true },
  "lmx.memory": { method: "GET", path: "/v3/lmx/memory", forwarded: true },
  "lmx.available": { method: "GET", path: "/v3/lmx/models/available", forwarded: true },
  "lmx.downloads": { method: "GET", path: "/v3/lmx/models/downloads", forwarded: true },
  "lmx.startDownload": { method: "POST", path: "/v3/lmx/models/download", forwarded: true },
  "lmx.deleteModel": { method: "DELETE", path: "/v3/lmx/models/:modelId", forwarded: true },
} as const satisfies Record<string, OperationRoute>;

export type OperationName = keyof typeof operationRoutes;
