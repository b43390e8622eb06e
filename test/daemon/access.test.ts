// Who may talk to the daemon: origins, the token wherever it is sent, tickets, and what failures cost.
import { describe, expect, test } from "bun:test";
import { type Access, createAccess, createToken } from "../../src/daemon/access.ts";

const token = createToken();
const port = 9999;
const ownOrigin = `http://127.0.0.1:${port}`;
const page = "http://localhost:3004";

interface Place {
  readonly access: Access;
  /** Milliseconds. */
  clock: number;
  allowedOrigins: string[];
  allowQueryToken: boolean;
}

function createPlace(): Place {
  const place: Place = {
    clock: 0,
    allowedOrigins: [],
    allowQueryToken: false,
    access: createAccess({
      token,
      port: () => port,
      allowedOrigins: () => place.allowedOrigins,
      allowQueryToken: () => place.allowQueryToken,
      nowMs: () => place.clock,
    }),
  };
  return place;
}

interface Sent {
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly tickets?: boolean;
}

function isAuthorized({ access }: Place, { query = "", headers = {}, tickets }: Sent): boolean {
  const url = new URL(`http://127.0.0.1:${port}/v3/ws${query}`);
  const request = new Request(String(url), { headers });
  return access.admit(request, url, tickets === undefined ? {} : { tickets }) !== undefined;
}

function bearer(value: string): Sent {
  return { headers: { authorization: value } };
}

function originOf({ access }: Place, origin: string | undefined): string {
  return access.judgeOrigin(origin ?? null);
}

describe("an origin", () => {
  test("is allowed when it is the daemon's own or on the list, letter for letter", () => {
    const place = createPlace();
    expect(originOf(place, undefined)).toBe("none");
    expect(originOf(place, ownOrigin)).toBe("allowed");
    expect(originOf(place, `http://localhost:${port}`)).toBe("allowed");
    const foreign = [
      "null",
      "",
      page,
      `https://127.0.0.1:${port}`,
      `${ownOrigin}/`,
      `${ownOrigin}.evil.example`,
      "http://127.0.0.1@evil",
      "http://localhost.evil",
      "HTTP://LOCALHOST:9999",
      `${ownOrigin}, ${ownOrigin}`,
    ];
    for (const origin of foreign) {
      expect({ origin, is: originOf(place, origin) }).toEqual({ origin, is: "refused" });
    }
  });

  test("is asked of the settings each time", () => {
    const place = createPlace();
    place.allowedOrigins = [page];
    expect(originOf(place, page)).toBe("allowed");
    place.allowedOrigins = [];
    expect(originOf(place, page)).toBe("refused");
  });
});

describe("the token", () => {
  test("counts as a bearer, whatever the case of the scheme", () => {
    const place = createPlace();
    for (const scheme of ["Bearer", "bearer", "BEARER"]) {
      expect(isAuthorized(place, bearer(`${scheme} ${token}`))).toBe(true);
    }
  });

  test("counts in no other form", () => {
    const place = createPlace();
    const forms = [
      "",
      "Bearer",
      token,
      `Basic ${token}`,
      `Bearer${token}`,
      `Bearer ${token} ${token}`,
      `Bearer ${token}, Bearer ${token}`,
      `Bearer ${token.slice(1)}`,
      `Bearer ${token}0`,
      `Bearer ${token.toUpperCase()}`,
      `x Bearer ${token}`,
    ];
    for (const form of forms) {
      const is = isAuthorized(place, bearer(form));
      expect({ form, is }).toEqual({ form, is: false });
    }
  });

  test("counts in a URL only where the settings say so, and only from an allowed page", () => {
    const place = createPlace();
    const query = `?token=${token}`;
    const fromPage = { query, headers: { origin: page } };
    place.allowedOrigins = [page];
    expect(isAuthorized(place, fromPage)).toBe(false);
    place.allowQueryToken = true;
    expect(isAuthorized(place, fromPage)).toBe(true);
    expect(isAuthorized(place, { query })).toBe(false);
    expect(isAuthorized(place, { query, headers: { origin: "http://localhost.evil" } })).toBe(
      false,
    );
    expect(isAuthorized(place, { ...fromPage, query: "?token=wrong" })).toBe(false);
    expect(isAuthorized(place, { ...fromPage, query: "?token=" })).toBe(false);
  });

  test("in a URL, once revoked, lets no connection stay; a bearer and a ticket do, as long as their page may", () => {
    const place = createPlace();
    const { access } = place;
    place.allowedOrigins = [page];
    place.allowQueryToken = true;
    const admit = (query: string, authorization?: string) => {
      const url = new URL(`http://127.0.0.1:${port}/v3/ws${query}`);
      const headers = { origin: page, ...(authorization ? { authorization } : {}) };
      return access.admit(new Request(String(url), { headers }), url, { tickets: true })!;
    };
    const byQuery = admit(`?token=${token}`, "Basic x");
    const byTicket = admit(`?ticket=${access.issueTicket().ticket}&token=x`);
    const byBearer = admit("?token=x", `Bearer ${token}`);
    const stay = () => [byQuery, byTicket, byBearer].map(access.isStillAllowed);
    expect(stay()).toEqual([true, true, true]);
    place.allowQueryToken = false;
    expect(stay()).toEqual([false, true, true]);
    place.allowedOrigins = [];
    expect(stay()).toEqual([false, false, false]);
  });

  test("in a URL does not mend a wrong bearer", () => {
    const place = createPlace();
    place.allowedOrigins = [page];
    place.allowQueryToken = true;
    const headers = { origin: page, authorization: "Bearer wrong" };
    expect(isAuthorized(place, { query: `?token=${token}`, headers })).toBe(false);
  });

  test("is 32 random bytes", () => {
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    expect(createToken()).not.toBe(createToken());
  });
});

