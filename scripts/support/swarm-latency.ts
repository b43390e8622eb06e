// Latencies by the hundred thousand, in bounded space: how many there were of each tenth of a millisecond.

/** Tenths of a millisecond; what took longer counts as the last one. */
const buckets = 100_000;
const perMs = 10;

export interface Latencies {
  note(latencyMs: number): void;
  /** Bucket -> count, for those that are not zero: to be sent to another process. */
  counts(): readonly (readonly [bucket: number, count: number])[];
  add(counts: ReturnType<Latencies["counts"]>): void;
  count(): number;
  /** @param share 0.99 for p99 @returns milliseconds; NaN when there is none */
  at(share: number): number;
}

export function createLatencies(): Latencies {
  const counts = new Uint32Array(buckets);
  let total = 0;
  return {
    note(latencyMs) {
      const bucket = Math.min(buckets - 1, Math.max(0, Math.round(latencyMs * perMs)));
      counts[bucket]! += 1;
      total += 1;
    },
    counts: () => [...counts.entries()].filter(([, count]) => count > 0),
    add(given) {
      for (const [bucket, count] of given) {
        counts[bucket]! += count;
        total += count;
      }
    },
    count: () => total,
    at(share) {
      if (total === 0) return Number.NaN;
      let left = Math.ceil(total * share);
      const bucket = counts.findIndex((count) => (left -= count) <= 0);
      return bucket / perMs;
    },
  };
}

/** Of a few values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
