// An engine that plays a scenario: turn k answers the k-th model request, and a request that is not the one
// the scenario expects is refused, so that a test or the demo cannot succeed by accident.
import { chatMessageText } from "./chat-request.ts";
import type { ChatRequestBody } from "./chat-request.ts";
import type { EngineEvent, LmxEngine, LmxModels, Refusal } from "./engine.ts";
import { pause } from "./pause.ts";
import type { Scenario, ScenarioTurn } from "./scenario.ts";
import { turnEvents } from "./scripted-turn.ts";
import type { PlayedTurn } from "./scripted-turn.ts";

/** Chunks that leave together when there is no delay between them. */
const batchChunks = 64;

export function createScriptedEngine(scenario: Scenario, models: LmxModels): LmxEngine {
  const { turns, loop } = scenario;
  let requests = 0;
  return {
    models,
    chat(request, context) {
      const requestNumber = requests++;
      const turn = turns[loop ? requestNumber % turns.length : requestNumber];
      if (!turn) return { refused: noTurn(requestNumber + 1, turns.length) };
      const refused = findMismatch(turn, { request, requestNumber }) ?? scriptedRefusal(turn);
      if (refused) return { refused };
      const bare = context.transport === "http" && turn.raw.sse !== undefined;
      return { events: playTurn({ turn, requestNumber, request, context }), bare };
    },
  };
}

async function* playTurn(played: PlayedTurn): AsyncGenerator<readonly EngineEvent[]> {
  const { signal } = played.context;
  const { firstTokenMs, betweenChunksMs } = played.turn.delays;
  if (firstTokenMs > 0) await pause(firstTokenMs, signal);
  let batch: EngineEvent[] = [];
  for (const event of turnEvents(played)) {
    if (signal.aborted) return;
    batch.push(event);
    // A raw piece leaves alone: how the bytes are cut is what such a turn is about.
    if (betweenChunksMs === 0 && batch.length < batchChunks && event.type !== "raw") continue;
    yield batch;
    batch = [];
    await pause(betweenChunksMs, signal);
  }
  if (batch.length > 0 && !signal.aborted) yield batch;
}

function noTurn(number: number, count: number): Refusal {
  const message = `scenario has no turn ${number} (it has ${count})`;
  return { status: 500, code: "scenario_exhausted", message };
}

function scriptedRefusal({ fault }: ScenarioTurn): Refusal | undefined {
  return fault?.kind === "http" ? fault : undefined;
}

/** What the turn expects must be in the messages since the model's last answer. */
function findMismatch(
  turn: ScenarioTurn,
  { request, requestNumber }: Pick<PlayedTurn, "request" | "requestNumber">,
): Refusal | undefined {
  const news = textSinceAnswer(request);
  const missing = turn.expect.find((text) => !news.includes(text));
  if (missing === undefined) return undefined;
  const message = `turn ${requestNumber + 1} expects '${missing}' since the last answer, which was: ${news.slice(0, 500)}`;
  return { status: 400, code: "scenario_mismatch", message };
}

function textSinceAnswer({ messages }: ChatRequestBody): string {
  const answer = messages.findLastIndex((message) => message.role === "assistant");
  return messages
    .slice(answer + 1)
    .map(chatMessageText)
    .join("\n");
}
