// Who may talk to the daemon: first the Origin of a page (only those on the list, before anything else is told), then
// the token or a one-time ticket (contracts/daemon-v3.md sections 0.6 and 0.7, promises S4-S6). All refusals of a kind
// look alike. By which name the daemon may be called is server.ts.
import { createId } from "../base/ids.ts";

export interface AccessOptions {
  readonly token: string;
  /** Known once the server listens. */
  readonly port: () => number;
  readonly allowedOrigins: () => readonly string[];
  /** `?token=` from pages of allowed origins, for clients that know nothing else. */
  readonly allowQueryToken: () => boolean;
  /** Milliseconds from an arbitrary start. */
  readonly nowMs: () => number;
}

/** How a connection was let in. */
export interface Admission {
  /** Of the page that opened it; null: no page did. */
  readonly origin: string | null;
  readonly byQueryToken: boolean;
}

export interface Access {
  /** "none": no page asks. @param origin the Origin header */
  judgeOrigin(origin: string | null): "none" | "allowed" | "refused";
  /** Undefined unless the request carries the token, or with `tickets` a ticket, which is used up. */
  admit(
    request: Request,
    url: URL,
    options?: { readonly tickets?: boolean },
  ): Admission | undefined;
  /** False once the settings would not let it in any more. */
  isStillAllowed(admission: Admission): boolean;
  /** Resolves when a refusal may be told: at once at first, then after a second, once too many failed within a minute. */
  delayRefusal(): Promise<void>;
  /** A new ticket for one WebSocket. */
  issueTicket(): { readonly ticket: string; readonly expiresInMs: number };
}

const ticketLifeMs = 30_000;
/** Tickets that were never used; the oldest goes first. */
const openTicketLimit = 1_000;
/** Failures within a minute before each further one waits: guessing a token of 256 bits is hopeless anyway. */
const freeFailures = 20;
const failureWindowMs = 60_000;
const failureDelayMs = 1_000;
/** Refusals that wait at once: more are told without a delay, so that they cannot fill the memory. */
const delayedLimit = 100;

export function createAccess(options: AccessOptions): Access {
  const { nowMs } = options;
  const tokenDigest = sha256(options.token);
  const tickets = new Map<string, number>();
  let failures: number[] = [];
  let delayed = 0;

  function ownOrigins(): readonly string[] {
    const port = options.port();
    return [`http://127.0.0.1:${port}`, `http://localhost:${port}`];
  }

  function judgeOrigin(origin: string | null): "none" | "allowed" | "refused" {
    if (origin === null) return "none";
    const allowed = [...ownOrigins(), ...options.allowedOrigins()].includes(origin);
    return allowed ? "allowed" : "refused";
  }

  function useTicket(ticket: string | null): boolean {
    if (ticket === null) return false;
    const digest = hex(sha256(ticket));
    const expiresMs = tickets.get(digest);
    tickets.delete(digest);
    return expiresMs !== undefined && nowMs() < expiresMs;
  }

  return {
    judgeOrigin,
    admit(request, url, { tickets: takesTickets = false } = {}) {
      const origin = request.headers.get("origin");
      const bearer = /^Bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
      const letIn = (byQueryToken: boolean) => ({ origin, byQueryToken });
      if (bearer !== undefined) {
        return isEqual(sha256(bearer), tokenDigest) ? letIn(false) : undefined;
      }
      if (takesTickets && useTicket(url.searchParams.get("ticket"))) return letIn(false);
      const inUrl = url.searchParams.get("token");
      if (inUrl === null || !options.allowQueryToken()) return undefined;
      if (judgeOrigin(origin) !== "allowed") return undefined;
      return isEqual(sha256(inUrl), tokenDigest) ? letIn(true) : undefined;
    },
    isStillAllowed: ({ origin, byQueryToken }) =>
      judgeOrigin(origin) !== "refused" && (!byQueryToken || options.allowQueryToken()),
    async delayRefusal() {
      const now = nowMs();
      const recent = failures.filter((at) => now - at < failureWindowMs);
      failures = [...recent, now].slice(-freeFailures - 1);
      if (failures.length <= freeFailures || delayed >= delayedLimit) return;
      delayed += 1;
      await Bun.sleep(failureDelayMs);
      delayed -= 1;
    },
    issueTicket() {
      const ticket = createId() + createId();
      const oldest = tickets.keys().next().value;
      if (tickets.size >= openTicketLimit && oldest !== undefined) tickets.delete(oldest);
      tickets.set(hex(sha256(ticket)), nowMs() + ticketLifeMs);
      return { ticket, expiresInMs: ticketLifeMs };
    },
  };
}

/** 32 random bytes as text. */
export function createToken(): string {
  return hex(crypto.getRandomValues(new Uint8Array(32)));
}

function sha256(text: string): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(text).digest();
}

/** Takes as long for every pair: what is compared are digests, and all of their bytes. */
function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  let difference = one.length ^ other.length;
  for (let index = 0; index < one.length; index++) difference |= one[index]! ^ other[index]!;
  return difference === 0;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
