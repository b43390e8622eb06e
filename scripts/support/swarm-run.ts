// A swarm of clients around one daemon of the built executable (promises E3-E6): what everybody is told is compared
// over all clients and with the log itself, what it takes is measured, first alone, then beside clients that never
// read or never answer.
import { toDialect } from "../../src/protocol/dialect.ts";
import { countFindings, type Findings, hashOf } from "./swarm-check.ts";
import { createCrowd, type CrowdResult, sumResults } from "./swarm-crowd.ts";
import { createDaemonHome, type DaemonProcess, startDaemonProcess } from "./swarm-daemon.ts";
import { backlogSession, fillBacklog } from "./swarm-fill.ts";
import { startSteadyModel } from "./swarm-model.ts";
import { type StalledClient, startStalledClient } from "./swarm-stalled.ts";

export interface SwarmOptions {
  readonly executable: string;
  readonly clients: number;
  readonly churnPercent: number;
  readonly sessions: number;
  readonly eventsPerSecond: number;
  readonly seconds: number;
  /** Clients that never read, with a replay before them. */
  readonly paused: number;
  /** The same at the head of a session. */
  readonly pausedLive: number;
  /** Clients that read and never answer. */
  readonly mute: number;
  /** How long the daemon has to find them out. */
  readonly stalledSeconds: number;
  readonly processes: number;
  readonly seed: number;
}

export interface SwarmReport {
  readonly delivered: number;
  readonly events: number;
  readonly reconnects: number;
  readonly findings: Findings;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Beside the stalled clients. */
  readonly stalledP99Ms: number;
  readonly stalledMaxMs: number;
  /** Stalled clients that were cut, of how many, and the close codes they were told. */
  readonly cut: number;
  readonly cutCodes: readonly string[];
  readonly restRssBytes: number;
  readonly peakRssBytes: number;
  /** What must not be. */
  readonly failures: readonly string[];
}

const rssEveryMs = 500;
/** Until a client that was cut has the news, once it reads. */
const newsLimitMs = 5_000;

export async function runSwarm(options: SwarmOptions): Promise<SwarmReport> {
  await using model = startSteadyModel({
    tokensPerSecond: options.eventsPerSecond / options.sessions,
  });
  using place = createDaemonHome();
  if (options.paused > 0) fillBacklog(place);
  await using daemon = await startDaemonProcess({
    executable: options.executable,
    place,
    modelPort: model.port,
  });
  const sessionIds: string[] = [];
  for (let made = 0; made < options.sessions; made++) {
    sessionIds.push(await startTalking(daemon, place.workspace));
  }
  await Bun.sleep(1_000);
  const restRssBytes = daemon.rssBytes();
  let peakRssBytes = restRssBytes;
  const watching = setInterval(() => {
    peakRssBytes = Math.max(peakRssBytes, daemon.rssBytes());
  }, rssEveryMs);
  try {
    await using crowd = createCrowd(
      { ...options, port: daemon.port, token: daemon.token, sessionIds, otherDialectPercent: 5 },
      options.processes,
    );
    await crowd.gather();
    crowd.measure();
    await Bun.sleep(options.seconds * 1000);
    const alone = await crowd.latencies();

    using stalled = await startStalled(daemon, sessionIds, options);
    crowd.measure();
    await Bun.sleep(options.stalledSeconds * 1000);
    const beside = await crowd.latencies();
    const ends = await stalled.findEnds();

    model.end();
    const documents = await readDocuments(daemon, sessionIds);
    const heads = Object.fromEntries(documents.map(({ sessionId, head }) => [sessionId, head]));
    const results = await crowd.finish(heads);
    const sum = sumResults(results);
    const cutCodes = ends
      .filter(({ ended }) => ended)
      .map(({ closeCode }) => `${closeCode ?? "none"}`);
    const subscribers = await countSubscribers(daemon);
    return {
      ...sum,
      events: documents.reduce((count, { head }) => count + head, 0),
      p50Ms: alone.at(0.5),
      p99Ms: alone.at(0.99),
      stalledP99Ms: beside.at(0.99),
      stalledMaxMs: beside.at(1),
      cut: cutCodes.length,
      cutCodes,
      restRssBytes,
      peakRssBytes,
      failures: [
        ...failuresOf(sum),
        ...compareWithLog(sum.hashes, documents),
        ...checkSkipped(results, documents),
        ...(cutCodes.length < ends.length
          ? [`${ends.length - cutCodes.length} of ${ends.length} stalled clients were not cut`]
          : []),
        ...(subscribers > 0 ? [`${subscribers} readers are left when all clients have gone`] : []),
      ],
    };
  } finally {
    clearInterval(watching);
  }
}

