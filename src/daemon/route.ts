// What a route of the daemon is: a method, a path, and what answers. Which routes there are is routes.ts.
import type { Admission } from "./access.ts";
import type { DaemonParts } from "./daemon-parts.ts";

export interface Route {
  readonly method: string;
  /** `:name` is a parameter. */
  readonly path: string;
  answer(request: RouteRequest, parts: DaemonParts): Promise<Response> | Response;
}

export interface RouteRequest {
  readonly request: Request;
  readonly url: URL;
  readonly admission: Admission;
  /** From the path, decoded. */
  readonly params: Readonly<Record<string, string>>;
}
