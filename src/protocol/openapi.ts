// The daemon's API as an OpenAPI 3.1 document, made from the operations table, the table of the daemon's own routes
// and the event kinds. The API reference (docs/daemon-api.md) is made from this document.
import * as z from "zod";
import { type DaemonRoute, daemonRoutes } from "./daemon-routes.ts";
import { errorCodes } from "./error.ts";
import { eventPayloadSchemas } from "./event.ts";
import { lmxWireSchemas } from "./lmx-wire-schemas.ts";
import type { OperationRow } from "./operation-row.ts";
import { type OperationName, type OperationRoute, operationRoutes } from "./operation-routes.ts";
import { operations } from "./operations.ts";

export interface ApiDescription {
  readonly openapi: "3.1.0";
  readonly info: object;
  readonly servers: readonly object[];
  readonly tags: readonly object[];
  readonly security: readonly object[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, ApiOperation>>>>;
  readonly components: {
    readonly securitySchemes: object;
    readonly responses: object;
    readonly schemas: Readonly<Record<string, JsonSchema>>;
  };
}

export interface ApiOperation {
  readonly operationId: string;
  readonly tags: readonly [string];
  readonly summary: string;
  /** Empty: asks for no token. */
  readonly security?: readonly object[];
  readonly parameters?: readonly ApiParameter[];
  readonly requestBody?: {
    readonly required: boolean;
    readonly content: { readonly "application/json": { readonly schema: JsonSchema } };
  };
  readonly responses: Readonly<Record<string, ApiResponse | { readonly $ref: string }>>;
}

export interface ApiParameter {
  readonly name: string;
  readonly in: "path" | "query";
  readonly required: boolean;
  readonly schema: JsonSchema;
}

export interface ApiResponse {
  readonly description: string;
  readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>>;
}

export interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly [keyword: string]: unknown;
}

/** What both tables say of a route. */
interface Described {
  readonly method: string;
  readonly path: string;
  readonly summary: string;
  readonly params: z.ZodType;
  readonly isPublic: boolean;
  readonly responses: ApiOperation["responses"];
}

/** @param version opta's own */
export function describeApi(version: string): ApiDescription {
  const described: readonly (readonly [string, Described])[] = [
    ...Object.entries<DaemonRoute>(daemonRoutes).map(
      ([name, route]) => [name, describeRoute(route)] as const,
    ),
    ...Object.entries<OperationRow>(operations).map(
      ([name, row]) => [name, describeOperation(name as OperationName, row)] as const,
    ),
  ];
  const paths: Record<string, Record<string, ApiOperation>> = {};
  for (const [name, row] of described) {
    const path = row.path.replaceAll(/:(\w+)/g, "{$1}");
    (paths[path] ??= {})[row.method.toLowerCase()] = toApiOperation(name, row);
  }
  const tags = new Set(described.map(([name]) => tagOf(name)));
  return {
    openapi: "3.1.0",
    info: {
      title: "opta daemon",
      version,
      description: "Sessions, turns and their events, served by opta on this machine only.",
      license: { name: "MIT", identifier: "MIT" },
    },
    // Relative to where the document was fetched: the port may be another one than the usual.
    servers: [{ url: "/" }],
    tags: [...tags].map((name) => ({ name })),
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: {
          type: "http",
          scheme: "bearer",
          description: "The token of state.json, new at every start.",
        },
        ticket: {
          type: "apiKey",
          in: "query",
          name: "ticket",
          description: "For one WebSocket: from daemon.ticket, valid once and for 30 s.",
        },
      },
      responses: {
        Unauthorized: {
          description: "The token is missing or wrong.",
          content: jsonContent(errorReference),
        },
        Refused: {
          description: "The request cannot be done as it is.",
          content: jsonContent(errorReference),
        },
        Failed: {
          description: "The daemon, or the model server behind it, could not do it.",
          content: jsonContent(errorReference),
        },
      },
      schemas: { Error: errorSchema, Event: eventSchema(), ...eventSchemas() },
    },
  };
}

function describeRoute(route: DaemonRoute): Described {
  const { method, path, summary, params, status = 200, isPublic = false } = route;
  const failure = route.failure && {
    description: "It was not done.",
    content: jsonContent(toSchema(route.failure, "output")),
  };
  return {
    method,
    path,
    summary,
    params,
    isPublic,
    responses: {
      [status]: describeAnswer(route),
      ...(isPublic
        ? {}
        : {
            401: refusals.unauthorized,
            "4XX": failure ?? refusals.refused,
            "5XX": failure ?? refusals.failed,
          }),
    },
  };
}

