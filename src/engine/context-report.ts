// The figures of `opta context`: what the next request of a session costs and what is left of the window. A
// server that does not answer is no failure here, it only leaves the window unknown.
import { OptaError } from "../protocol/error.ts";
import type { ContextReport } from "../protocol/context.ts";
import type { Message } from "../protocol/message.ts";
import type { SessionFile } from "../protocol/session.ts";
import type { ResolvedModel, ToolSchema } from "../providers/provider.ts";
import { outputReserveTokens, promptBudgetTokens, promptCost } from "./context.ts";
import { readContextRecord } from "./context-record.ts";

export interface ReportOptions {
  /** Undefined for a session that is yet to begin. */
  readonly file: SessionFile | undefined;
  readonly messages: readonly Message[];
  readonly tools: readonly ToolSchema[];
  readonly resolved: ResolvedModel | OptaError;
}

export function reportContext({ file, messages, tools, resolved }: ReportOptions): ContextReport {
  const { ratio, compactions } =
    file === undefined ? { ratio: 1, compactions: 0 } : readContextRecord(file);
  const { total, ...cost } = promptCost({ messages, tools }, ratio);
  const found = resolved instanceof OptaError ? undefined : resolved;
  const window = found?.contextLength ?? null;
  const budget = promptBudgetTokens(window);
  return {
    sessionId: file?.id ?? null,
    model: found?.model ?? null,
    server: found?.server ?? null,
    problem: resolved instanceof OptaError ? resolved.message : null,
    window,
    windowSource: found?.windowSource ?? "unknown",
    outputReserve: outputReserveTokens(window),
    ...cost,
    left: budget === undefined ? null : budget - total,
    messages: messages.length,
    compactions,
    ratio,
  };
}
