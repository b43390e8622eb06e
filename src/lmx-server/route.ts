// What a plain HTTP route is, and how the one for a path is found. Model ids carry slashes, raw or as %2F, so
// a `*` in a path takes all that lies between what surrounds it.
import type { ServerKeys } from "./access.ts";
import type { LmxModels } from "./engine.ts";

export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  /** With at most one `*`, whose text the answer gets as `rest`. */
  readonly path: string;
  readonly access: "none" | "inference" | "admin";
  answer(context: RouteContext): Response | Promise<Response>;
}

/** What an answer may look at. */
export interface RouteContext {
  readonly models: LmxModels;
  readonly version: string;
  /** "127.0.0.1:1234" */
  readonly authority: string;
  /** Null when no socket is served. */
  readonly socketPath: string | null;
  readonly keys: ServerKeys;
  readonly uptimeSeconds: () => number;
  /** Model requests that are being answered. */
  readonly inFlight: () => number;
  readonly request: Request;
  readonly body: string;
  /** What `*` stood for, percent-decoded. */
  readonly rest: string;
}

export function findRoute(
  routes: readonly Route[],
  method: string,
  pathname: string,
): { readonly route: Route; readonly rest: string } | undefined {
  for (const route of routes) {
    if (route.method !== method) continue;
    const rest = matchPath(route.path, pathname);
    if (rest !== undefined) return { route, rest };
  }
  return undefined;
}

/** The decoded text that `*` stands for ("" where the pattern has none), or undefined when it does not match. */
function matchPath(pattern: string, pathname: string): string | undefined {
  const [before = "", after] = pattern.split("*");
  if (after === undefined) return pathname === pattern ? "" : undefined;
  const end = pathname.length - after.length;
  if (!pathname.startsWith(before) || !pathname.endsWith(after) || end <= before.length)
    return undefined;
  return decode(pathname.slice(before.length, end));
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // a stray % is no route
  }
}
