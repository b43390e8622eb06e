// Notices a model that goes in circles: the same calls with the same arguments and the same results, step after
// step (contracts/text-tool-calls.md rule 6). Steps are compared whole: calls of one step were all written
// before the model saw any result, so equal ones among them are no circle.
import type { ProviderToolCall } from "../providers/provider.ts";

/** So many equal steps end the turn. */
export const repeatedSteps = 3;

export interface RepetitionWatch {
  /** Takes a step's calls and their results; true when it was the last of repeatedSteps equal ones. */
  note(calls: readonly ProviderToolCall[], results: readonly string[]): boolean;
}

export function createRepetitionWatch(): RepetitionWatch {
  let last = "";
  let count = 0;
  return {
    note(calls, results) {
      const pairs = calls.map((call, index) => [call.name, call.arguments, results[index]]);
      const step = Bun.hash(
        JSON.stringify([...new Set(pairs.map((pair) => JSON.stringify(pair)))].toSorted()),
      ).toString();
      count = step === last ? count + 1 : 1;
      last = step;
      return count >= repeatedSteps;
    },
  };
}
