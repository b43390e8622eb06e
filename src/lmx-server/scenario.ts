/*
 * A scenario: what a scripted model server has and says, as JSON. Turn k answers the k-th valid model request,
 * whichever way it came. Every field but `turns` may be left out, an unknown one is an error.
 *
 * {
 *   "models": [
 *     { "id": "qwen-72b", "sizeGb": 40, "contextLength": 32768 },
 *     { "id": "small", "state": "on-disk", "loadMs": 200 },
 *     { "id": "remote", "state": "downloadable", "downloadMs": 100 }
 *   ],
 *   "turns": [
 *     { "thinking": "The user greets me.", "text": "Hello, how are you?" },
 *     { "text": "I read it.", "toolCalls": [{ "name": "read_file", "arguments": { "path": "a.txt" } }] },
 *     { "expect": "contents of a.txt", "text": "Done.", "usage": { "promptTokens": 90, "completionTokens": 2 } },
 *     { "text": "a b c d", "delays": { "firstTokenMs": 500, "betweenChunksMs": 20 } },
 *     { "repeat": { "text": "x ", "times": 5000 } },
 *     { "text": "half an ans", "fault": { "kind": "drop", "atChunk": 2 } },
 *     { "fault": { "kind": "http", "status": 429, "retryAfterSeconds": 1 } },
 *     { "raw": { "sse": ["data: [DO", "NE]\r\n\r\n"], "ws": [{ "type": "done", "request_id": "$id" }] } }
 *   ],
 *   "loop": false,
 *   "server": { "apiKey": "k", "webSocket": false, "routes": [{ "path": "/healthz", "status": 503, "body": "no" }] }
 * }
 *
 * A turn streams thinking, then text, then `repeat`, then tool calls, then its finish. Chunks are counted over
 * all of these from 0; a fault happens before chunk `atChunk`, at the latest before the finish.
 */
import * as z from "zod";
import { OptaError } from "../protocol/error.ts";
import { readinessStates } from "./engine.ts";

const delayMs = z.number().int().min(0);
const atChunk = z.number().int().min(0).default(0);
const httpStatus = z.number().int().min(200).max(599);

const modelSchema = z.strictObject({
  id: z.string().min(1),
  /** `on-disk` can be loaded; `downloadable` can be once it was downloaded. */
  state: z.enum(["loaded", "on-disk", "downloadable"]).default("loaded"),
  /** GiB, on disk and in memory. */
  sizeGb: z.number().positive().default(4),
  /** Tokens; null when the server does not say. */
  contextLength: z.number().int().positive().nullable().default(32_768),
  /** What readiness says once it is loaded. */
  readiness: z.enum(readinessStates).default("routable"),
  loadMs: delayMs.default(0),
  downloadMs: delayMs.default(0),
  /** Loading it fails so: `{"status": 507, "code": "insufficient_memory", "message": "…"}`. */
  loadError: z
    .strictObject({ status: httpStatus, code: z.string().nullable(), message: z.string() })
    .optional(),
});

const toolCallSchema = z.strictObject({
  name: z.string(),
  /** An object, or the JSON text itself ("" and invalid text included). */
  arguments: z.union([z.string(), z.record(z.string(), z.unknown())]),
  /** `fragments`: pieces of 5 characters; `object`: not as a string (both against contracts/lmx.md section 1, on purpose). */
  as: z.enum(["string", "object", "fragments"]).default("string"),
  /** Made up when absent; null leaves the key out. */
  id: z.string().nullable().optional(),
  /** Its position when absent; null leaves the key out. */
  index: z.number().int().nullable().optional(),
});

const faultSchema = z.discriminatedUnion("kind", [
  /** The connection breaks: over HTTP a TCP reset, over WebSocket an end without close frame (1006). */
  z.strictObject({ kind: z.literal("drop"), atChunk }),
  /** A close frame (1000, 1001, 1005 …); over SSE the body ends cleanly, without finish and [DONE]. */
  z.strictObject({ kind: z.literal("close"), atChunk, code: z.number().int().default(1000) }),
  /** `chat.error`, or `data: {"error":…}`; disguised: SSE's `\n\n[Error: …]` and finish "stop". */
  z.strictObject({
    kind: z.literal("error"),
    atChunk,
    message: z.string().default("Stream inference failed: scripted"),
    code: z.string().nullable().default(null),
    retryAfterSeconds: z.number().min(0).optional(),
    disguised: z.boolean().default(false),
  }),
  /** A frame or `data:` line of nonsense; the turn goes on after it. */
  z.strictObject({
    kind: z.literal("garbage"),
    atChunk,
    text: z.string().default("{this is not json"),
    binary: z.boolean().default(false),
  }),
  /** Nothing more comes and the connection stays open. */
  z.strictObject({ kind: z.literal("silence"), atChunk }),
  /** SSE: the finish comes, `[DONE]` does not. */
  z.strictObject({ kind: z.literal("no-end-marker") }),
  /** Refused before anything is streamed: this status, over WebSocket `chat.error`. */
  z.strictObject({
    kind: z.literal("http"),
    status: httpStatus,
    message: z.string().default("scripted refusal"),
    code: z.string().nullable().default(null),
    retryAfterSeconds: z.number().min(0).optional(),
    /** Instead of the OpenAI shape, verbatim. */
    body: z.string().optional(),
  }),
]);

