// `bun scripts/api-docs.ts` writes docs/daemon-api.md, the reference of the daemon's API, from the tables that the
// daemon itself is made from. Run it after a change there: a test compares the file with what this would write.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type SocketCommand, socketCommands } from "../src/protocol/daemon-routes.ts";
import { errorCodes, exitCodes } from "../src/protocol/error.ts";
import {
  type ApiOperation,
  type ApiResponse,
  describeApi,
  type JsonSchema,
} from "../src/protocol/openapi.ts";

export const apiDocsPath = join(import.meta.dir, "../docs/daemon-api.md");

if (import.meta.main) {
  mkdirSync(dirname(apiDocsPath), { recursive: true });
  writeFileSync(apiDocsPath, apiDocs());
}

/** The reference as Markdown, formatted as `bun run fmt` would. */
export function apiDocs(): string {
  const { paths, components } = describeApi("");
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
  );
  const tags = [...new Set(routes.map(({ operation }) => operation.tags[0]))];
  const sections = tags.toSorted().flatMap((tag) => [
    `### ${tag}`,
    table(
      ["Operation", "Route", "Parameters", "Status", "Answer", "What it does"],
      routes
        .filter(({ operation }) => operation.tags[0] === tag)
        .map(({ method, path, operation }) => [
          code(operation.operationId),
          code(`${method.toUpperCase()} ${path}`),
          parametersOf(operation, path),
          statusOf(operation),
          answerOf(operation),
          operation.summary,
        ]),
    ),
  ]);
  return `${[...beginning(), ...sections, ...ending(components.schemas)].join("\n\n")}\n`;
}

function beginning(): readonly string[] {
  return [
    "# The daemon's API",
    "Made by `bun scripts/api-docs.ts` from the tables in `src/protocol/`; the running daemon serves the same as OpenAPI 3.1, with every type, at `GET /v3/openapi.json`.",
    "## Access",
    [
      "- The daemon listens on 127.0.0.1 only: port 9999, else a free one of 10000 to 10020. `daemon/state.json` in opta's settings directory names port and token; the token is new at every start.",
      "- `Authorization: Bearer TOKEN` on every request but `GET /health`. A missing and a wrong token get the same 401; after 20 failures within a minute each further one waits a second.",
      "- A page in a browser must have its origin in `daemon.allowedOrigins`; any other origin gets 403 before anything else is looked at, and so does a `Host` that is not the daemon's own.",
      "- A browser cannot send the header with a WebSocket: `POST /v3/ws-ticket` gives a `ticket` for the URL, good for one socket and for 30 s. `?token=` in a URL is refused, unless `daemon.allowQueryToken` is on, and then from allowed origins only.",
      "- Bodies are JSON objects in UTF-8, at most 10 MiB. Unknown keys are ignored.",
    ].join("\n"),
    "## A turn with curl",
    [
      "```sh",
      "STATE=~/.config/opta/daemon/state.json",
      'API="http://127.0.0.1:$(jq .port $STATE)"; AUTH="Authorization: Bearer $(jq -r .token $STATE)"',
      'curl -s -H "$AUTH" $API/v3/sessions -d \'{"sessionId": "demo", "metadata": {"workspace": "/path/to/project"}}\'',
      'curl -s -H "$AUTH" $API/v3/sessions/demo/turns -d \'{"clientId": "me", "writerId": "me", "content": "hello"}\'',
      'curl -N -H "$AUTH" "$API/v3/sse/events?sessionId=demo&afterSeq=0"',
      "```",
    ].join("\n"),
    "A `permission.request` among the events waits for `POST /v3/sessions/{sessionId}/permissions/{requestId}`. The first valid answer counts; an answer that is none (another word than `allow` or `deny`, or for another session) denies the request.",
    "A turn submitted with an `idempotencyKey` that its session knows is the turn of before, whatever else is sent: after a broken connection ask again with the same key.",
    "## Routes",
    "A parameter that is named in the path travels there; the others in the query (GET, DELETE) or as keys of a JSON body (POST). `?` marks what may be left out, `[]` a list.",
  ];
}

