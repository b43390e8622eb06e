// Many WebSocket clients in one process, some of which leave and come back all the time. Each checks what it gets
// (swarm-check.ts) and how long it took; spoken to over Bun's IPC by swarm-crowd.ts.
import { createRandom } from "../../test/support/command-lines.ts";
import type { Dialect } from "../../src/protocol/dialect.ts";
import { createStreamCheck, type Hashes, noFindings, type StreamCheck } from "./swarm-check.ts";
import type { CrowdOrder, CrowdReport, CrowdSettings } from "./swarm-crowd.ts";
import { createLatencies } from "./swarm-latency.ts";
import { preciseNowMs, stampOf } from "./swarm-model.ts";

interface Client {
  readonly sessionId: string;
  readonly dialect: Dialect;
  readonly check: StreamCheck;
  readonly churns: boolean;
  socket: WebSocket | undefined;
  /** What left before was replayed to it, however long ago that was. */
  openedAtMs: number;
}

/** A client that churns stays for up to the first, is away for up to the second. */
const stayMs = 1_500;
const awayMs = 500;
/** Handshakes under way at once while the crowd gathers. */
const gatheringAtOnce = 20;
const catchUpLimitMs = 20_000;

const findings = noFindings();
const hashes = new Map<string, Hashes>();
const clients: Client[] = [];
let latencies = createLatencies();
let delivered = 0;
let reconnects = 0;
let lost = 0;
/** Churners stay from now on, so that they can catch up; then all go. */
let ending = false;
let gone = false;

process.on("message", (order: CrowdOrder) => void obey(order));

async function obey(order: CrowdOrder): Promise<void> {
  switch (order.kind) {
    case "gather": {
      await gather(order.settings);
      return tell({ kind: "gathered" });
    }
    case "measure": {
      latencies = createLatencies();
      return;
    }
    case "latencies":
      return tell({ kind: "latencies", counts: latencies.counts() });
    case "finish": {
      await finish(order.heads);
      return;
    }
  }
}

async function gather(settings: CrowdSettings): Promise<void> {
  const random = createRandom(settings.seed);
  for (let index = 0; index < settings.clients; index++) {
    const sessionId = settings.sessionIds[index % settings.sessionIds.length] ?? "";
    const dialect = random.below(100) < settings.otherDialectPercent ? "opta-code" : "opta";
    const shared = hashes.get(sessionId) ?? [];
    hashes.set(sessionId, shared);
    const name = `client ${index} of ${sessionId}`;
    clients.push({
      sessionId,
      dialect,
      check: createStreamCheck({ name, dialect, hashes: shared, findings }),
      churns: random.below(100) < settings.churnPercent,
      socket: undefined,
      openedAtMs: 0,
    });
  }
  const waiting = clients.values();
  const gatherSome = async () => {
    for (const client of waiting) await connect(client, settings);
  };
  await Promise.all(Array.from({ length: gatheringAtOnce }, gatherSome));
  for (const client of clients) if (client.churns) void churn(client, { settings, random });
}

function connect(client: Client, { port, token }: CrowdSettings): Promise<void> {
  const { sessionId, dialect, check } = client;
  const query = `sessionId=${sessionId}&afterSeq=${check.cursor()}&dialect=${dialect}`;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v3/ws?${query}`, {
    headers: { authorization: `Bearer ${token}` },
  } as never);
  client.socket = socket;
  client.openedAtMs = Number.POSITIVE_INFINITY;
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.onopen = () => {
    client.openedAtMs = preciseNowMs();
    resolve();
  };
  socket.onmessage = ({ data }) => receive(client, String(data));
  socket.onclose = ({ code, reason }) => {
    lost += 1;
    if (lost <= 3) findings.samples.push(`a client of ${sessionId} was closed: ${code} ${reason}`);
    resolve();
  };
  return promise;
}

function receive(client: Client, text: string): void {
  delivered += 1;
  client.check.note(text);
  const stamp = stampOf(text);
  if (stamp !== undefined && stamp > client.openedAtMs) latencies.note(preciseNowMs() - stamp);
}

/** Says goodbye or just goes, in the middle of whatever comes; what it did not take in before is not its own. */
async function churn(
  client: Client,
  { settings, random }: { settings: CrowdSettings; random: ReturnType<typeof createRandom> },
): Promise<void> {
  for (;;) {
    await Bun.sleep(random.below(stayMs));
    if (ending) return;
    leave(client, { politely: random.below(2) === 0 });
    await Bun.sleep(random.below(awayMs));
    if (gone) return;
    reconnects += 1;
    await connect(client, settings);
  }
}

function leave({ socket }: Client, { politely }: { readonly politely: boolean }): void {
  if (!socket) return;
  socket.onmessage = null;
  socket.onclose = null;
  if (politely) socket.close();
  else socket.terminate();
}

/** Waits until everybody has everything, then reports. */
async function finish(heads: Readonly<Record<string, number>>): Promise<void> {
  ending = true;
  const isBehind = ({ sessionId, check }: Client) => check.cursor() < (heads[sessionId] ?? 0);
  const giveUpAt = performance.now() + catchUpLimitMs;
  while (clients.some(isBehind) && performance.now() < giveUpAt) await Bun.sleep(20);
  const behind = clients.filter(isBehind);
  gone = true;
  for (const client of clients) leave(client, { politely: true });
  tell({
    kind: "report",
    findings,
    behind: behind.length,
    lost,
    delivered,
    reconnects,
    hashes: Object.fromEntries(hashes),
    skipped: clients.flatMap(({ sessionId, check }) =>
      check.skipped().map((seq) => ({ sessionId, seq })),
    ),
  });
}

function tell(report: CrowdReport): void {
  process.send?.(report);
}
