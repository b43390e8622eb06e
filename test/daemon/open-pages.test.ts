// Connections that pages keep open: those whose page may not stay any more are ended, and nothing looks at none.
import { expect, test } from "bun:test";
import type { Admission } from "../../src/daemon/access.ts";
import { createOpenPages } from "../../src/daemon/open-pages.ts";
import { createTestClock } from "../support/test-clock.ts";

const page = "http://localhost:3004";
const turn = () => new Promise((resolve) => setImmediate(resolve));

function createPages() {
  const clock = createTestClock();
  const revoked = new Set<Admission>();
  const looks = { count: 0 };
  const pages = createOpenPages({
    clock,
    access: { isStillAllowed: (admission) => !revoked.has(admission) },
    refreshSettings: async () => void (looks.count += 1),
  });
  const ended: string[] = [];
  const keep = (name: string, origin: string | null = page) => {
    const admission = { origin, byQueryToken: false };
    return { admission, leave: pages.keep(admission, () => void ended.push(name)) };
  };
  return { clock, revoked, looks, ended, keep };
}

test("a page that was revoked is ended within five seconds, once, and the others stay", async () => {
  const { clock, revoked, ended, keep } = createPages();
  const one = keep("one");
  keep("other");
  clock.advance(5_000);
  await turn();
  expect(ended).toEqual([]);
  revoked.add(one.admission);
  clock.advance(5_000);
  await turn();
  expect(ended).toEqual(["one"]);
  clock.advance(60_000);
  await turn();
  expect(ended).toEqual(["one"]);
});

test("without pages nothing looks, and a client that is none is never ended", async () => {
  const { clock, revoked, looks, ended, keep } = createPages();
  revoked.add(keep("command line", null).admission);
  const { leave } = keep("page");
  clock.advance(5_000);
  await turn();
  expect(looks.count).toBe(1);
  leave();
  clock.advance(600_000);
  await turn();
  expect(looks.count).toBe(1);
  expect(ended).toEqual([]);
});
