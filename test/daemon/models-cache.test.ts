import { expect, test } from "bun:test";
import { createModelsCache } from "../../src/daemon/models-cache.ts";
import { createTestClock } from "../support/test-clock.ts";
import { neverAborted } from "../support/fake-model-server.ts";

/** A cache whose loads a test ends one by one. */
function start() {
  const clock = createTestClock();
  const loads: (PromiseWithResolvers<string> & { readonly signal: AbortSignal })[] = [];
  const cache = createModelsCache({
    nowMs: clock.nowMs,
    load: (signal) => {
      const load = { ...Promise.withResolvers<string>(), signal };
      loads.push(load);
      return load.promise;
    },
  });
  const ask = (ifNoneMatch?: string, signal = neverAborted) =>
    cache.answer({ ifNoneMatch, signal });
  return { cache, clock, loads, ask };
}

const json = '{"models":[]}';
const etag = `"${new Bun.CryptoHasher("sha256").update(json).digest("hex")}"`;
const full = { status: 200, etag, text: json } as const;

test("a text is kept for 4.5 s from when it came, then loaded anew", async () => {
  const { ask, loads, clock } = start();
  const first = ask();
  clock.advance(1_000);
  loads[0]?.resolve(json);
  expect(await first).toEqual(full);
  clock.advance(4_499);
  expect(await ask()).toEqual(full);
  expect(loads).toHaveLength(1);
  clock.advance(1);
  const second = ask();
  loads[1]?.resolve("{}");
  expect(await second).toMatchObject({ status: 200, text: "{}" });
});

test("callers at the same time share one load", async () => {
  const { ask, loads } = start();
  const answers = [ask(), ask(etag), ask()];
  loads[0]?.resolve(json);
  expect(await Promise.all(answers)).toEqual([full, { status: 304, etag, text: "" }, full]);
  expect(loads).toHaveLength(1);
});

test.each([etag, `W/${etag}`, `"other", ${etag}`, "*"])(
  "who has the text already is not sent it again: %s",
  async (ifNoneMatch) => {
    const { ask, loads } = start();
    const answer = ask(ifNoneMatch);
    loads[0]?.resolve(json);
    expect(await answer).toEqual({ status: 304, etag, text: "" });
  },
);

test.each(['"other"', "", etag.slice(1, -1)])("who has another is: %s", async (ifNoneMatch) => {
  const { ask, loads } = start();
  const answer = ask(ifNoneMatch);
  loads[0]?.resolve(json);
  expect(await answer).toEqual(full);
});

test("a failure reaches all who waited, and is not kept", async () => {
  const { ask, loads } = start();
  const answers = Promise.allSettled([ask(), ask()]);
  loads[0]?.reject(new Error("gone"));
  expect((await answers).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  const again = ask();
  loads[1]?.resolve(json);
  expect(await again).toEqual(full);
});

test("a caller that goes does not disturb the others; when all have gone, the load is given up", async () => {
  const { ask, loads } = start();
  const [one, two] = [new AbortController(), new AbortController()];
  const answers = Promise.allSettled([ask("", one.signal), ask("", two.signal)]);
  one.abort();
  await Bun.sleep(0);
  expect(loads[0]?.signal.aborted).toBe(false);
  two.abort();
  expect((await answers).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(loads[0]?.signal.aborted).toBe(true);
  // What still comes of it is not kept.
  loads[0]?.resolve("late");
  const again = ask();
  loads[1]?.resolve(json);
  expect(await again).toEqual(full);
});

test("what is forgotten is loaded anew, also while a load is under way", async () => {
  const { ask, loads, cache } = start();
  const before = ask();
  cache.forget();
  const after = ask();
  loads[0]?.resolve("stale");
  loads[1]?.resolve(json);
  expect(await before).toMatchObject({ text: "stale" });
  expect(await after).toEqual(full);
  expect(await ask()).toEqual(full);
  cache.forget();
  void ask();
  expect(loads).toHaveLength(3);
});
