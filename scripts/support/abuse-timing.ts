// Whether the time that a wrong token takes tells which of its bytes is wrong (promises S5). Measured on the comparison
// itself, where a nanosecond shows; through a socket the noise is a thousand times larger.
import { createAccess, createToken } from "../../src/daemon/access.ts";
import { createRandom } from "../../test/support/command-lines.ts";

export interface TokenTiming {
  /** Of one refusal. */
  readonly medianNs: number;
  /** Between tokens wrong in their first and tokens wrong in their last byte: the median over all blocks. */
  readonly differenceNs: number;
  /** Between groups that are equal: the largest of all blocks. */
  readonly noiseNs: number;
}

/** Each gives a median per group, and these are compared: what disturbs one block does not disturb the others. */
const blocks = 50;

/** @param samples of each group */
export function measureTokenTiming({
  seed,
  samples,
}: {
  readonly seed: number;
  readonly samples: number;
}): TokenTiming {
  const token = createToken();
  const access = createAccess({
    token,
    port: () => 9999,
    allowedOrigins: () => [],
    allowQueryToken: () => false,
    nowMs: () => performance.now(),
  });
  const wrongAt = (index: number) => {
    const other = token[index] === "0" ? "1" : "0";
    return requestWith(token.slice(0, index) + other + token.slice(index + 1));
  };
  const groups = [wrongAt(0), wrongAt(0), wrongAt(token.length - 1)];
  const url = new URL("http://127.0.0.1:9999/v3/health");
  const random = createRandom(seed);
  const rows: number[][] = [];
  for (let block = 0; block < blocks; block += 1) {
    const times: number[][] = groups.map(() => []);
    for (let count = 0; count < (samples / blocks) * groups.length; count += 1) {
      const group = random.below(groups.length);
      const request = groups[group] ?? groups[0];
      if (request === undefined) throw new Error("there are no groups");
      const startedNs = Bun.nanoseconds();
      const admission = access.admit(request, url);
      times[group]?.push(Bun.nanoseconds() - startedNs);
      if (admission !== undefined) throw new Error("a wrong token was accepted");
    }
    rows.push(times.map(median));
  }
  // While the code is being compiled it grows faster from block to block.
  const settled = rows.slice(blocks / 5);
  const between = (one: number, other: number) =>
    settled.map((row) => (row[one] ?? 0) - (row[other] ?? 0));
  return {
    medianNs: median(settled.map(([first = 0]) => first)),
    differenceNs: Math.abs(median(between(0, 2))),
    noiseNs: Math.max(...between(0, 1).map(Math.abs)),
  };
}

function requestWith(token: string): Request {
  const headers = { authorization: `Bearer ${token}` };
  return new Request("http://127.0.0.1:9999/v3/health", { headers });
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted(ascending)[Math.floor(numbers.length / 2)] ?? 0;
}

function ascending(one: number, other: number): number {
  return one - other;
}
