// The model server of the crash checks, in a process of its own: an LMX whose model does what the plan in the user's
// last words says. Refuses what a strict server refuses and tells it under /refusals.
// Usage: bun crash-model-driver.ts; prints {"port":N} and runs until it is killed.
import { checkChatRequest } from "../../src/lmx-server/check-request.ts";
import { fakeModel, startFake, type FakeSocket } from "../../test/support/fake-model-server.ts";
import { fromWords, toToolCall } from "./crash-plan.ts";

interface Message {
  readonly role: string;
  readonly content: string | null;
}

/** So large that no conversation here is compacted: every user's message stays where it can be looked for. */
const windowTokens = 10_000_000;

const refusals: string[] = [];
let requestCount = 0;

const server = startFake({
  routes: {
    "/admin/models": () =>
      Response.json({
        loaded: [{ id: fakeModel, loaded: true, context_length: windowTokens }],
        count: 1,
      }),
    "/refusals": () => Response.json({ refusals, requestCount }),
  },
  onFrame: (socket, frame) => void answer(socket, frame),
});
await Bun.write(Bun.stdout, `${JSON.stringify({ port: server.port })}\n`);

async function answer(socket: FakeSocket, frame: string): Promise<void> {
  const requestId = `chatcmpl-${++requestCount}`;
  const send = (value: object) => socket.send(JSON.stringify({ request_id: requestId, ...value }));
  const body = JSON.parse(frame) as { readonly messages: readonly Message[] };
  const fault = faultOf(body);
  if (fault !== undefined) {
    refusals.push(fault);
    send({ type: "chat.error", error: fault });
    return;
  }
  const { messages } = body;
  const asked = messages.findLastIndex(
    ({ role, content }) => role === "user" && fromWords(content ?? "") !== undefined,
  );
  const plan = fromWords(messages[asked]?.content ?? "");
  const done = messages.slice(asked).filter(({ role }) => role === "assistant").length;
  const { tokens, calls } = plan?.steps[done] ?? { tokens: 1, calls: [] };
  for (let token = 0; token < tokens; token++) {
    if (plan !== undefined && plan.gapMs > 0) await Bun.sleep(plan.gapMs);
    // Bytes that a careless copy would change: quotes, a backslash, a character outside the first plane.
    const content = `word ${token} "\\" \u{1F600} `;
    const isThought = token === 0 && tokens > 6;
    send({ type: isThought ? "chat.reasoning" : "chat.token", content });
  }
  for (const [index, call] of calls.entries()) {
    const { name, arguments: args } = toToolCall(call);
    const tool_call = { index, id: call.id, name, arguments: JSON.stringify(args) };
    send({ type: "chat.tool_call", tool_call });
  }
  send({
    type: "chat.done",
    finish_reason: calls.length > 0 ? "tool_calls" : "stop",
    usage: { prompt_tokens: 1, completion_tokens: tokens },
  });
}

function faultOf(body: { readonly messages: readonly Message[] }): string | undefined {
  const loaded = {
    id: fakeModel,
    memoryGb: 1,
    loadedAt: 0,
    contextLength: null,
    readiness: "routable" as const,
  };
  const checked = checkChatRequest(body, { loaded: () => [loaded] } as never);
  if ("refused" in checked) return checked.refused.message;
  const { messages } = body;
  const twice = messages.findIndex(
    ({ role }, index) => role === messages[index - 1]?.role && role !== "tool",
  );
  return twice < 0
    ? undefined
    : `messages[${twice}]: two ${messages[twice]?.role} messages in a row`;
}
