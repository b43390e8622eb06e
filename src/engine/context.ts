// How the model's window is shared out. For now one figure: how much of it an answer may take.

/** Tokens an answer may take where the window allows it: enough for a large edit, small next to 32k. */
const answerTokens = 8192;

/**
 * max_tokens of a request: a quarter of the window at most, so that small windows keep room for the prompt.
 * @param contextLength tokens; null when the server does not say
 */
export function outputReserveTokens(contextLength: number | null): number {
  if (contextLength === null) return answerTokens;
  return Math.max(256, Math.min(answerTokens, Math.floor(contextLength / 4)));
}
