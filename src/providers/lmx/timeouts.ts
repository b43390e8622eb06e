// Every wait of the LMX client, with its reason, in milliseconds. A caller may shorten any of them.

export interface LmxTimeouts {
  /** One probe, whole. With the look-up behind it nothing reachable is said within 3 s. */
  readonly probeMs: number;
  /** How long a live fallback waits for the primary. */
  readonly primaryGraceMs: number;
  /** A look-up of models or status. */
  readonly lookUpMs: number;
  /** The WebSocket handshake. */
  readonly handshakeMs: number;
  /** Before the first token, in all; large models read long prompts for many minutes (lesson 16). */
  readonly firstTokenMs: number;
  /** Silence between two frames of an answer that has begun. */
  readonly idleMs: number;
  /** LMX closes a socket after 300 s without a client message, even while it generates (contracts/lmx.md row 11). */
  readonly keepAliveMs: number;
  /** A spare socket older than this is not trusted: the server closes idle ones after 300 s. */
  readonly spareSocketMs: number;
  /** When a request has brought no headers by then, whether the host is there is looked at; with reachMs: 3 s. */
  readonly firstReachMs: number;
  /** One TCP handshake. */
  readonly reachMs: number;
  /** How often a host that is silent before its first token is looked at. */
  readonly reachEveryMs: number;
  /** How often a wait for the first token is told; the person sees that it goes on. */
  readonly waitNoteMs: number;
  /** How long a failed WebSocket is remembered (row 13). */
  readonly webSocketRetryMs: number;
  /** When a load has not answered by then, the model list is polled as well (row 17). */
  readonly loadPollAfterMs: number;
  /** The first pause between two polls; it doubles up to 5 s. */
  readonly loadPollMs: number;
  /** A whole load; a 72B model from a slow disk takes minutes. */
  readonly loadMs: number;
}

const minuteMs = 60_000;

export const defaultLmxTimeouts: LmxTimeouts = {
  probeMs: 2_500,
  primaryGraceMs: 1_000,
  lookUpMs: 10_000,
  handshakeMs: 3_000,
  firstTokenMs: Infinity,
  idleMs: 10 * minuteMs,
  keepAliveMs: minuteMs,
  spareSocketMs: minuteMs,
  firstReachMs: 500,
  reachMs: 2_500,
  reachEveryMs: minuteMs,
  waitNoteMs: 1_000,
  webSocketRetryMs: 5 * minuteMs,
  loadPollAfterMs: 10_000,
  loadPollMs: 300,
  loadMs: 30 * minuteMs,
};
