// What was learnt about model servers lately (cache/endpoints.json), so that the next process can send its
// request after one handshake. Only ever a guess: whoever uses it checks it while the answer comes. Losing the
// file, or failing to write it, costs a round trip and nothing else. It holds no keys and no prompts.
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import * as z from "zod";
import { writeFileAtomic } from "../base/atomic-file.ts";
import { modelInfoSchema, serverKinds } from "../protocol/model.ts";

const endpointSchema = z.object({
  kind: z.enum(serverKinds).exclude(["anthropic"]),
  version: z.string().nullable(),
  /** Where its WebSocket is; null when it has none that works. */
  webSocketPath: z.string().nullable(),
  /** In the server's order. */
  models: z.array(modelInfoSchema),
  /** Milliseconds since the epoch. */
  savedAtMs: z.number(),
});

const fileSchema = z.object({
  version: z.literal(1),
  endpoints: z.record(z.string(), endpointSchema),
});

export type RememberedEndpoint = z.infer<typeof endpointSchema>;
export type Learnt = Omit<RememberedEndpoint, "savedAtMs">;

export interface EndpointCache {
  /** What is known of "host:port" and not too old. */
  find(server: string): RememberedEndpoint | undefined;
  /** Writes when this is news, or what is written grows old. Never throws. */
  remember(server: string, learnt: Learnt): void;
  forget(server: string): void;
}

/** Servers are restarted and models swapped by hand: minutes, not hours. */
const lifeMs = 10 * 60_000;
/** A WebSocket that failed is tried again after this (contracts/lmx.md row 13). */
const noWebSocketLifeMs = 5 * 60_000;
/** What is confirmed while younger than this is not written again. */
const youthMs = lifeMs / 2;
const maxEndpoints = 16;
const maxFileBytes = 1_000_000;

/** @param path the file; undefined keeps nothing. @param now milliseconds since the epoch */
export function createEndpointCache(
  path: string | undefined,
  now: () => number = Date.now,
): EndpointCache {
  let known: Record<string, RememberedEndpoint> | undefined;
  const endpoints = () => (known ??= path === undefined ? {} : read(path));
  const write = (changed: Record<string, RememberedEndpoint>) => {
    const newest = Object.entries(changed)
      .toSorted(([, a], [, b]) => b.savedAtMs - a.savedAtMs)
      .slice(0, maxEndpoints);
    known = Object.fromEntries(newest);
    if (path === undefined) return;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    } catch {
      return; // a place that cannot be written to: then nothing is remembered
    }
    const text = `${JSON.stringify({ version: 1, endpoints: known })}\n`;
    writeFileAtomic(path, text, { mode: 0o600 }).catch(() => undefined); // as above
  };
  return {
    find(server) {
      const found = Object.hasOwn(endpoints(), server) ? endpoints()[server] : undefined;
      if (found === undefined) return undefined;
      const lacksSocket = found.kind === "lmx" && found.webSocketPath === null;
      const ageMs = now() - found.savedAtMs;
      // A clock that was set back says nothing about age.
      return ageMs >= 0 && ageMs < (lacksSocket ? noWebSocketLifeMs : lifeMs) ? found : undefined;
    },
    remember(server, learnt) {
      const before = endpoints()[server];
      if (before !== undefined && isYoung(before, now()) && isSame(before, learnt)) return;
      write({ ...endpoints(), [server]: { ...learnt, savedAtMs: now() } });
    },
    forget(server) {
      const { [server]: gone, ...rest } = endpoints();
      if (gone !== undefined) write(rest);
    },
  };
}

function isYoung({ savedAtMs }: RememberedEndpoint, nowMs: number): boolean {
  return nowMs >= savedAtMs && nowMs - savedAtMs < youthMs;
}

function isSame(before: RememberedEndpoint, learnt: Learnt): boolean {
  return Bun.deepEquals(before, { ...learnt, savedAtMs: before.savedAtMs });
}

/** A missing or broken file is an empty one. */
function read(path: string): Record<string, RememberedEndpoint> {
  try {
    // A FIFO of that name would block for ever, and no cache of ours is large.
    const stats = statSync(path);
    if (!stats.isFile() || stats.size > maxFileBytes) return {};
    const parsed = fileSchema.safeParse(JSON.parse(readFileSync(path, "utf8")));
    return parsed.success ? parsed.data.endpoints : {};
  } catch {
    return {};
  }
}
