// A session with very many events: how soon a client that comes back gets its first event, how fast one that knows
// nothing gets all of them, and what the daemon's next start costs (promises E4, D5).
import { createDaemonHome, type DaemonProcess, startDaemonProcess } from "./swarm-daemon.ts";
import { fillSessions } from "./swarm-fill.ts";
import { percentile } from "./swarm-latency.ts";

export interface ReplayOptions {
  readonly executable: string;
  readonly eventCount: number;
  /** Beside the large one, each with a file and a few events. */
  readonly sessionCount: number;
}

export interface ReplayReport {
  /** From the handshake's start, for a cursor near the head. */
  readonly firstFrameMs: { readonly p50: number; readonly max: number };
  readonly eventsPerSecond: number;
  readonly megabytes: number;
  /** Of the start with that log. */
  readonly readyMs: number;
  readonly restRssBytes: number;
  /** After all has been read once. */
  readonly replayRssBytes: number;
  readonly problems: readonly string[];
}

const largeSession = "large";
const eventsPerSmallSession = 20;
const attempts = 20;
/** How far behind the head a client is that comes back. */
const missedEvents = 10;

export async function measureReplay(options: ReplayOptions): Promise<ReplayReport> {
  using place = createDaemonHome();
  const small = Array.from({ length: options.sessionCount }, (_, index) => ({
    sessionId: `small${index}`,
    eventCount: eventsPerSmallSession,
  }));
  fillSessions(place, [...small, { sessionId: largeSession, eventCount: options.eventCount }]);
  await using daemon = await startDaemonProcess({ executable: options.executable, place });
  const restRssBytes = daemon.rssBytes();
  const problems: string[] = [];
  const near: number[] = [];
  for (let attempt = 0; attempt < attempts; attempt++) {
    const afterSeq = options.eventCount - missedEvents;
    const { firstFrameMs, problem } = await readAll(daemon, { ...options, afterSeq });
    near.push(firstFrameMs);
    if (problem !== undefined) problems.push(`near the head: ${problem}`);
  }
  const all = await readAll(daemon, { ...options, afterSeq: 0 });
  if (all.problem !== undefined) problems.push(`from the beginning: ${all.problem}`);
  return {
    firstFrameMs: { p50: percentile(near, 0.5), max: Math.max(...near) },
    eventsPerSecond: options.eventCount / (all.elapsedMs / 1000),
    megabytes: all.characters / 1024 / 1024,
    readyMs: daemon.readyMs,
    restRssBytes,
    replayRssBytes: daemon.rssBytes(),
    problems,
  };
}

interface Reading {
  readonly firstFrameMs: number;
  /** From the handshake's start to the last event. */
  readonly elapsedMs: number;
  readonly characters: number;
  readonly problem: string | undefined;
}

function readAll(
  { port, token }: DaemonProcess,
  { afterSeq, eventCount }: { readonly afterSeq: number; readonly eventCount: number },
): Promise<Reading> {
  const { promise, resolve } = Promise.withResolvers<Reading>();
  const query = `sessionId=${largeSession}&afterSeq=${afterSeq}`;
  const startedMs = performance.now();
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v3/ws?${query}`, {
    headers: { authorization: `Bearer ${token}` },
  } as never);
  let expected = afterSeq + 1;
  let characters = 0;
  let firstFrameMs = Number.NaN;
  const finish = (problem?: string) => {
    socket.onclose = null;
    socket.close();
    resolve({ firstFrameMs, elapsedMs: performance.now() - startedMs, characters, problem });
  };
  socket.onmessage = ({ data }) => {
    const text = String(data);
    if (expected === afterSeq + 1) firstFrameMs = performance.now() - startedMs;
    if (!text.includes(`"seq":${expected},`)) {
      return finish(`expected seq ${expected}, got ${text.slice(0, 200)}`);
    }
    characters += text.length;
    if (expected === eventCount) finish();
    expected += 1;
  };
  socket.onclose = ({ code }) => finish(`closed with ${code} before seq ${expected}`);
  return promise;
}
