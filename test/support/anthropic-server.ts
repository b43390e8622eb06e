// A server that speaks Anthropic's Messages API and plays a scenario (src/lmx-server/scenario.ts), so that the
// provider contract runs over it: events as documented at platform.claude.com/docs, "Streaming messages". It is
// strict where the API is: a request that the API would refuse is refused here with 400.
import type { ChatRequestBody } from "../../src/lmx-server/chat-request.ts";
import type { EngineEvent, EngineUsage, Refusal } from "../../src/lmx-server/engine.ts";
import { parseScenario, type ScenarioInput } from "../../src/lmx-server/scenario.ts";
import { createScriptedEngine } from "../../src/lmx-server/scripted-engine.ts";
import { createScriptedModels } from "../../src/lmx-server/scripted-models.ts";
import { findRequestProblem, type MessagesBody } from "./anthropic-request.ts";

export interface AnthropicRecord {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  running: boolean;
}

export interface AnthropicServer extends AsyncDisposable {
  readonly port: number;
  /** For ANTHROPIC_BASE_URL. */
  readonly url: string;
  /** Everything that arrived. */
  readonly traffic: readonly AnthropicRecord[];
  /** The bodies of the model requests, byte for byte. */
  chatTexts(): readonly string[];
  chats(): readonly MessagesBody[];
  /** Model requests that are being answered right now. */
  running(): number;
}

export interface AnthropicServerOptions {
  /** The key it takes; any other is a 401. */
  readonly apiKey?: string;
  /** What GET /v1/models/ID says of every model's thinking and effort. */
  readonly thinks?: boolean;
  /** Answers in place of the usual ones. */
  readonly intercept?: (request: Request) => Response | undefined;
}

/** The signature that every thinking block gets. */
export const thinkingSignature = "c2lnbmVkIGJ5IHRoZSBtb2RlbA==";
const notFound = { status: 404, code: "not_found_error", message: "model: no such model" };

export async function startAnthropic(
  input: ScenarioInput,
  options: AnthropicServerOptions = {},
): Promise<AnthropicServer> {
  const scenario = parseScenario(input);
  const models = createScriptedModels(scenario);
  const engine = createScriptedEngine(scenario, models);
  const traffic: AnthropicRecord[] = [];

  const answerModel = (wanted: string): Response => {
    const known = models.loaded();
    const tail = (id: string) => id.slice(id.lastIndexOf("/") + 1).toLowerCase();
    const model = known.find(({ id }) => id === wanted || tail(id) === wanted.toLowerCase());
    return model === undefined ? refuse(notFound) : Response.json(modelInfo(model, options.thinks));
  };

  const answerMessages = (record: AnthropicRecord, signal: AbortSignal): Response => {
    const body = JSON.parse(record.body) as MessagesBody;
    const problem = findRequestProblem(body);
    if (problem !== undefined) {
      return refuse({ status: 400, code: "invalid_request_error", message: problem });
    }
    const request = toChatRequest(body);
    const answer = engine.chat(request, { requestId: "msg_1", transport: "http", signal });
    if ("refused" in answer) return refuse(answer.refused);
    return stream({ events: answer.events, record, signal, body });
  };

  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    development: false,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      const record: AnthropicRecord = {
        method: request.method,
        path: pathname,
        headers: Object.fromEntries(request.headers),
        body: await request.text(),
        running: false,
      };
      traffic.push(record);
      const intercepted = options.intercept?.(request);
      if (intercepted !== undefined) return intercepted;
      if (options.apiKey !== undefined && keyOf(record) !== options.apiKey) {
        return refuse({
          status: 401,
          code: "authentication_error",
          message: `invalid key ${keyOf(record)}`,
        });
      }
      if (request.method === "GET" && pathname === "/v1/models") {
        const data = models.loaded().map((model) => modelInfo(model, options.thinks));
        return Response.json({ data, has_more: false, first_id: null, last_id: null });
      }
      if (request.method === "GET" && pathname.startsWith("/v1/models/")) {
        return answerModel(decodeURIComponent(pathname.slice("/v1/models/".length)));
      }
      const isChat = request.method === "POST" && pathname === "/v1/messages";
      return isChat ? answerMessages(record, request.signal) : refuse(notFound);
    },
  });

  const chats = () => traffic.filter(({ path }) => path === "/v1/messages");
  return {
    port: server.port ?? 0,
    url: `http://127.0.0.1:${server.port}`,
    traffic,
    chatTexts: () => chats().map(({ body }) => body),
    chats: () => chats().map(({ body }) => JSON.parse(body) as MessagesBody),
    running: () => chats().filter(({ running }) => running).length,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

function keyOf({ headers }: AnthropicRecord): string | undefined {
  return headers["x-api-key"] ?? headers["authorization"]?.replace(/^Bearer /, "");
}

function refuse({ status, code, message, retryAfterSeconds, body }: Refusal): Response {
  const headers: Record<string, string> =
    retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) };
  if (body !== undefined) return new Response(body, { status, headers });
  return Response.json(
    { type: "error", error: { type: code ?? "api_error", message }, request_id: "req_1" },
    { status, headers },
  );
}

