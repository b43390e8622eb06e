// How many requests came and how long they took, for /v3/metrics: the newest times, in fixed memory.

export interface RequestTimes {
  note(durationMs: number): void;
  /** Requests since the start. */
  count(): number;
  /** Zeros while there is none. */
  report(): { readonly p50Ms: number; readonly p99Ms: number; readonly samples: number };
}

const keptSamples = 512;

export function createRequestTimes(): RequestTimes {
  const samples: number[] = [];
  let count = 0;
  return {
    note(durationMs) {
      samples[count % keptSamples] = durationMs;
      count += 1;
    },
    count: () => count,
    report() {
      const sorted = samples.toSorted((one, other) => one - other);
      const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
      return { p50Ms: rounded(at(0.5)), p99Ms: rounded(at(0.99)), samples: sorted.length };
    },
  };
}

function rounded(timeMs: number): number {
  return Math.round(timeMs * 100) / 100;
}
