// The smallest valid chat request, for tests of the LMX server.

export function chatRequest(fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    type: "chat.request",
    model: "scripted",
    messages: [{ role: "user", content: "Hello" }],
    stream: true,
    max_tokens: 100,
    ...fields,
  };
}

/** As POST /v1/chat/completions. */
export function postChat(
  url: string,
  fields: Record<string, unknown> = {},
  init: RequestInit = {},
): Promise<Response> {
  const body = JSON.stringify(chatRequest(fields));
  return fetch(`${url}/v1/chat/completions`, { method: "POST", body, ...init });
}
