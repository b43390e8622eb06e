// How the file tools stop: a failure the model can act on is thrown from wherever it is noticed and becomes a
// result at the tool's edge. What else is thrown is a defect of ours and passes through.
import { StorageError } from "../base/storage-error.ts";
import type { ToolContext, ToolResult } from "./tool.ts";

/** `message` is what the model reads: what was wrong, where, and what to do instead. */
export class ToolFailure extends Error {
  override readonly name = "ToolFailure";
}

/** Runs a file tool's work: its text on success, `ok: false` for a ToolFailure or a StorageError. */
export async function toResult(
  context: ToolContext,
  work: () => string | Promise<string>,
): Promise<ToolResult> {
  try {
    if (context.signal.aborted) throw new ToolFailure("cancelled by the user; nothing was done");
    return { ok: true, text: await work() };
  } catch (error) {
    return { ok: false, text: failureText(error) };
  }
}

/** What a model reads of a ToolFailure or a StorageError. @throws anything else again */
export function failureText(error: unknown): string {
  if (error instanceof ToolFailure) return error.message;
  if (!(error instanceof StorageError)) throw error;
  const hint = error.hint === undefined ? "" : `; ${error.hint}`;
  return error.message + hint;
}