function describeAnswer({ streams, result, status }: DaemonRoute): ApiResponse {
  if (streams === "websocket") {
    return { description: "A WebSocket: each message is an event, or the reply to a command." };
  }
  const schema =
    result === "event"
      ? eventReference
      : result === "events"
        ? objectOf({ events: { type: "array", items: eventReference } })
        : toSchema(result, "output");
  if (streams === "sse") {
    return {
      description: "For as long as the client stays: each `data:` line holds one of these.",
      content: { "text/event-stream": { schema } },
    };
  }
  return { description: status === 501 ? "Refused." : "Done.", content: jsonContent(schema) };
}

function describeOperation(name: OperationName, row: OperationRow): Described {
  const { summary, params } = row;
  const { method, path, status = 200, forwarded }: OperationRoute = operationRoutes[name];
  const schema = forwarded ? {} : toSchema(lmxWireSchemas[name] ?? row.result, "output");
  const description = forwarded
    ? "The model server's answer as it is, with its status; 401 and 403 become 502."
    : "Done.";
  return {
    method,
    path,
    summary,
    params,
    isPublic: false,
    responses: {
      [forwarded ? "2XX" : status]: { description, content: jsonContent(schema) },
      ...(conditional.has(name)
        ? { 304: { description: "As the ETag in If-None-Match says." } }
        : {}),
      401: refusals.unauthorized,
      "4XX": refusals.refused,
      "5XX": refusals.failed,
    },
  };
}

/** Answered with an ETag. */
const conditional: ReadonlySet<OperationName> = new Set<OperationName>(["lmx.models"]);

function toApiOperation(name: string, row: Described): ApiOperation {
  const { properties = {}, required = [], ...schema } = toSchema(row.params, "input");
  const inPath = [...row.path.matchAll(/:(\w+)/g)].map(([, parameter = ""]) => parameter);
  const others = Object.keys(properties).filter((parameter) => !inPath.includes(parameter));
  const inQuery = row.method === "POST" ? [] : others;
  const parameter = (where: "path" | "query") => (parameterName: string) => ({
    name: parameterName,
    in: where,
    required: where === "path" || required.includes(parameterName),
    schema: properties[parameterName] ?? { type: "string" },
  });
  const parameters = [...inPath.map(parameter("path")), ...inQuery.map(parameter("query"))];
  const requiredInBody = required.filter((key) => others.includes(key));
  const body = {
    ...schema,
    properties: Object.fromEntries(others.map((key) => [key, properties[key] ?? {}])),
    ...(requiredInBody.length === 0 ? {} : { required: requiredInBody }),
  };
  return {
    operationId: name,
    tags: [tagOf(name)],
    summary: row.summary,
    ...(row.isPublic ? { security: [] } : {}),
    ...(name === "events.socket" ? { security: [{ bearer: [] }, { ticket: [] }] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(row.method === "POST" && others.length > 0
      ? { requestBody: { required: requiredInBody.length > 0, content: jsonContent(body) } }
      : {}),
    responses: row.responses,
  };
}

function tagOf(name: string): string {
  return name.split(".", 1)[0] ?? name;
}

const refusals = {
  unauthorized: { $ref: "#/components/responses/Unauthorized" },
  refused: { $ref: "#/components/responses/Refused" },
  failed: { $ref: "#/components/responses/Failed" },
} as const;

const errorReference = { $ref: "#/components/schemas/Error" } as const;
const eventReference = { $ref: "#/components/schemas/Event" } as const;

/** `code` is absent where nothing but the status is told, as for a missing token. */
const errorSchema: JsonSchema = {
  type: "object",
  properties: {
    error: { type: "string", description: "What is wrong, in a sentence." },
    code: {
      type: "string",
      description: "What is wrong, for programs. More may come.",
      examples: Object.keys(errorCodes),
    },
    hint: { type: "string", description: "The next command to type." },
    details: { type: "array", description: "What the parameters' schema found.", items: {} },
  },
  required: ["error"],
};

function eventSchema(): JsonSchema {
  const kinds = Object.keys(eventPayloadSchemas);
  return { oneOf: kinds.map((kind) => ({ $ref: `#/components/schemas/${kind}` })) };
}

function eventSchemas(): Record<string, JsonSchema> {
  return Object.fromEntries(
    Object.entries(eventPayloadSchemas).map(([kind, payload]) => [
      kind,
      objectOf({
        v: { const: "3" },
        event: { const: kind },
        daemonId: { type: "string" },
        sessionId: { type: "string" },
        seq: { type: "integer", minimum: 1 },
        ts: { type: "string", format: "date-time" },
        payload: toSchema(payload, "output"),
      }),
    ]),
  );
}

/** All of them required. */
function objectOf(properties: Readonly<Record<string, JsonSchema>>): JsonSchema {
  return { type: "object", properties, required: Object.keys(properties) };
}

function jsonContent<S extends JsonSchema>(schema: S) {
  return { "application/json": { schema } } as const;
}

/** Answers may carry more than is said here, and a bound that every number keeps says nothing. */
function toSchema(schema: z.ZodType, io: "input" | "output"): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io,
    override({ jsonSchema }) {
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    },
  });
  return rest as JsonSchema;
}
