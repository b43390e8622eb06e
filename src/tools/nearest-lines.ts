// What an edit that found nothing shows: the lines of the file most like the ones it looked for, with their
// numbers, so that the model can copy them instead of guessing again.
import { type ByteString, decodeText } from "./text-encoding.ts";

/** Enough to see a function's head and body; every line costs prompt. */
const maxShownLines = 14;
const maxShownCharacters = 200;
const contextLines = 2;

/** Both with bare line feeds. */
export function nearestLines(text: ByteString, oldText: ByteString): string {
  if (text === "") return "The file is empty.";
  const lines = text.replace(/\n$/, "").split("\n");
  const wanted = oldText.replace(/\n$/, "").split("\n");
  const place = placeOfMostEqualLines(lines, wanted) ?? placeOfLikestLine(lines, wanted);
  const advice = wanted.every((line) => /^\d+:/.test(line))
    ? "Leave out the line numbers that read_file puts before each line.\n"
    : "";
  if (place === undefined) return `${advice}Nothing in the file is like it; read_file it again.`;
  const from = Math.max(0, place - contextLines);
  const to = Math.min(lines.length, place + wanted.length + contextLines, from + maxShownLines);
  const shown = lines
    .slice(from, to)
    .map((line, index) => `${from + index + 1}:${decodeText(line).slice(0, maxShownCharacters)}`);
  return `${advice}The nearest lines are:\n${shown.join("\n")}`;
}

/** Where the block would lie if as many of its lines as possible are where they should be. */
function placeOfMostEqualLines(
  lines: readonly string[],
  wanted: readonly string[],
): number | undefined {
  const indexes = new Map<string, number[]>();
  for (const [index, line] of wanted.entries()) {
    const key = line.trim();
    if (key.length > 1) indexes.set(key, [...(indexes.get(key) ?? []), index]);
  }
  const votes = new Map<number, number>();
  for (const [index, line] of lines.entries()) {
    for (const wantedIndex of indexes.get(line.trim()) ?? []) {
      const place = index - wantedIndex;
      votes.set(place, (votes.get(place) ?? 0) + 1);
    }
  }
  return best(votes);
}

/** Where the line that shares most words with the longest wanted line is; at least half of them. */
function placeOfLikestLine(
  lines: readonly string[],
  wanted: readonly string[],
): number | undefined {
  const longest = wanted.reduce((one, other) =>
    other.trim().length > one.trim().length ? other : one,
  );
  const words = new Set(wordsOf(longest));
  if (words.size === 0) return undefined;
  const votes = new Map<number, number>();
  for (const [index, line] of lines.entries()) {
    const shared = new Set(wordsOf(line)).intersection(words).size;
    if (shared * 2 >= words.size) votes.set(index - wanted.indexOf(longest), shared);
  }
  return best(votes);
}

function wordsOf(line: string): readonly string[] {
  return line.match(/[\w\x80-\xff]+/g) ?? [];
}

function best(votes: ReadonlyMap<number, number>): number | undefined {
  let winner: number | undefined;
  for (const [place, count] of votes) {
    if (winner === undefined || count > (votes.get(winner) ?? 0)) winner = place;
  }
  return winner;
}
