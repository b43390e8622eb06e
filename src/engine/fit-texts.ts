// Several texts into a room that is too small for all of them: short ones stay whole, long ones lose their
// middle, because what matters stands at the beginning (what it is) and at the end (how it ended). Pure.

/**
 * The largest size at which every text, cut to it, fits into the room together with the others.
 * @returns bytes; Infinity when nothing needs cutting
 */
export function fairShareBytes(sizesBytes: readonly number[], roomBytes: number): number {
  const sizes = sizesBytes.toSorted((a, b) => a - b);
  let room = roomBytes;
  for (const [index, size] of sizes.entries()) {
    const share = room / (sizes.length - index);
    if (size > share) return Math.max(0, Math.floor(share));
    room -= size;
  }
  return Number.POSITIVE_INFINITY;
}

/**
 * Head and tail of a text with a note between them, within about `sizeBytes` (the note comes on top).
 * @param note what stands in the gap, given the characters that are left out
 */
export function cutMiddle(
  text: string,
  sizeBytes: number,
  note: (leftOutChars: number) => string,
): string {
  const textBytes = Buffer.byteLength(text);
  if (textBytes <= sizeBytes) return text;
  const keptChars = Math.floor(text.length * (sizeBytes / textBytes));
  const headChars = Math.floor(keptChars * 0.6);
  const head = text.slice(0, headChars).replace(/[\uD800-\uDBFF]$/, "");
  const tail = text.slice(text.length - (keptChars - headChars)).replace(/^[\uDC00-\uDFFF]/, "");
  return `${head}${note(text.length - head.length - tail.length)}${tail}`;
}
