// The known name that a mistyped one probably meant. Loaded only when something was mistyped.
import { distance } from "fastest-levenshtein";

/** Undefined when nothing is near: more than a third of the letters (at least two) would have to change. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const wanted = name.toLowerCase();
  const completed = known.find((candidate) => wanted.length >= 2 && candidate.startsWith(wanted));
  if (completed !== undefined) return completed;
  const ranked = known
    .map((candidate) => ({ candidate, changes: distance(wanted, candidate.toLowerCase()) }))
    .sort((left, right) => left.changes - right.changes);
  const best = ranked[0];
  if (best === undefined) return undefined;
  const longest = Math.max(wanted.length, best.candidate.length);
  const limit = Math.max(2, Math.floor(longest / 3));
  return best.changes <= limit && best.changes < longest ? best.candidate : undefined;
}
