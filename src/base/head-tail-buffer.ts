// The first and the last bytes of a stream of any length, in fixed memory.

export interface HeadTailBuffer {
  /** Copies what it keeps. */
  write(bytes: Uint8Array): void;
  /** The first bytes, at most `heldBytes`. A view: valid until the next write. */
  head(): Uint8Array;
  /** The last bytes after the head, at most `heldBytes`. */
  tail(): Uint8Array;
  /** All that was ever written; more than head and tail together when the middle was dropped. */
  totalBytes(): number;
}

/** Holds at most twice `heldBytes`; small streams take no more than they need. */
export function createHeadTailBuffer(heldBytes: number): HeadTailBuffer {
  let head = new Uint8Array(0);
  let headBytes = 0;
  let ring = new Uint8Array(0);
  let tailBytes = 0;

  const takeHead = (bytes: Uint8Array): Uint8Array => {
    const taken = bytes.subarray(0, heldBytes - headBytes);
    if (taken.length === 0) return bytes;
    if (headBytes + taken.length > head.length) {
      const larger = new Uint8Array(Math.min(heldBytes, 2 * (headBytes + taken.length)));
      larger.set(head.subarray(0, headBytes));
      head = larger;
    }
    head.set(taken, headBytes);
    headBytes += taken.length;
    return bytes.subarray(taken.length);
  };

  const takeTail = (bytes: Uint8Array): void => {
    if (bytes.length === 0) return;
    if (ring.length === 0) ring = new Uint8Array(heldBytes);
    // Only the last `heldBytes` can survive; the skipped ones still move the write position.
    const kept = bytes.subarray(Math.max(0, bytes.length - heldBytes));
    const start = (tailBytes + bytes.length - kept.length) % heldBytes;
    const untilWrap = kept.subarray(0, heldBytes - start);
    ring.set(untilWrap, start);
    ring.set(kept.subarray(untilWrap.length), 0);
    tailBytes += bytes.length;
  };

  return {
    write: (bytes) => takeTail(takeHead(bytes)),
    head: () => head.subarray(0, headBytes),
    tail() {
      if (tailBytes <= heldBytes) return ring.slice(0, tailBytes);
      const start = tailBytes % heldBytes;
      const ordered = new Uint8Array(heldBytes);
      ordered.set(ring.subarray(start));
      ordered.set(ring.subarray(0, start), heldBytes - start);
      return ordered;
    },
    totalBytes: () => headBytes + tailBytes,
  };
}
