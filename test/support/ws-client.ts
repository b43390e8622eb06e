// An independent WebSocket client for acceptance tests: `ws` under Node, in a process of its own (under Bun that
// package's name means Bun's own). `await using client = await openNodeSocket(daemon.state, {sessionId, afterSeq: 0})`.
import { join } from "node:path";
import type { OptaEvent } from "../../src/protocol/event.ts";
import { toQuery } from "../../src/protocol/query.ts";
import type { DaemonState } from "../../src/store/daemon-state.ts";

export interface NodeSocketOptions {
  readonly sessionId: string;
  readonly afterSeq?: number;
  readonly dialect?: "opta" | "opta-code";
}

type Order =
  | { readonly send: string }
  | { readonly ping: true }
  | { readonly pause: true }
  | { readonly resume: true }
  | { readonly close: number };

interface Said {
  readonly atMs: number;
  readonly opened?: true;
  readonly refused?: number;
  readonly failed?: string;
  readonly frame?: string;
  readonly ping?: true;
  readonly pong?: true;
  readonly closed?: number;
  readonly reason?: string;
}

export interface NodeSocket extends AsyncDisposable {
  /** Envelopes, in the order they came. */
  readonly events: readonly OptaEvent[];
  /** When each of them came, in milliseconds since the epoch. */
  readonly arrivalsMs: readonly number[];
  /** All else, parsed: acks, errors, heartbeats. */
  readonly answers: readonly Readonly<Record<string, unknown>>[];
  /** Pongs of the server. */
  readonly pongs: () => number;
  send(frame: unknown): void;
  order(order: Order): void;
  /** Resolves as soon as `isTrue`, asked after everything that comes. @throws Error naming `what` when it never is */
  until(isTrue: () => boolean, what: string): Promise<void>;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
}

const script = join(import.meta.dir, "ws-client.mjs");
const patienceMs = 20_000;

/** Resolves after the handshake. @throws Error with the status of a refusal */
export async function openNodeSocket(
  { port, token }: DaemonState,
  options: NodeSocketOptions,
): Promise<NodeSocket> {
  const url = `ws://127.0.0.1:${port}/v3/ws${toQuery({ ...options })}`;
  const settings = { url, headers: { authorization: `Bearer ${token}` } };
  const child = Bun.spawn(["node", script, JSON.stringify(settings)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const events: OptaEvent[] = [];
  const arrivalsMs: number[] = [];
  const answers: Readonly<Record<string, unknown>>[] = [];
  let pongs = 0;
  const waiting = new Set<() => void>();
  const closed = Promise.withResolvers<{ readonly code: number; readonly reason: string }>();
  const opened = Promise.withResolvers<void>();

  function hear({ atMs, frame, ...said }: Said): void {
    if (said.opened) opened.resolve();
    if (said.refused !== undefined) opened.reject(new Error(`refused: ${said.refused}`));
    if (said.failed !== undefined) opened.reject(new Error(said.failed));
    if (said.pong) pongs += 1;
    if (said.closed !== undefined) closed.resolve({ code: said.closed, reason: said.reason ?? "" });
    if (frame !== undefined) {
      const parsed = JSON.parse(frame) as Record<string, unknown>;
      if (!("seq" in parsed)) answers.push(parsed);
      else {
        events.push(parsed as unknown as OptaEvent);
        arrivalsMs.push(atMs);
      }
    }
    for (const check of waiting) check();
  }

  void (async () => {
    let text = "";
    const decoder = new TextDecoder();
    for await (const bytes of child.stdout) {
      const lines = (text + decoder.decode(bytes, { stream: true })).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) hear(JSON.parse(line) as Said);
    }
  })();

  const client: NodeSocket = {
    events,
    arrivalsMs,
    answers,
    pongs: () => pongs,
    send: (frame) => client.order({ send: JSON.stringify(frame) }),
    order(order) {
      child.stdin.write(`${JSON.stringify(order)}\n`);
      void child.stdin.flush();
    },
    until: (isTrue, what) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(check);
          reject(new Error(`waited in vain for ${what}`));
        }, patienceMs);
        const check = () => {
          if (!isTrue()) return;
          clearTimeout(timer);
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    closed: closed.promise,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
  try {
    await opened.promise;
    return client;
  } catch (thrown) {
    await client[Symbol.asyncDispose]();
    throw thrown;
  }
}
