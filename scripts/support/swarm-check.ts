// What a client saw of a session's stream, held against the rules (promises E3-E5): every seq once, in order, with the
// same text for everybody. Knows no socket; the check of the checks is test/scripts/swarm-check.test.ts.
import type { Dialect } from "../../src/protocol/dialect.ts";

/** What was wrong, over all clients that share it. */
export interface Findings {
  gaps: number;
  duplicates: number;
  reorders: number;
  /** Texts that differ from what another client got at the same seq. */
  mismatches: number;
  /** Frames that are neither events nor expected. */
  refusals: number;
  /** Some of these in words. */
  readonly samples: string[];
}

export function noFindings(): Findings {
  return { gaps: 0, duplicates: 0, reorders: 0, mismatches: 0, refusals: 0, samples: [] };
}

export function countFindings(findings: Findings): number {
  const { gaps, duplicates, reorders, mismatches, refusals } = findings;
  return gaps + duplicates + reorders + mismatches + refusals;
}

export function addFindings(sum: Findings, more: Findings): void {
  for (const name of ["gaps", "duplicates", "reorders", "mismatches", "refusals"] as const) {
    sum[name] += more[name];
  }
  sum.samples.push(...more.samples.slice(0, sampleLimit - sum.samples.length));
}

const sampleLimit = 10;

/** Everything that is known of one session: by seq, the hash of its event's text; a hole for one nobody saw yet. */
export type Hashes = number[];

export interface StreamCheckOptions {
  readonly name: string;
  readonly dialect: Dialect;
  /** Shared by the clients of the session. */
  readonly hashes: Hashes;
  readonly findings: Findings;
}

export interface StreamCheck {
  /** One frame as it came. */
  note(text: string): void;
  /** The seq of the last event in order: where the client goes on after a reconnect. */
  cursor(): number;
  /** What a client of a dialect that leaves events out did not see: to be held against the events themselves. */
  skipped(): readonly number[];
}

export function createStreamCheck(options: StreamCheckOptions): StreamCheck {
  const { name, dialect, hashes, findings } = options;
  const missing = new Set<number>();
  const skipped: number[] = [];
  let cursor = 0;

  function find(kind: Exclude<keyof Findings, "samples">, what: string): void {
    findings[kind] += 1;
    if (findings.samples.length < sampleLimit) findings.samples.push(`${name}: ${what}`);
  }

  return {
    note(text) {
      const seq = seqOf(text);
      if (seq === undefined) {
        if (!text.includes('"event":"heartbeat"')) find("refusals", text.slice(0, 200));
        return;
      }
      const hash = hashOf(text);
      const known = (hashes[seq] ??= hash);
      if (known !== hash) find("mismatches", `seq ${seq} is ${text.slice(0, 200)}`);
      if (seq <= cursor) {
        if (missing.delete(seq)) find("reorders", `seq ${seq} came after ${cursor}`);
        else find("duplicates", `seq ${seq} came again after ${cursor}`);
        return;
      }
      for (let absent = cursor + 1; absent < seq; absent++) {
        if (dialect === "opta-code") skipped.push(absent);
        else missing.add(absent);
      }
      if (dialect === "opta" && seq > cursor + 1) find("gaps", `seq ${seq} came after ${cursor}`);
      cursor = seq;
    },
    cursor: () => cursor,
    skipped: () => skipped,
  };
}

/** Never 0. */
export function hashOf(text: string): number {
  return Bun.hash.xxHash32(text) || 1;
}

const seqKey = '"seq":';

/** Undefined for a frame that is no event. The seq is among the first keys of every envelope. */
function seqOf(text: string): number | undefined {
  const at = text.indexOf(seqKey);
  if (at < 0 || at > 300 || !text.startsWith('{"v":"3","event":')) return undefined;
  const seq = Number.parseInt(text.slice(at + seqKey.length, at + seqKey.length + 16), 10);
  return Number.isSafeInteger(seq) ? seq : undefined;
}
