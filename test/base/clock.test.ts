import { expect, test } from "bun:test";
import { sleep, systemClock } from "../../src/base/clock.ts";
import { createTestClock } from "../support/test-clock.ts";

test("sleep ends when its time has come, not before", async () => {
  const clock = createTestClock();
  const { signal } = new AbortController();
  let isOver = false;
  const sleeping = sleep(1000, { clock, signal }).then(() => (isOver = true));
  clock.advance(999);
  await Bun.sleep(1);
  expect(isOver).toBe(false);
  clock.advance(1);
  await sleeping;
  expect(isOver).toBe(true);
});

test("sleep ends at once on abort and leaves no timer", async () => {
  const clock = createTestClock();
  const controller = new AbortController();
  const sleeping = sleep(1000, { clock, signal: controller.signal });
  controller.abort();
  await sleeping;
  await sleep(1000, { clock, signal: controller.signal });
  expect(clock.waiting()).toBe(0);
});

test("what was taken back from the system clock does not run", async () => {
  const ran: string[] = [];
  const takeBack = systemClock.after(1, () => ran.push("taken back"));
  takeBack();
  await new Promise<void>((resolve) => systemClock.after(5, resolve));
  expect(ran).toEqual([]);
});