function ending(schemas: Readonly<Record<string, JsonSchema>>): readonly string[] {
  return [
    "## Events",
    'Every event is stored before anyone sees it: `{"v":"3","event":KIND,"daemonId","sessionId","seq","ts","payload"}`. `seq` counts the events of a session from 1, without a gap. A client that comes back with the last `seq` it has as `afterSeq` gets each later event once, in order, then the new ones. A cursor that cannot be followed is answered with an error (`before-retention`, `ahead-of-head`), never with a gap.',
    "With `dialect=opta-code`, or `daemon.dialect` in the settings, the kind `tool.result` is named `tool.end`, a `turn.progress` that says nothing a user must know is left out, and what ends a turn comes at the earliest 300 ms after the turn was accepted.",
    table(
      ["Kind", "Payload"],
      Object.entries(schemas)
        .filter(([, { properties }]) => properties?.["payload"] !== undefined)
        .map(([kind, { properties }]) => [code(kind), keysOf(properties?.["payload"])]),
    ),
    "## Commands of the WebSocket",
    'One socket follows one session. A message of the client is `{"type":COMMAND, …}`; a command that fails is answered with `{"error", "code"?, "hint"?}`. A client that takes its events too slowly is closed with 4408 and may come back with its last `seq`; a cursor that cannot be followed closes with 4409, and a flood of commands (more than 1,000 beyond the 64 that may be under way), or a page whose origin was revoked, with 1008; 1001 says that the daemon stops.',
    table(
      ["Command", "Parameters", "Reply", "What it does"],
      Object.entries<SocketCommand>(socketCommands).map(([type, command]) => [
        code(type),
        command.operation === undefined ? "" : `as ${code(command.operation)}`,
        command.reply === undefined ? "none" : withCode(command.reply),
        command.summary,
      ]),
    ),
    "## Errors",
    'An error is `{"error": SENTENCE, "code"?, "hint"?, "details"?}`; `hint` is the next command to type. Under `/v3/lmx`, `lmx-connection-refused` is called `connection_error` and `auth-failed` `upstream_auth`, as existing clients know them. What HTTP itself refuses has no code: no token (401), a foreign page (403), no such route (404), a body that is too large (413, without a body).',
    table(
      ["Code", "HTTP status", "Exit code of `opta`"],
      Object.entries(errorCodes).map(([name, { httpStatus, kind }]) => [
        code(name),
        String(httpStatus),
        String(exitCodes[kind].exit),
      ]),
    ),
  ];
}

function parametersOf({ parameters = [], requestBody }: ApiOperation, path: string): string {
  const inUrl = parameters
    .filter(({ name }) => !path.includes(`{${name}}`))
    .map(({ name, required, schema }) => named(name, { required, schema }));
  const body = requestBody?.content["application/json"].schema;
  return [...inUrl, ...(body === undefined ? [] : [keysOf(body, nestedKeys)])].join(", ");
}

/** Keys of a parameter that is an object: ` {workspace?, path?}`; "" for every other. */
function nestedKeys(schema: JsonSchema): string {
  const { properties, required = [] } = schema;
  if (properties === undefined) return "";
  const keys = Object.keys(properties).map((key) => (required.includes(key) ? key : `${key}?`));
  return ` {${keys.join(", ")}}`;
}

function statusOf(operation: ApiOperation): string {
  return answersOf(operation)
    .map(([status]) => status)
    .join(", ");
}

/** What is no refusal of a kind that every route has; the first is the usual one. */
function answersOf({ responses }: ApiOperation): readonly (readonly [string, ApiResponse])[] {
  return Object.entries(responses).flatMap(([status, answer]) =>
    "description" in answer && /^(\d+|2XX)$/.test(status) ? [[status, answer] as const] : [],
  );
}

function answerOf(operation: ApiOperation): string {
  const [, answer] = answersOf(operation)[0] ?? [];
  const [content] = Object.entries(answer?.content ?? {});
  if (content === undefined) return "a WebSocket of events";
  const [type, { schema }] = content;
  const shown = schema["$ref"] === undefined ? keysOf(schema) : "an event";
  const isStream = type === "text/event-stream";
  return `${isStream ? "a stream: " : ""}${shown || "the model server's own"}`;
}

/** The keys of an object; of each variant, where there are several. */
function keysOf(
  schema: JsonSchema | undefined,
  inside: (value: JsonSchema) => string = () => "",
): string {
  const variants = (schema?.["oneOf"] ?? schema?.["anyOf"]) as readonly JsonSchema[] | undefined;
  if (variants !== undefined) return variants.map((each) => keysOf(each, inside)).join("; or ");
  const { properties = {}, required = [] } = schema ?? {};
  return Object.entries(properties)
    .map(
      ([name, value]) =>
        named(name, { required: required.includes(name), schema: value }) + inside(value),
    )
    .join(", ");
}

function named(
  name: string,
  { required, schema }: { readonly required: boolean; readonly schema: JsonSchema },
): string {
  const list = schema["type"] === "array" ? "[]" : "";
  const standard = schema.default === undefined ? "" : ` = ${JSON.stringify(schema.default)}`;
  const constant = schema["const"] === undefined ? "" : `: ${JSON.stringify(schema["const"])}`;
  return code(`${name}${list}${required ? "" : "?"}${standard}${constant}`);
}

/** The JSON at the beginning of a reply. */
function withCode(reply: string): string {
  const end = reply.lastIndexOf("}") + 1;
  return `${code(reply.slice(0, end))}${reply.slice(end)}`;
}

function code(text: string): string {
  return `\`${text}\``;
}

/** Aligned, so that the formatter leaves it as it is. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = head.map((_, column) =>
    Math.max(3, ...cells.map((row) => Bun.stringWidth(row[column] ?? ""))),
  );
  const line = (row: readonly string[]) => {
    const padded = row.map((cell, column) => {
      const missing = (widths[column] ?? 0) - Bun.stringWidth(cell);
      return `${cell}${" ".repeat(missing)}`;
    });
    return `| ${padded.join(" | ")} |`;
  };
  const [first = [], ...others] = cells;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(first), rule, ...others.map(line)].join("\n");
}