async function startTalking(daemon: DaemonProcess, workspace: string): Promise<string> {
  const { sessionId } = await daemon.ask<{ sessionId: string }>("/v3/sessions", {
    metadata: { workspace },
  });
  const turn = { clientId: "swarm", writerId: "swarm", content: "talk", mode: "do" };
  await daemon.ask(`/v3/sessions/${sessionId}/turns`, turn);
  return sessionId;
}

async function startStalled(
  { port, token }: DaemonProcess,
  sessionIds: readonly string[],
  { paused, pausedLive, mute }: SwarmOptions,
) {
  const clients: StalledClient[] = [];
  const add = async (count: number, reads: boolean, sessionId?: string) => {
    for (let made = 0; made < count; made++) {
      const of = sessionId ?? sessionIds[made % sessionIds.length] ?? "";
      const place = { sessionId: of, afterSeq: 0, reads };
      clients.push(await startStalledClient({ port, token, ...place }));
    }
  };
  await add(paused, false, backlogSession);
  await add(pausedLive, false);
  await add(mute, true);
  return {
    findEnds: () => Promise.all(clients.map((client) => client.findEnd(newsLimitMs))),
    [Symbol.dispose]: () => clients.forEach((client) => client[Symbol.dispose]()),
  };
}

interface SessionDocument {
  readonly sessionId: string;
  readonly head: number;
  /** By seq. */
  readonly texts: readonly string[];
}

/** What the log itself has of the sessions, once their turns are over. */
async function readDocuments(
  daemon: DaemonProcess,
  sessionIds: readonly string[],
): Promise<readonly SessionDocument[]> {
  return Promise.all(
    sessionIds.map(async (sessionId) => {
      for (;;) {
        const path = `/v3/sessions/${sessionId}/events?afterSeq=0`;
        const { events } = await daemon.ask<{
          events: { readonly seq: number; readonly event: string }[];
        }>(path);
        if (events.at(-1)?.event === "session.updated") {
          const texts: string[] = [];
          for (const event of events) texts[event.seq] = JSON.stringify(event);
          return { sessionId, head: events.at(-1)?.seq ?? 0, texts };
        }
        await Bun.sleep(50);
      }
    }),
  );
}

function failuresOf({ findings, behind, lost }: ReturnType<typeof sumResults>): readonly string[] {
  const count = countFindings(findings);
  return [
    ...(count > 0 ? [`${count} findings in what clients were told`] : []),
    ...(behind > 0 ? [`${behind} clients did not get everything`] : []),
    ...(lost > 0 ? [`${lost} good clients were closed`] : []),
  ];
}

/** What is stored is what was sent: the same texts, all of them. */
function compareWithLog(
  hashes: CrowdResult["hashes"],
  documents: readonly SessionDocument[],
): readonly string[] {
  return documents.flatMap(({ sessionId, head, texts }) => {
    const seen = hashes[sessionId] ?? [];
    const wrong = Array.from({ length: head }, (_, index) => index + 1).filter(
      (seq) => seen[seq] !== hashOf(texts[seq] ?? ""),
    );
    return wrong.length === 0
      ? []
      : [`${sessionId}: ${wrong.length} events differ from the log, first seq ${wrong[0]}`];
  });
}

/** The other dialect leaves out what it leaves out, and nothing else. */
function checkSkipped(
  results: readonly CrowdResult[],
  documents: readonly SessionDocument[],
): readonly string[] {
  const texts = new Map(documents.map((document) => [document.sessionId, document.texts]));
  const wrong = results
    .flatMap(({ skipped }) => skipped)
    .filter(({ sessionId, seq }) => {
      const text = texts.get(sessionId)?.[seq] ?? "";
      return toDialect(text, "opta-code") !== undefined;
    });
  return wrong.length === 0
    ? []
    : [`opta-code: ${wrong.length} events were left out, first seq ${wrong[0]?.seq}`];
}

async function countSubscribers(daemon: DaemonProcess): Promise<number> {
  let subscriberCount = 0;
  for (let attempt = 0; attempt < 50; attempt++) {
    const { runtime } = await daemon.ask<{ runtime: { subscriberCount: number } }>("/v3/metrics");
    ({ subscriberCount } = runtime);
    if (subscriberCount === 0) break;
    await Bun.sleep(100);
  }
  return subscriberCount;
}
