// What POST /v1/messages takes, and what it refuses (platform.claude.com/docs, "Messages", "Tool use"): the rules
// that a client which comes from the OpenAI shape is most likely to break.

export type Block =
  | { readonly type: "text"; readonly text: string; readonly cache_control?: object }
  | { readonly type: "thinking"; readonly thinking: string; readonly signature: string }
  | { readonly type: "redacted_thinking"; readonly data: string }
  | {
      readonly type: "tool_use";
      readonly id: string;
      readonly name: string;
      readonly input: object;
    }
  | { readonly type: "tool_result"; readonly tool_use_id: string; readonly content?: string }
  | { readonly type: "image"; readonly source: object };

export interface MessagesBody {
  readonly model: string;
  readonly max_tokens: number;
  readonly stream: boolean;
  readonly cache_control?: object;
  readonly thinking?: object;
  readonly output_config?: object;
  readonly system?: readonly Block[];
  readonly tools?: readonly {
    readonly name: string;
    readonly input_schema: { readonly type: string };
    readonly cache_control?: object;
  }[];
  readonly messages: readonly {
    readonly role: "user" | "assistant";
    readonly content: readonly Block[];
  }[];
}

/** Why the API would answer 400; undefined when it would not. */
export function findRequestProblem(body: MessagesBody): string | undefined {
  if (typeof body.max_tokens !== "number" || body.max_tokens < 1)
    return "max_tokens: field required";
  if (body.messages.length === 0) return "messages: at least one message is required";
  const ids = new Set<string>();
  for (const [index, { role, content }] of body.messages.entries()) {
    const at = `messages.${index}`;
    if (role !== "user" && role !== "assistant") return `${at}: unexpected role ${String(role)}`;
    if (content.length === 0) return `${at}: all messages must have non-empty content`;
    const calls = content.filter((block) => block.type === "tool_use");
    for (const { id, input } of calls) {
      if (!/^[a-zA-Z0-9_-]+$/.test(id))
        return `${at}: tool_use id does not match the pattern: ${id}`;
      if (ids.has(id)) return `${at}: tool_use ids must be unique: ${id}`;
      if (typeof input !== "object") return `${at}: tool_use input must be an object`;
      ids.add(id);
    }
    const blank = content.some((block) => block.type === "text" && block.text.trim() === "");
    if (blank) return `${at}: text content blocks must contain non-whitespace text`;
    if (calls.length > 0) {
      const results = (body.messages[index + 1]?.content ?? [])
        .slice(0, calls.length)
        .map((block) => (block.type === "tool_result" ? block.tool_use_id : ""));
      const missing = calls.find(({ id }) => !results.includes(id));
      if (missing !== undefined)
        return `${at}: tool_use ids without tool_result blocks immediately after: ${missing.id}`;
    }
    for (const block of content) {
      if (block.type === "tool_result" && !ids.has(block.tool_use_id)) {
        return `${at}: unexpected tool_use_id in tool_result: ${block.tool_use_id}`;
      }
      if (block.type === "thinking" && block.signature === "")
        return `${at}: thinking without signature`;
    }
  }
  return undefined;
}