const chunkingSchema = z.union([
  z.enum(["whole", "words"]),
  z.strictObject({ everyChars: z.number().int().positive() }),
]);

const turnSchema = z.strictObject({
  /** Each must occur in the messages since the last answer (tool results, or what the user said), else the turn is refused. */
  expect: z.union([z.string().transform((text) => [text]), z.array(z.string())]).default([]),
  thinking: z.string().default(""),
  /** `tags`: `<think>…</think>` in the text; otherwise the name of SSE's delta key, over WebSocket `chat.reasoning`. */
  thinkingAs: z.enum(["reasoning_content", "reasoning", "tags"]).default("reasoning_content"),
  /** A list gives the chunks as they are. */
  text: z.union([z.string(), z.array(z.string())]).default(""),
  chunks: chunkingSchema.default("words"),
  /** After the text, this many chunks of the same text. */
  repeat: z.strictObject({ text: z.string(), times: z.number().int().min(0) }).optional(),
  toolCalls: z.array(toolCallSchema).default([]),
  /** As LMX counts (characters / 4, chunks) when absent; null sends none. */
  usage: z
    .strictObject({ promptTokens: z.number().int(), completionTokens: z.number().int() })
    .nullable()
    .optional(),
  /** SSE, when the client asks for usage: in a chunk of its own, or with the finish. */
  usageIn: z.enum(["own-chunk", "last-chunk"]).default("own-chunk"),
  /** "tool_calls" or "stop" when absent. */
  finishReason: z.string().optional(),
  delays: z
    .strictObject({ firstTokenMs: delayMs.default(0), betweenChunksMs: delayMs.default(0) })
    .prefault({}),
  /** Instead of all that, for this transport: what to write, piece by piece; `$id` becomes the request's id. */
  raw: z
    .strictObject({
      ws: z.array(z.union([z.string(), z.record(z.string(), z.unknown())])).optional(),
      /** One piece per write; `{"base64": …}` for bytes. */
      sse: z.array(z.union([z.string(), z.strictObject({ base64: z.base64() })])).optional(),
    })
    .prefault({}),
  fault: faultSchema.optional(),
});

const routeSchema = z.strictObject({
  method: z.string().optional(),
  /** Exact, or a prefix when it ends in `*`. */
  path: z.string().startsWith("/"),
  /** For the first so many requests only. */
  times: z.number().int().positive().optional(),
  delayMs: delayMs.default(0),
  /** Never answers. */
  hang: z.boolean().default(false),
  /** Without it the request goes its usual way after the delay. */
  status: httpStatus.optional(),
  headers: z.record(z.string(), z.string()).default({}),
  /** A string is sent as it is, anything else as JSON. */
  body: z.json().optional(),
});

const serverSchema = z.strictObject({
  adminKey: z.string().optional(),
  apiKey: z.string().optional(),
  version: z.string().optional(),
  /** False: upgrades get 403 and discovery says null. A path: served there, 403 elsewhere. */
  webSocket: z.union([z.boolean(), z.string().startsWith("/")]).default(true),
  /** 0 sends none. */
  progressEveryMs: delayMs.optional(),
  pingEveryMs: delayMs.optional(),
  /** Off as in real LMX: loading what is not on disk is then a 403. */
  downloads: z.boolean().default(false),
  /** Answers in place of the usual ones, upgrades included; the first that matches counts. */
  routes: z.array(routeSchema).default([]),
});

export const scenarioSchema = z.strictObject({
  models: z.array(modelSchema).default([modelSchema.parse({ id: "scripted" })]),
  turns: z.array(turnSchema),
  /** Begin again after the last turn. */
  loop: z.boolean().default(false),
  server: serverSchema.prefault({}),
});

/** As one writes it. */
export type ScenarioInput = z.input<typeof scenarioSchema>;
/** With everything filled in. */
export type Scenario = z.output<typeof scenarioSchema>;
export type ScenarioTurn = Scenario["turns"][number];
export type ScenarioModel = Scenario["models"][number];
export type ScenarioRoute = Scenario["server"]["routes"][number];

/** @throws OptaError config-invalid naming the first wrong field. */
export function parseScenario(value: unknown): Scenario {
  const parsed = scenarioSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new OptaError(
    "config-invalid",
    `the scenario is malformed: ${z.prettifyError(parsed.error)}`,
    "its format is described in src/lmx-server/scenario.ts",
  );
}
