// What is known of families of models by their names, where a server cannot tell. Every fact is from the
// family's chat template; an unknown model gets the cautious answer.

export type ReasoningPolicy = "resend" | "drop";

/**
 * Whether a model wants its reasoning back in its own messages (contracts/text-tool-calls.md rule 7): their
 * templates render `reasoning_content`, and they answer worse inside a tool loop without it. Never for Qwen,
 * whose template drops it, and never for unknown models.
 */
export function reasoningPolicy(model: string): ReasoningPolicy {
  return /minimax[-_ ]?m2|glm[-_ ]?(?:4\.[5-9]|[5-9])/i.test(model) ? "resend" : "drop";
}

/** Whether the template opens the thought, so that the answer starts inside it and only the closing tag is written. */
export function opensInThought(model: string): boolean {
  return (
    /qwen.*thinking|qwq|deepseek[-_ ]?r1|minimax[-_ ]?m2|glm[-_ ]?4\.[7-9]|kimi[-_ ]?k2\.[5-9]/i.test(
      model,
    ) ||
    (/qwen[-_ ]?3\.[5-9]/i.test(model) && !/coder|instruct/i.test(model))
  );
}
