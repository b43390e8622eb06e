// Who may talk to the daemon. In this order: the Host it was called by (DNS rebinding), the Origin of a page (only
// those on the list, before anything else is told), then the token or a one-time ticket (contracts/daemon-v3.md
// sections 0.6 and 0.7, promises S3-S6). All refusals of a kind look alike.
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

export interface Access {
  /** True for exactly our own names with our own port. */
  isOwnHost(request: Request): boolean;
  /** "none": no page asks. */
  originOf(request: Request): "none" | "allowed" | "refused";
  /** True when the request carries the token, or with `tickets` a ticket, which is used up. */
  isAuthorized(request: Request, url: URL, options?: { readonly tickets?: boolean }): boolean;
  /** How long a refusal has to wait: nothing at first, then a second, once too many have failed within a minute. */
  refusalDelayMs(): number;
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

export function createAccess(options: AccessOptions): Access {
  const { nowMs } = options;
  const tokenDigest = sha256(options.token);
  const tickets = new Map<string, number>();
  let failures: number[] = [];

  function ownOrigins(): readonly string[] {
    const port = options.port();
    return [`http://127.0.0.1:${port}`, `http://localhost:${port}`];
  }

  function originOf(request: Request): "none" | "allowed" | "refused" {
    const origin = request.headers.get("origin");
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
    isOwnHost(request) {
      // Bun joins two Host headers with ", ", so that equality refuses those, too.
      const host = request.headers.get("host");
      const port = options.port();
      return [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`].includes(host ?? "");
    },
    originOf,
    isAuthorized(request, url, { tickets: takesTickets = false } = {}) {
      const bearer = /^Bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
      if (bearer !== undefined) return isEqual(sha256(bearer), tokenDigest);
      if (takesTickets && useTicket(url.searchParams.get("ticket"))) return true;
      const inUrl = url.searchParams.get("token");
      if (inUrl === null || !options.allowQueryToken() || originOf(request) !== "allowed") {
        return false;
      }
      return isEqual(sha256(inUrl), tokenDigest);
    },
    refusalDelayMs() {
      const now = nowMs();
      failures = [...failures.filter((at) => now - at < failureWindowMs), now].slice(
        -freeFailures - 1,
      );
      return failures.length > freeFailures ? failureDelayMs : 0;
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
