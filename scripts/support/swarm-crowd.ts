// The clients of a swarm, spread over processes (swarm-clients-child.ts), as one: gathered, measured, asked what they
// found.
import { join } from "node:path";
import { addFindings, type Findings, type Hashes, noFindings } from "./swarm-check.ts";
import { createLatencies, type Latencies } from "./swarm-latency.ts";

export interface CrowdSettings {
  readonly port: number;
  readonly token: string;
  readonly sessionIds: readonly string[];
  readonly clients: number;
  /** How many of a hundred leave and come back all the time. */
  readonly churnPercent: number;
  /** How many of a hundred speak the dialect of the existing client. */
  readonly otherDialectPercent: number;
  readonly seed: number;
}

/** Heads: the seq of each session's last event. */
export type CrowdOrder =
  | { readonly kind: "gather"; readonly settings: CrowdSettings }
  | { readonly kind: "measure" }
  | { readonly kind: "latencies" }
  | { readonly kind: "finish"; readonly heads: Readonly<Record<string, number>> };

export type CrowdReport =
  | { readonly kind: "gathered" }
  | { readonly kind: "latencies"; readonly counts: ReturnType<Latencies["counts"]> }
  | ({ readonly kind: "report" } & CrowdResult);

export interface CrowdResult {
  readonly findings: Findings;
  /** Clients that did not get everything in the end. */
  readonly behind: number;
  /** Sockets that the daemon closed. */
  readonly lost: number;
  readonly delivered: number;
  readonly reconnects: number;
  readonly hashes: Readonly<Record<string, Hashes>>;
  /** What clients of the other dialect were not sent. */
  readonly skipped: readonly { readonly sessionId: string; readonly seq: number }[];
}

export interface Crowd extends AsyncDisposable {
  /** Resolves when everybody is connected. */
  gather(): Promise<void>;
  /** What it takes from here on. */
  measure(): void;
  latencies(): Promise<Latencies>;
  finish(heads: Readonly<Record<string, number>>): Promise<readonly CrowdResult[]>;
}

const child = join(import.meta.dir, "swarm-clients-child.ts");

export function createCrowd(settings: CrowdSettings, processes: number): Crowd {
  const members = Array.from({ length: processes }, (_, index) => {
    const from = Math.floor((settings.clients * index) / processes);
    const to = Math.floor((settings.clients * (index + 1)) / processes);
    return startMember({ ...settings, clients: to - from, seed: settings.seed + index });
  });
  return {
    async gather() {
      await Promise.all(
        members.map((member) =>
          member.ask("gathered", { kind: "gather", settings: member.settings }),
        ),
      );
    },
    measure() {
      for (const member of members) member.tell({ kind: "measure" });
    },
    async latencies() {
      const sum = createLatencies();
      for (const member of members) {
        sum.add((await member.ask("latencies", { kind: "latencies" })).counts);
      }
      return sum;
    },
    finish: (heads) =>
      Promise.all(members.map((member) => member.ask("report", { kind: "finish", heads }))),
    async [Symbol.asyncDispose]() {
      await Promise.all(members.map((member) => member.kill()));
    },
  };
}

type Of<K extends CrowdReport["kind"]> = Extract<CrowdReport, { readonly kind: K }>;

function startMember(settings: CrowdSettings) {
  const waiting = new Map<CrowdReport["kind"], (report: CrowdReport) => void>();
  const member = Bun.spawn([process.execPath, child], {
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (report: CrowdReport) => waiting.get(report.kind)?.(report),
  });
  return {
    settings,
    tell: (order: CrowdOrder) => void member.send(order),
    async ask<K extends CrowdReport["kind"]>(kind: K, order: CrowdOrder): Promise<Of<K>> {
      const { promise, resolve } = Promise.withResolvers<CrowdReport>();
      waiting.set(kind, resolve);
      member.send(order);
      const ended = member.exited.then((code) => {
        throw new Error(`a process of clients ended with ${code}`);
      });
      ended.catch(() => undefined); // once it has answered, its end is wanted
      return (await Promise.race([promise, ended])) as Of<K>;
    },
    async kill() {
      member.kill("SIGKILL");
      await member.exited;
    },
  };
}

/** What all processes found, and where they differ from each other. */
export function sumResults(results: readonly CrowdResult[]): Omit<CrowdResult, "skipped"> {
  const findings = noFindings();
  const hashes: Record<string, Hashes> = {};
  for (const result of results) {
    addFindings(findings, result.findings);
    for (const [sessionId, seen] of Object.entries(result.hashes)) {
      const all = (hashes[sessionId] ??= []);
      for (const [seq, hash] of seen.entries()) {
        if (!hash) continue;
        all[seq] ||= hash;
        if (all[seq] !== hash) {
          findings.mismatches += 1;
          findings.samples.push(`${sessionId}: two processes saw different texts at seq ${seq}`);
        }
      }
    }
  }
  const total = (of: (result: CrowdResult) => number) =>
    results.reduce((sum, result) => sum + of(result), 0);
  return {
    findings,
    hashes,
    behind: total(({ behind }) => behind),
    lost: total(({ lost }) => lost),
    delivered: total(({ delivered }) => delivered),
    reconnects: total(({ reconnects }) => reconnects),
  };
}
