// Whether a model's answers start inside a thought: by its family, until an answer showed otherwise. Lives as
// long as the provider, so that at most one answer per model and process is taken for the wrong thing.
import { opensInThought } from "./model-family.ts";

export interface ThoughtHabits {
  opensInThought(model: string): boolean;
  learn(model: string, opens: boolean): void;
}

export function createThoughtHabits(): ThoughtHabits {
  const learnt = new Map<string, boolean>();
  return {
    opensInThought: (model) => learnt.get(model) ?? opensInThought(model),
    learn: (model, opens) => void learnt.set(model, opens),
  };
}
