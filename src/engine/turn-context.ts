// What the steps and tool calls of one turn share; made by engine.ts, used up by turn.ts.
import type { Effect, Verdict } from "../protocol/permission.ts";
import type { Provider, ToolSchema } from "../providers/provider.ts";
import type { Tool } from "../tools/tool.ts";
import type { ReadScope } from "./permission-policy.ts";
import type { Session } from "./session.ts";

export interface TurnContext {
  readonly turnId: string;
  readonly session: Session;
  readonly provider: Provider;
  readonly tools: ReadonlyMap<string, Tool>;
  readonly toolSchemas: readonly ToolSchema[];
  /** Absolute, links resolved. */
  readonly workspace: string;
  /** PATH for programs that tools start. */
  readonly toolPath: string;
  readonly outputDirectory: string;
  readonly settingsDirectory: string;
  readonly maxSteps: number;
  readonly signal: AbortSignal;
  /** The policy, with the turn's mode and every rule in force. */
  judge(tool: string, effects: readonly Effect[]): Verdict;
  /** What a call whose effects were permitted may show of what is below them. */
  readScope(tool: string, effects: readonly Effect[]): ReadScope;
  /**
   * Keeps a text in a private file of the session: `name` below its directory.
   * @returns its path. @throws OptaError storage-full | storage-failed
   */
  keep(name: string, text: string): Promise<string>;
  readonly counters: TurnCounters;
}

export interface TurnCounters {
  steps: number;
  /** Summaries the model was asked for. */
  compactions: number;
  /** `steps` when history was last compacted. */
  compactedAtStep: number | undefined;
  promptTokens: number;
  completionTokens: number;
  toolCalls: number;
  deniedCalls: number;
  firstTokenMs: number | undefined;
}
