// A model server that never tires: every request is answered by a steady stream of tokens, each of which says when it
// left, until it is told to end. What a delivery took is then known to whoever reads the token.
import { aborted } from "../../src/lmx-server/pause.ts";
import { parseScenario } from "../../src/lmx-server/scenario.ts";
import { createScriptedModels } from "../../src/lmx-server/scripted-models.ts";
import type { EngineEvent, LmxEngine } from "../../src/lmx-server/engine.ts";
import { type LmxServer, startLmxServer } from "../../src/lmx-server/server.ts";

export interface SteadyModel extends AsyncDisposable {
  readonly port: number;
  /** Every answer ends with its next token. */
  end(): void;
}

/** @param tokensPerSecond of each answer */
export function startSteadyModel({
  tokensPerSecond,
}: {
  readonly tokensPerSecond: number;
}): SteadyModel {
  const ending = new AbortController();
  const engine: LmxEngine = {
    models: createScriptedModels(parseScenario({ turns: [] })),
    chat: (_request, { signal }) => ({
      bare: false,
      events: speak(1000 / tokensPerSecond, { ending: ending.signal, signal }),
    }),
  };
  const server: LmxServer = startLmxServer({ engine });
  return {
    port: server.port,
    end: () => ending.abort(),
    [Symbol.asyncDispose]: server.stop,
  };
}

/** Kept to the beat: a token that is late does not delay the next one. */
async function* speak(
  everyMs: number,
  { ending, signal }: { readonly ending: AbortSignal; readonly signal: AbortSignal },
): AsyncGenerator<readonly EngineEvent[]> {
  const startedMs = performance.now();
  const ended = Promise.race([aborted(ending), aborted(signal)]);
  for (let count = 0; !ending.aborted && !signal.aborted; count++) {
    yield [{ type: "text", text: stampedToken() }];
    const waitMs = startedMs + (count + 1) * everyMs - performance.now();
    await Promise.race([Bun.sleep(Math.max(0, waitMs)), ended]);
  }
  if (signal.aborted) return;
  const usage = { promptTokens: 1, completionTokens: 1 };
  yield [{ type: "done", finishReason: "stop", usage, usageIn: "own-chunk", endMarker: true }];
}

/** Milliseconds since the epoch, with fractions; the same clock in every process of a machine. */
export function preciseNowMs(): number {
  return performance.timeOrigin + performance.now();
}

const stampMark = "@";

function stampedToken(): string {
  return `${stampMark}${preciseNowMs().toFixed(3)} and some words as a model says them `;
}

/** When the token left, of an envelope that carries one. */
export function stampOf(text: string): number | undefined {
  if (!text.startsWith('{"v":"3","event":"turn.token"')) return undefined;
  const at = text.indexOf(`"text":"${stampMark}`);
  return at < 0 ? undefined : Number.parseFloat(text.slice(at + 9, at + 30));
}
