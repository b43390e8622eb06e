// A model server whose model works for as many steps as a test wants: each request is answered by a function of
// its number instead of a fixed list, requests without tools (summaries) apart. It refuses what a strict server
// refuses (order, roles, what exceeds the window) and keeps every request as it came.
import { checkChatRequest } from "../../src/lmx-server/check-request.ts";
import { fakeModel, startFake, type FakeModelServer } from "./fake-model-server.ts";

export interface ModelAnswer {
  readonly text?: string;
  readonly thinking?: string;
  readonly calls?: readonly { readonly name: string; readonly arguments: object }[];
  readonly promptTokens?: number;
  readonly finishReason?: string;
  /** Instead of an answer. */
  readonly error?: string;
}

export interface SentRequest {
  /** The frame, byte for byte. */
  readonly text: string;
  readonly isSummary: boolean;
  readonly messages: readonly { readonly role: string; readonly content: string | null }[];
}

export interface EndlessModel extends Disposable {
  readonly port: number;
  readonly requests: SentRequest[];
  /** Why requests were refused; empty in a healthy run. */
  readonly refusals: string[];
}

interface Endless {
  /** Tokens; null: the server does not say, and refuses nothing for its size. */
  readonly window: number | null;
  /** @param number counts the requests with tools from 1 */
  readonly step: (number: number, promptBytes: number) => ModelAnswer;
  readonly summary?: () => ModelAnswer;
}

export function startEndlessModel(options: Endless): EndlessModel {
  const requests: SentRequest[] = [];
  const refusals: string[] = [];
  let steps = 0;
  const fake: FakeModelServer = startFake({
    routes: {
      "/admin/models": () =>
        Response.json({
          loaded: [{ id: fakeModel, loaded: true, context_length: options.window }],
          count: 1,
        }),
    },
    onFrame(socket, frame) {
      const requestId = `chatcmpl-${requests.length}`;
      const send = (value: object) =>
        socket.send(JSON.stringify({ request_id: requestId, ...value }));
      const body = JSON.parse(frame) as { messages: SentRequest["messages"]; tools?: unknown[] };
      const isSummary = body.tools === undefined;
      requests.push({ text: frame, isSummary, messages: body.messages });
      const fault = faultOf(body, options.window);
      if (fault !== undefined) {
        refusals.push(fault);
        send({ type: "chat.error", error: fault });
        return;
      }
      if (!isSummary) steps += 1;
      const answer = isSummary
        ? (options.summary?.() ?? { text: "The files were read." })
        : options.step(steps, Buffer.byteLength(frame));
      if (answer.error !== undefined) {
        send({ type: "chat.error", error: answer.error });
        return;
      }
      if (answer.thinking) send({ type: "chat.reasoning", content: answer.thinking });
      if (answer.text) send({ type: "chat.token", content: answer.text });
      for (const [index, call] of (answer.calls ?? []).entries()) {
        const id = `call_${requests.length}_${index}`;
        const text = JSON.stringify(call.arguments);
        send({
          type: "chat.tool_call",
          tool_call: { index, id, name: call.name, arguments: text },
        });
      }
      send({
        type: "chat.done",
        finish_reason: answer.finishReason ?? (answer.calls ? "tool_calls" : "stop"),
        usage: { prompt_tokens: answer.promptTokens ?? 0, completion_tokens: 1 },
      });
    },
  });
  return { port: fake.port, requests, refusals, [Symbol.dispose]: () => fake[Symbol.dispose]() };
}

function faultOf(
  body: { readonly messages: SentRequest["messages"] },
  window: number | null,
): string | undefined {
  const loaded = {
    id: fakeModel,
    memoryGb: 1,
    loadedAt: 0,
    contextLength: window,
    readiness: "routable" as const,
  };
  const checked = checkChatRequest(body, { loaded: () => [loaded] } as never);
  if ("refused" in checked) return checked.refused.message;
  const roles = body.messages.map((message) => message.role);
  const twice = roles.findIndex(
    (role, index) => role === roles[index - 1] && (role === "user" || role === "assistant"),
  );
  return twice < 0 ? undefined : `messages[${twice}]: two ${roles[twice]} messages in a row`;
}

/** Indexes of requests that are no byte prefix of the one after them, summaries left out. */
export function prefixBreaks(requests: readonly SentRequest[]): readonly number[] {
  const texts = requests.filter((request) => !request.isSummary).map((request) => request.text);
  return texts.flatMap((text, index) => {
    const next = texts[index + 1];
    // Only the closing of the list of messages and of the object may differ.
    return next === undefined || next.startsWith(`${text.slice(0, -"]}".length)},`) ? [] : [index];
  });
}
