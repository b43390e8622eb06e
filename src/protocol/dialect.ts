// How events are named on the wire. Inside there is one set of names; the existing Opta Code client knows
// `tool.end` where we say `tool.result`, and shows every `turn.progress` as a card of JSON
// (contracts/daemon-v3.md sections 0.1 and 3). This is the one place that knows the old names.
import { toldPhases } from "./progress.ts";

export const dialects = ["opta", "opta-code"] as const;
export type Dialect = (typeof dialects)[number];

export function isDialect(name: string): name is Dialect {
  return (dialects as readonly string[]).includes(name);
}

/**
 * An envelope's JSON text in a dialect; undefined for an event that the dialect leaves out. The kind is the
 * second key of every envelope (engine/event-log.ts), so that nothing has to be parsed.
 */
export function toDialect(text: string, dialect: Dialect): string | undefined {
  if (dialect === "opta") return text;
  if (text.startsWith(toolResult)) return `${toolEnd}${text.slice(toolResult.length)}`;
  if (text.startsWith(progress) && !isTold(text)) return undefined;
  return text;
}

const toolResult = '{"v":"3","event":"tool.result",';
const toolEnd = '{"v":"3","event":"tool.end",';
const progress = '{"v":"3","event":"turn.progress",';

/** What nobody may miss, such as that a cloud answers. */
function isTold(text: string): boolean {
  return [...toldPhases].some((phase) => text.includes(`"phase":"${phase}"`));
}

/** True for events after which the existing client takes its turn for over (contracts/daemon-v3.md section 6.3). */
export function isStopEvent(text: string): boolean {
  return stops.some((beginning) => text.startsWith(beginning));
}

const stops = ["turn.done", "turn.error", "session.cancelled"].map(
  (kind) => `{"v":"3","event":"${kind}",`,
);
