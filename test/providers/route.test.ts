import { describe, expect, test } from "bun:test";
import { OptaError } from "../../src/protocol/error.ts";
import {
  findRoute,
  toCandidate,
  toCandidates,
  type ProbeOutcome,
} from "../../src/providers/route.ts";
import { createTestClock } from "../support/test-clock.ts";

const candidates = toCandidates({ host: "primary", port: 1, fallbackHosts: ["second", "third:3"] });

/** A route search whose probes are answered by hand. */
function search() {
  const clock = createTestClock();
  const answers = new Map<string, (outcome: ProbeOutcome<string>) => void>();
  const signals: AbortSignal[] = [];
  const found = findRoute<string>({
    candidates,
    probe: ({ host }, signal) => {
      signals.push(signal);
      return new Promise((resolve) => answers.set(host, resolve));
    },
    primaryGraceMs: 1000,
    clock,
    signal: new AbortController().signal,
  });
  const up = (host: string) => answers.get(host)?.({ up: true, found: host });
  const down = (host: string, reason = "down") => answers.get(host)?.({ up: false, reason });
  return { clock, found, up, down, signals };
}

describe("finding a route", () => {
  test("asks all candidates at once and takes the primary although a fallback was faster", async () => {
    const { found, up, signals, clock } = search();
    expect(signals).toHaveLength(3);
    up("second");
    await Bun.sleep(1);
    up("primary");
    expect((await found).candidate.server).toBe("primary:1");
    expect(signals.every((signal) => signal.aborted)).toBe(true);
    expect(clock.waiting()).toBe(0);
  });
  test("takes a fallback as soon as the primary is known to be down", async () => {
    const { found, up, down } = search();
    up("third");
    down("primary");
    expect(await found).toMatchObject({ candidate: { server: "third:3" }, found: "third" });
  });
  test("takes a fallback when the primary says nothing for a second", async () => {
    const { clock, found, up } = search();
    up("second");
    await Bun.sleep(1);
    clock.advance(1000);
    expect((await found).found).toBe("second");
  });
  test("takes a slow primary when nobody else is up", async () => {
    const { clock, found, up, down } = search();
    clock.advance(1500);
    down("second");
    down("third");
    up("primary");
    expect((await found).found).toBe("primary");
  });
  test("names every candidate and its reason when none is up", async () => {
    const { found, down } = search();
    down("third", "timed out after 2.5 s");
    down("primary", "connection refused");
    down("second", "host name not found");
    const error = await found.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(OptaError);
    expect(error).toMatchObject({
      code: "lmx-connection-refused",
      message:
        "no model server answers; tried primary:1 (connection refused), second:1 (host name not found), third:3 (timed out after 2.5 s)",
      hint: expect.stringContaining("opta config set connection.host"),
    });
  });
});

describe("candidates", () => {
  test("come in their order, without duplicates", () => {
    const all = toCandidates({ host: "a", port: 1234, fallbackHosts: ["b:99", "a:1234", "b:99"] });
    expect(all.map(({ server }) => server)).toEqual(["a:1234", "b:99"]);
  });
  test.each([
    ["localhost", "localhost", 1234, "localhost:1234"],
    ["host.local:80", "host.local", 80, "host.local:80"],
    ["::1", "::1", 1234, "[::1]:1234"],
    ["[::1]:99", "::1", 99, "[::1]:99"],
    ["[fe80::1]", "fe80::1", 1234, "[fe80::1]:1234"],
  ])("reads %s", (text, host, port, server) => {
    expect(toCandidate(text, 1234)).toEqual({ host, port, server });
  });
  test.each(["http://host", "user@host", "host/path", "a b", "", "host:99999", "host:0", "host:x"])(
    "refuses %p",
    (text) => {
      expect(() => toCandidate(text, 1234)).toThrow(OptaError);
    },
  );
  test("does not repeat a password", () => {
    expect(() => toCandidate("me:hidden@host", 1234)).not.toThrow(/hidden/);
    expect(() => toCandidate("me:hidden@host", 1234)).toThrow("is not a host");
  });
});