function modelInfo(
  model: { readonly id: string; readonly contextLength: number | null },
  thinks = false,
) {
  const yes = { supported: thinks };
  return {
    type: "model",
    id: model.id,
    display_name: model.id,
    created_at: "2026-01-01T00:00:00Z",
    max_input_tokens: model.contextLength,
    max_tokens: 64_000,
    capabilities: {
      thinking: { supported: thinks, types: { adaptive: yes, enabled: yes } },
      effort: { supported: thinks, low: yes, medium: yes, high: yes },
    },
  };
}

/** As much of the request as the scripted engine looks at. */
function toChatRequest(body: MessagesBody): ChatRequestBody {
  const messages = body.messages.map(({ role, content }) => ({
    role,
    content: content
      .map((block) =>
        block.type === "text"
          ? block.text
          : block.type === "tool_result"
            ? (block.content ?? "")
            : "",
      )
      .join("\n"),
  }));
  return { model: body.model, messages, stream: true };
}

function stream(playing: {
  readonly events: AsyncIterable<readonly EngineEvent[]>;
  readonly record: AnthropicRecord;
  readonly signal: AbortSignal;
  readonly body: MessagesBody;
}): Response {
  const { events, record, signal, body } = playing;
  const writer = createEventWriter(body);
  const batches = events[Symbol.asyncIterator]();
  const end = () => void (record.running = false);
  record.running = true;
  const source = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(Buffer.from(writer.begin())),
    async pull(controller) {
      const next = await batches.next();
      if (next.done || signal.aborted) {
        end();
        return controller.close();
      }
      const text = next.value.map((event) => writer.write(event)).join("");
      if (text !== "") controller.enqueue(Buffer.from(text));
      const last = next.value.at(-1)?.type;
      if (last === "drop") {
        end();
        // A connection that breaks takes along what its reader has not taken yet.
        await Bun.sleep(25);
        return controller.error(new Error("dropped"));
      }
      if (last === "silence")
        return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
      if (last === "done" || last === "error" || last === "close") {
        end();
        controller.close();
      }
    },
    async cancel() {
      end();
      await batches.return?.();
    },
  });
  return new Response(source, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
}

/** Engine events as the API's: blocks opened and closed where the kind changes. */
function createEventWriter({ model, max_tokens: maxTokens }: MessagesBody) {
  let index = -1;
  let open: "text" | "thinking" | number | undefined;
  const send = (type: string, fields: object) =>
    `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
  const delta = (fields: object) => send("content_block_delta", { index, delta: fields });
  const close = () => {
    if (open === undefined) return "";
    const signed =
      open === "thinking" ? delta({ type: "signature_delta", signature: thinkingSignature }) : "";
    open = undefined;
    return signed + send("content_block_stop", { index });
  };
  const enter = (kind: NonNullable<typeof open>, block: object) => {
    if (open === kind) return "";
    const closed = close();
    index += 1;
    open = kind;
    return closed + send("content_block_start", { index, content_block: block });
  };
  const usage = ({ promptTokens, completionTokens }: EngineUsage) => ({
    input_tokens: promptTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: completionTokens,
  });
  return {
    begin: () =>
      send("message_start", {
        message: {
          id: "msg_1",
          type: "message",
          role: "assistant",
          model,
          content: [],
          stop_reason: null,
          usage: usage({ promptTokens: 1, completionTokens: 1 }),
        },
      }) + send("ping", {}),
    write(event: EngineEvent): string {
      switch (event.type) {
        case "text":
          return (
            enter("text", { type: "text", text: "" }) +
            delta({ type: "text_delta", text: event.text })
          );
        case "thinking":
          return (
            enter("thinking", { type: "thinking", thinking: "", signature: "" }) +
            delta({ type: "thinking_delta", thinking: event.text })
          );
        case "tool_call": {
          const { id, name, index: position = 0, arguments: value } = event.call;
          const begun =
            name === undefined
              ? ""
              : enter(position, {
                  type: "tool_use",
                  id: id?.replace("call_", "toolu_"),
                  name,
                  input: {},
                });
          const text = typeof value === "string" ? value : JSON.stringify(value);
          return (
            begun + (text === "" ? "" : delta({ type: "input_json_delta", partial_json: text }))
          );
        }
        case "done": {
          const counted = event.usage ?? { promptTokens: 1, completionTokens: 1 };
          const isCut = counted.completionTokens >= maxTokens;
          const reasons: Record<string, string> = {
            tool_calls: "tool_use",
            stop: "end_turn",
            length: "max_tokens",
          };
          const reason = isCut ? "max_tokens" : (reasons[event.finishReason] ?? event.finishReason);
          return (
            close() +
            send("message_delta", {
              delta: { stop_reason: reason, stop_sequence: null },
              usage: usage(counted),
            }) +
            send("message_stop", {})
          );
        }
        case "error":
          return send("error", {
            error: { type: event.code ?? "api_error", message: event.message },
          });
        case "raw":
          return typeof event.data === "string" ? event.data : new TextDecoder().decode(event.data);
        case "drop":
        case "close":
        case "silence":
          return "";
      }
    },
  };
}
