// Health, discovery and the list of models that can answer (contracts/lmx.md sections 2, 3, 4 and 7b).
import { json, refusalResponse } from "./http-error.ts";
import type { LoadedModel } from "./engine.ts";
import type { Route, RouteContext } from "./route.ts";

export const modelRoutes: readonly Route[] = [
  {
    method: "GET",
    path: "/healthz",
    access: "none",
    answer: ({ version }) => json({ status: "ok", version }),
  },
  { method: "GET", path: "/readyz", access: "none", answer: answerReadiness },
  { method: "GET", path: "/.well-known/opta-lmx", access: "none", answer: answerDiscovery },
  { method: "GET", path: "/v1/discovery", access: "none", answer: answerDiscovery },
  {
    method: "GET",
    path: "/v1/models",
    access: "inference",
    answer: ({ models }) => json({ object: "list", data: models.loaded().map(toModelObject) }),
  },
  { method: "GET", path: "/v1/models/*", access: "inference", answer: answerModel },
];

/** Ready means that a chat request would find a model; 503 does not mean "down". */
function answerReadiness({ models, version }: RouteContext): Response {
  const count = models.loaded().length;
  if (count > 0) return json({ status: "ready", version, models_loaded: count });
  return json({ status: "unavailable", reason: "no models loaded" }, { status: 503 });
}

function answerModel({ models, rest }: RouteContext): Response {
  const model = models.loaded().find((candidate) => candidate.id === rest);
  if (model) return json(toModelObject(model));
  return refusalResponse({
    status: 404,
    code: "model_not_found",
    message: `Model '${rest}' is not loaded`,
  });
}

function toModelObject(model: LoadedModel) {
  return { id: model.id, object: "model", created: Math.floor(model.loadedAt), owned_by: "local" };
}

/** The document of contracts/lmx.md section 4; events carry no ids, so it promises no resuming. */
function answerDiscovery(context: RouteContext): Response {
  const { keys, socketPath, version } = context;
  // The address that the client reached, which our own name for it may not be (0.0.0.0).
  const authority = context.request.headers.get("host") ?? context.authority;
  const loaded = context.models.loaded().map((model) => model.id);
  const base = `http://${authority}`;
  return json({
    schema_version: "2026-03-02",
    instance_id: authority,
    service: "opta-lmx",
    version,
    security_profile: keys.apiKey === undefined && keys.adminKey === undefined ? "open" : "keys",
    ready: loaded.length > 0,
    loaded_models: loaded,
    loaded_model_count: loaded.length,
    in_flight_requests: context.inFlight(),
    auth: {
      admin_key_required: keys.adminKey !== undefined,
      inference_key_required: keys.apiKey !== undefined,
      supabase_jwt_enabled: false,
    },
    endpoints: {
      preferred_base_url: base,
      base_urls: [base],
      openai_base_url: `${base}/v1`,
      admin_base_url: `${base}/admin`,
      websocket_url: socketPath === null ? null : `ws://${authority}${socketPath}`,
    },
    client_probe_order: ["/healthz", "/readyz", "/v1/models"],
    continuity: { event_resume_supported: false },
    hardware_summary: null,
  });
}