describe("a ticket", () => {
  const useTicket = (place: Place, ticket: string, tickets = true) =>
    isAuthorized(place, { query: `?ticket=${ticket}`, tickets });

  test("opens one socket, once", () => {
    const place = createPlace();
    const { ticket } = place.access.issueTicket();
    expect(useTicket(place, ticket)).toBe(true);
    expect(useTicket(place, ticket)).toBe(false);
  });

  test("opens nothing but a socket, and is still good for one then", () => {
    const place = createPlace();
    const { ticket } = place.access.issueTicket();
    expect(useTicket(place, ticket, false)).toBe(false);
    expect(useTicket(place, ticket)).toBe(true);
  });

  test("is good until it expires, and not a moment longer", () => {
    const place = createPlace();
    const { ticket, expiresInMs } = place.access.issueTicket();
    const other = place.access.issueTicket().ticket;
    place.clock = expiresInMs - 1;
    expect(useTicket(place, ticket)).toBe(true);
    place.clock = expiresInMs;
    expect(useTicket(place, other)).toBe(false);
    expect(expiresInMs).toBe(30_000);
  });

  test("that was made up opens nothing", () => {
    const place = createPlace();
    place.access.issueTicket();
    for (const ticket of ["", "x", token, "0".repeat(24)])
      expect(useTicket(place, ticket)).toBe(false);
  });

  test("makes room for newer ones, the oldest first", () => {
    const place = createPlace();
    const tickets = Array.from({ length: 1_001 }, () => place.access.issueTicket().ticket);
    expect(new Set(tickets).size).toBe(1_001);
    expect(useTicket(place, tickets[0] ?? "")).toBe(false);
    expect(useTicket(place, tickets[1] ?? "")).toBe(true);
    expect(useTicket(place, tickets[1_000] ?? "")).toBe(true);
  });
});

describe("a refusal", () => {
  /** Whether it is told before any timer can fire. */
  const isAtOnce = ({ access }: Place) =>
    Promise.race([access.delayRefusal().then(() => true), Bun.sleep(0).then(() => false)]);

  test("is told at once twenty times a minute, and waits from then on", async () => {
    const place = createPlace();
    for (let count = 0; count < 20; count += 1) expect(await isAtOnce(place)).toBe(true);
    expect(await isAtOnce(place)).toBe(false);
    expect(await isAtOnce(place)).toBe(false);
  });

  test("is told at once again when the failures are a minute old", async () => {
    const place = createPlace();
    for (let count = 0; count < 20; count += 1) await place.access.delayRefusal();
    place.clock = 59_999;
    expect(await isAtOnce(place)).toBe(false);
    place.clock = 120_000;
    expect(await isAtOnce(place)).toBe(true);
  });

  test("waits with at most a hundred others, so that waiting fills no memory", async () => {
    const place = createPlace();
    for (let count = 0; count < 20; count += 1) await place.access.delayRefusal();
    const waiting = Array.from({ length: 100 }, () => isAtOnce(place));
    expect(await isAtOnce(place)).toBe(true);
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([false]));
  });
});
