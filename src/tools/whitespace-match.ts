// The one fallback of an edit whose old text is not there exactly: whole lines that differ in whitespace only.
// It is safe because it replaces exactly as many lines as the old text has, wants a single place, and gives up
// rather than guess an indentation (a fuzzier match deleted half a file elsewhere, lesson 21).
import type { ByteString } from "./text-encoding.ts";

export type WhitespaceMatch =
  | { readonly kind: "none" }
  /** `why` reads on after "old_text was not found exactly; ". */
  | { readonly kind: "refused"; readonly why: string }
  | {
      readonly kind: "found";
      readonly span: {
        readonly start: number;
        readonly end: number;
        /** Indented as the file is. */
        readonly newText: ByteString;
      };
    };

/** Shorter texts ("}", "*\/") are too common to be looked for loosely. */
const minComparedLength = 4;

/** All texts with bare line feeds; offsets are in `text`. */
export function matchIgnoringWhitespace(
  text: ByteString,
  oldText: ByteString,
  newText: ByteString,
): WhitespaceMatch {
  const wanted = oldText.replace(/\n$/, "").split("\n");
  const compared = wanted.map(squeeze);
  if (compared.join("").length < minComparedLength) return { kind: "none" };
  const lines = text.split("\n");
  const places = findPlaces(lines.map(squeeze), compared);
  const [place, ...others] = places;
  if (place === undefined) return { kind: "none" };
  if (others.length > 0) {
    const numbers = places.slice(0, 10).map((index) => index + 1);
    return {
      kind: "refused",
      why: `ignoring whitespace it is there ${places.length} times, at lines ${numbers.join(", ")}`,
    };
  }
  const found = lines.slice(place, place + wanted.length);
  const indented = reindent(newText.split("\n"), { wanted, found });
  if (indented === undefined) {
    return {
      kind: "refused",
      why: "it differs in indentation, and how to indent new_text is unclear",
    };
  }
  const start = lines.slice(0, place).reduce((offset, line) => offset + line.length + 1, 0);
  const withEnd = oldText.endsWith("\n") && place + wanted.length < lines.length ? 1 : 0;
  const end = start + found.join("\n").length + withEnd;
  return { kind: "found", span: { start, end, newText: indented.join("\n") } };
}

function squeeze(line: ByteString): ByteString {
  return line.trim().replace(/[ \t]+/g, " ");
}

function findPlaces(lines: readonly string[], wanted: readonly string[]): number[] {
  const places: number[] = [];
  for (let place = 0; place + wanted.length <= lines.length; place += 1) {
    if (wanted.every((line, index) => lines[place + index] === line)) places.push(place);
  }
  return places;
}

/** New lines with the file's indentation for the model's; undefined when that is not a plain mapping. */
function reindent(
  newLines: readonly ByteString[],
  { wanted, found }: { wanted: readonly ByteString[]; found: readonly ByteString[] },
): readonly ByteString[] | undefined {
  const known = new Map<string, string>();
  for (const [index, line] of wanted.entries()) {
    if (line.trim() === "") continue;
    const from = indentOf(line);
    const to = indentOf(found[index] ?? "");
    if ((known.get(from) ?? to) !== to) return undefined;
    known.set(from, to);
  }
  const shift = commonShift(known);
  const indented: ByteString[] = [];
  for (const line of newLines) {
    const from = indentOf(line);
    const to = line.trim() === "" ? from : (known.get(from) ?? shift?.(from));
    if (to === undefined) return undefined;
    indented.push(to + line.slice(from.length));
  }
  return indented;
}

function indentOf(line: ByteString): string {
  return /^[ \t]*/.exec(line)?.[0] ?? "";
}

/** For indentations that old_text does not have: all known ones gained, or all lost, the same prefix. */
function commonShift(
  known: ReadonlyMap<string, string>,
): ((from: string) => string | undefined) | undefined {
  const pairs = [...known];
  const [first] = pairs;
  if (first === undefined) return undefined;
  const [from, to] = first;
  const gained = to.endsWith(from) ? to.slice(0, to.length - from.length) : undefined;
  if (gained !== undefined && pairs.every(([old, now]) => now === gained + old)) {
    return (indent) => gained + indent;
  }
  const lost = from.endsWith(to) ? from.slice(0, from.length - to.length) : undefined;
  if (lost !== undefined && pairs.every(([old, now]) => old === lost + now)) {
    return (indent) => (indent.startsWith(lost) ? indent.slice(lost.length) : undefined);
  }
  return undefined;
}
