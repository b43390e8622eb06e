// Which of the configured hosts answers now. All are probed at once; the first one configured (the
// primary) wins when it is up at all promptly, even when another was faster. Knows nothing of what a
// probe is: the provider brings it.
import { OptaError } from "../protocol/error.ts";
import type { Clock } from "../base/clock.ts";

export interface Candidate {
  /** As the user wrote it, without brackets: "localhost", "192.168.1.20", "::1". */
  readonly host: string;
  readonly port: number;
  /** "host:port", for messages and URLs. */
  readonly server: string;
}

/** What a probe found: a live server (with what is known of it), or why it is none, in words. */
export type ProbeOutcome<Found> =
  { readonly up: true; readonly found: Found } | { readonly up: false; readonly reason: string };

export interface Route<Found> {
  readonly candidate: Candidate;
  readonly found: Found;
}

export interface RouteOptions<Found> {
  readonly candidates: readonly Candidate[];
  /** Never rejects, and settles within its own time limit; those that lost are aborted. */
  readonly probe: (candidate: Candidate, signal: AbortSignal) => Promise<ProbeOutcome<Found>>;
  /** How long a live fallback waits for the primary. */
  readonly primaryGraceMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Finds the server that answers.
 * @throws OptaError lmx-connection-refused naming every candidate and why it did not answer
 */
export function findRoute<Found>(options: RouteOptions<Found>): Promise<Route<Found>> {
  const { candidates, probe, primaryGraceMs, clock, signal } = options;
  const outcomes = new Map<Candidate, ProbeOutcome<Found>>();
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  return new Promise((resolve, reject) => {
    let graceOver = false;
    const finish = () => {
      takeBackGrace();
      stop.abort();
    };
    const decide = () => {
      const primary = outcomes.get(candidates[0]!);
      const mayPassOver = graceOver || primary !== undefined;
      for (const candidate of mayPassOver ? candidates : []) {
        const outcome = outcomes.get(candidate);
        if (!outcome?.up) continue;
        finish();
        return resolve({ candidate, found: outcome.found });
      }
      if (outcomes.size < candidates.length) return;
      finish();
      reject(nothingAnswers(candidates, (candidate) => reasonOf(outcomes.get(candidate))));
    };
    const takeBackGrace = clock.after(primaryGraceMs, () => {
      graceOver = true;
      decide();
    });
    for (const candidate of candidates) {
      void probe(candidate, either).then((outcome) => {
        outcomes.set(candidate, outcome);
        decide();
      });
    }
  });
}

function reasonOf(outcome: ProbeOutcome<unknown> | undefined): string {
  return outcome === undefined || outcome.up ? "no answer" : outcome.reason;
}

const otherServer = "--device HOST, or for good: opta config set connection.host HOST";

/** For `opta status`, which has said all there is to say. */
export const otherServerHint = `another server, once: ${otherServer}`;

/** The one line that names each server that was tried and why it did not answer. */
export function nothingAnswers(
  candidates: readonly Candidate[],
  reason: (candidate: Candidate) => string,
  hint = `opta status   (another server, once: ${otherServer})`,
): OptaError {
  const tried = candidates.map((candidate) => `${candidate.server} (${reason(candidate)})`);
  return new OptaError(
    "lmx-connection-refused",
    `no model server answers; tried ${tried.join(", ")}`,
    hint,
  );
}

/**
 * The configured hosts in their order, duplicates dropped.
 * @throws OptaError config-invalid
 */
export function toCandidates(connection: {
  readonly host: string;
  readonly port: number;
  readonly fallbackHosts: readonly string[];
}): readonly Candidate[] {
  const all = [connection.host, ...connection.fallbackHosts].map((host) =>
    toCandidate(host, connection.port),
  );
  const seen = new Set<string>();
  return all.filter(({ server }) => !seen.has(server) && seen.add(server));
}

/**
 * "host", "host:port", "::1" or "[::1]:port".
 * @throws OptaError config-invalid
 */
export function toCandidate(text: string, defaultPort: number): Candidate {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s/@?#:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const bare =
    match === null && /^[0-9a-fA-F:]+$/.test(text) && text.includes("::") ? text : undefined;
  const host = match?.[1] ?? match?.[2] ?? bare;
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (host === undefined || port < 1 || port > 65535) {
    throw new OptaError(
      "config-invalid",
      // An address with a user may hold a password.
      `${text.includes("@") ? "what has an @ in it" : `"${text}"`} is not a host: write a name or an address, with :PORT if needed, without http://`,
      "opta config set connection.host HOST",
    );
  }
  return { host, port, server: `${host.includes(":") ? `[${host}]` : host}:${port}` };
}
