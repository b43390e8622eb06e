// The routes that a scenario answers in its own way: other bodies, other statuses, late or never.
import { pause } from "./pause.ts";
import type { ScenarioRoute } from "./scenario.ts";

/** For LmxServerOptions.intercept: undefined lets the request go its usual way. */
export function createRouteScript(
  routes: readonly ScenarioRoute[],
): (request: Request) => Promise<Response | undefined> {
  const used = new Map<ScenarioRoute, number>();
  return async (request) => {
    const { pathname } = new URL(request.url);
    const route = routes.find(
      (candidate) =>
        (candidate.method ?? request.method) === request.method &&
        matches(candidate.path, pathname) &&
        (used.get(candidate) ?? 0) < (candidate.times ?? Infinity),
    );
    if (!route) return undefined;
    used.set(route, (used.get(route) ?? 0) + 1);
    if (route.hang) return new Promise(() => undefined);
    if (route.delayMs > 0) await pause(route.delayMs, request.signal);
    return route.status === undefined ? undefined : toResponse(route, route.status);
  };
}

function matches(pattern: string, pathname: string): boolean {
  return pattern.endsWith("*") ? pathname.startsWith(pattern.slice(0, -1)) : pathname === pattern;
}

function toResponse({ body, headers }: ScenarioRoute, status: number): Response {
  const isText = typeof body === "string" || body === undefined;
  return isText
    ? new Response(body, { status, headers })
    : Response.json(body, { status, headers });
}
