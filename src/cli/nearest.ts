// The known name that a mistyped one probably meant. Loaded only when something was mistyped.
import { distance } from "fastest-levenshtein";

/** Undefined when nothing is near: more than a third of the letters would have to change (but one or two always may). */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const wanted = name.toLowerCase();
  const sizeGap = (one: { readonly candidate: string }) =>
    Math.abs(one.candidate.length - wanted.length);
  const completed = known.find((candidate) => wanted.length >= 2 && candidate.startsWith(wanted));
  if (completed !== undefined) return completed;
  const ranked = known
    .map((candidate) => ({ candidate, changes: distance(wanted, candidate.toLowerCase()) }))
    .sort((left, right) => left.changes - right.changes || sizeGap(left) - sizeGap(right));
  const best = ranked[0];
  if (best === undefined) return undefined;
  const longest = Math.max(wanted.length, best.candidate.length);
  // Two letters swapped count as two changes, so words of four letters get two.
  const limit = longest < 4 ? 1 : Math.max(2, Math.floor(longest / 3));
  return best.changes <= limit && best.changes < longest ? best.candidate : undefined;
}
