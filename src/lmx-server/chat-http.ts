// POST /v1/chat/completions: as one JSON object, or as server-sent events (contracts/lmx.md section 2). A
// failure before the first byte is a status; a later one is `data: {"error":…}` and no finish.
import type { ChatRequestBody } from "./chat-request.ts";
import { checkChatRequest } from "./check-request.ts";
import { collectAnswer } from "./collect-answer.ts";
import type { EngineEvent, LmxEngine, Refusal } from "./engine.ts";
import { json, refusalResponse } from "./http-error.ts";
import { parseJson } from "./json-text.ts";
import { aborted } from "./pause.ts";
import { createRequestId } from "./request-id.ts";
import type { RequestRecorder } from "./request-log.ts";
import { roleChunk, toChunks, toToolCallDelta, toUsage } from "./sse-chunks.ts";
import type { ChunkHead } from "./sse-chunks.ts";

export interface ChatHttpOptions {
  /** The request's body, already read. */
  readonly body: string;
  readonly engine: LmxEngine;
  readonly recorder: RequestRecorder;
}

const servingLanes = new Set(["interactive", "throughput"]);
/** Lets what was sent before leave the machine before the connection is broken. */
const flushMs = 5;

/** The answer with `X-Request-ID`, echoed where the client sent one. */
export async function answerChat(request: Request, options: ChatHttpOptions): Promise<Response> {
  const requestId = createRequestId();
  const response = await respond(request, { ...options, requestId });
  response.headers.set("X-Request-ID", request.headers.get("x-request-id") ?? `req-${requestId}`);
  return response;
}

async function respond(
  { headers, signal }: Request,
  { body, engine, recorder, requestId }: ChatHttpOptions & { readonly requestId: string },
): Promise<Response> {
  const checked = checkHeaders(headers) ?? checkBody(body, engine);
  const answer =
    "refused" in checked
      ? checked
      : { ...checked, ...engine.chat(checked.request, { requestId, transport: "http", signal }) };
  if ("refused" in answer) {
    recorder.sent(1);
    recorder.end("error");
    return refusalResponse(answer.refused);
  }
  const { request, events, bare } = answer;
  const head: ChunkHead = {
    id: requestId,
    created: Math.floor(Date.now() / 1000),
    model: request.model,
    withUsage: request.stream_options?.include_usage === true,
  };
  const outlet = { head, recorder, signal, bare };
  return request.stream === true ? streamResponse(events, outlet) : wholeResponse(events, outlet);
}

interface Outlet {
  readonly head: ChunkHead;
  readonly recorder: RequestRecorder;
  readonly signal: AbortSignal;
  readonly bare: boolean;
}

/** Headers and role chunk leave at once, as LMX's do, while the model still reads the prompt. */
function streamResponse(
  events: AsyncIterable<readonly EngineEvent[]>,
  { head, recorder, signal, bare }: Outlet,
): Response {
  const batches = events[Symbol.asyncIterator]();
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      if (bare) return;
      controller.enqueue(Buffer.from(roleChunk(head)));
      recorder.sent(1);
    },
    async pull(controller) {
      const next = await batches.next();
      if (next.done || signal.aborted) return controller.close();
      const bytes = Buffer.concat(next.value.map((event) => Buffer.from(toChunks(event, head))));
      if (bytes.length > 0) {
        controller.enqueue(bytes);
        recorder.sent(next.value.length);
      }
      const end = next.value.at(-1);
      if (end) await endWith(end, { controller, recorder, signal });
    },
    async cancel() {
      recorder.end("gone");
      await batches.return?.();
    },
  });
  return new Response(stream, {
    headers: { "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache" },
  });
}

interface Ending {
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  readonly recorder: RequestRecorder;
  readonly signal: AbortSignal;
}

/** Does what the last event of a batch asks of the body. */
async function endWith(
  event: EngineEvent,
  { controller, recorder, signal }: Ending,
): Promise<void> {
  switch (event.type) {
    case "done":
    case "error":
      recorder.end(event.type);
      return controller.close();
    case "drop":
      recorder.end("fault");
      await Bun.sleep(flushMs);
      return controller.error(new Error("dropped"));
    case "close":
      recorder.end("fault");
      return controller.close();
    case "silence":
      recorder.end("fault");
      return aborted(signal);
    case "text":
    case "thinking":
    case "tool_call":
    case "raw":
      return;
  }
}

async function wholeResponse(
  events: AsyncIterable<readonly EngineEvent[]>,
  { head, recorder, signal }: Outlet,
): Promise<Response> {
  const { text, thinking, calls, end } = await collectAnswer(events);
  if (end?.type === "silence") await aborted(signal);
  recorder.sent(1);
  if (end?.type === "error") {
    recorder.end("error");
    return refusalResponse({ status: 500, ...end });
  }
  if (end?.type !== "done") {
    recorder.end(signal.aborted ? "gone" : "fault");
    return new Response(new ReadableStream({ pull: (body) => body.error(new Error("dropped")) }));
  }
  recorder.end("done");
  const message = {
    role: "assistant",
    content: text === "" ? null : text,
    reasoning_content: thinking === "" ? undefined : thinking,
    tool_calls: calls.length > 0 ? calls.map(toToolCallDelta) : null,
  };
  return json({
    id: head.id,
    object: "chat.completion",
    created: head.created,
    model: head.model,
    choices: [{ index: 0, message, finish_reason: end.finishReason }],
    usage: toUsage(end.usage),
  });
}

function checkHeaders(headers: Headers): { readonly refused: Refusal } | undefined {
  const lane = headers.get("x-serving-lane");
  if (lane === null || servingLanes.has(lane)) return undefined;
  const message = `X-Serving-Lane is 'interactive' or 'throughput', not '${lane}'`;
  return { refused: { status: 400, code: "invalid_header", message } };
}

function checkBody(
  body: string,
  engine: LmxEngine,
): { readonly request: ChatRequestBody } | { readonly refused: Refusal } {
  const value = parseJson(body);
  if (value !== undefined) return checkChatRequest(value, engine.models);
  return { refused: { status: 400, code: "invalid_request", message: "the body is not JSON" } };
}
