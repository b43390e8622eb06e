// Tool calls from their pieces (contracts/lmx.md rows 3 and 4): whole or in fragments, with or without
// index and id. Nothing is judged here: arguments that are no JSON are the engine's to report to the model.
import { createId } from "../../base/ids.ts";
import type { ProviderToolCall } from "../provider.ts";
import type { ToolCallFragment } from "./frames.ts";

export interface ToolCallAssembly {
  add(fragment: ToolCallFragment): void;
  /** The calls in the order in which they began; ids unique, "{}" where no arguments came. */
  calls(): readonly ProviderToolCall[];
  /** The same with the arguments as they came, "" included: in an answer that was cut they may have been on their way. */
  writtenCalls(): readonly ProviderToolCall[];
}

interface Draft {
  readonly index: number | null;
  id: string;
  name: string;
  arguments: string;
}

export function createToolCallAssembly(): ToolCallAssembly {
  const drafts: Draft[] = [];
  const toCalls = (noArguments: string) => {
    const taken = new Set<string>();
    return drafts.map((draft) => {
      const id = draft.id === "" || taken.has(draft.id) ? `call_${createId()}` : draft.id;
      taken.add(id);
      const isEmpty = draft.arguments.trim() === "";
      return { id, name: draft.name, arguments: isEmpty ? noArguments : draft.arguments };
    });
  };
  return {
    add(fragment) {
      const draft = findDraft(drafts, fragment);
      if (draft === undefined) {
        drafts.push({ ...fragment });
        return;
      }
      draft.id ||= fragment.id;
      draft.name ||= fragment.name;
      // A whole call sent twice: an object followed by itself is never JSON.
      const repeated = fragment.arguments === draft.arguments && fragment.arguments.startsWith("{");
      if (!repeated) draft.arguments += fragment.arguments;
    },
    calls: () => toCalls("{}"),
    writtenCalls: () => toCalls(""),
  };
}

/**
 * The call a fragment continues. By index; some servers give every call index 0 and tell them apart by id
 * only. Without an index: by id; a piece with neither id nor name continues the last call.
 */
function findDraft(drafts: readonly Draft[], fragment: ToolCallFragment): Draft | undefined {
  const sameId = drafts.findLast(
    (draft) =>
      fragment.id !== "" &&
      draft.id === fragment.id &&
      (draft.index === fragment.index || draft.index === null || fragment.index === null),
  );
  if (sameId !== undefined) return sameId;
  if (fragment.index === null) {
    return fragment.id === "" && fragment.name === "" ? drafts.at(-1) : undefined;
  }
  const sameIndex = drafts.findLast((draft) => draft.index === fragment.index);
  const isAnother = fragment.id !== "" && sameIndex !== undefined && sameIndex.id !== "";
  return isAnother ? undefined : sameIndex;
}
