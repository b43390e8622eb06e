// Tool results before they become messages: where the window is small, one step's results must not fill it
// alone. They are cut now, before they were ever sent, because a message that was sent is never changed.
import type { ProviderToolCall, ResolvedModel } from "../providers/provider.ts";
import { measureWindow } from "./context.ts";
import { cutMiddle, fairShareBytes } from "./fit-texts.ts";
import { keepResult } from "./make-room.ts";
import { bytesPerToken } from "./token-estimate.ts";
import type { TurnContext } from "./turn-context.ts";

/** Of the room for history (make-room.ts): a step's results together. */
const stepShare = 0.4;
/** Kept of each however small the window: enough for an error message. */
const leastBytes = 240;

/** The results as the model will read them, in the same order; the cut ones say so and how to read more. */
export async function fitResults(
  calls: readonly ProviderToolCall[],
  results: readonly string[],
  context: TurnContext,
  resolved: ResolvedModel,
): Promise<readonly string[]> {
  const measures = measureWindow(context, resolved);
  if (measures === undefined) return results;
  const roomBytes = (measures.room * stepShare * bytesPerToken) / measures.ratio;
  const sizes = results.map((text) => Buffer.byteLength(text));
  const share = Math.max(leastBytes, fairShareBytes(sizes, roomBytes));
  const fitted: string[] = [];
  for (const [index, text] of results.entries()) {
    if ((sizes[index] ?? 0) <= share) {
      fitted.push(text);
      continue;
    }
    const isRepeatable = context.tools.get(calls[index]?.name ?? "")?.readOnly ?? false;
    const path = isRepeatable ? undefined : await keepResult(text, context);
    const more =
      path === undefined ? "ask for a smaller part" : `all of it is kept, read_file ${path}`;
    fitted.push(
      cutMiddle(
        text,
        share,
        (chars) =>
          `\n[${chars.toLocaleString("en-US")} characters left out to fit the context window; ${more}]\n`,
      ),
    );
  }
  return fitted;
}
