import { expect, test } from "bun:test";
import { createSocketPings, type Pinged } from "../../src/daemon/socket-pings.ts";
import { createTestClock } from "../support/test-clock.ts";

function createSockets() {
  const clock = createTestClock();
  const pings = createSocketPings(clock);
  const add = () => {
    const heard = { pings: 0, cuts: 0 };
    const socket: Pinged = {
      ping: () => (heard.pings += 1),
      cut: () => (heard.cuts += 1),
    };
    pings.add(socket);
    return { heard, socket };
  };
  return { clock, pings, add };
}

test("a socket that leaves two pings unanswered is cut when the third is due", () => {
  const { clock, add } = createSockets();
  const { heard } = add();
  clock.advance(44_999);
  expect(heard).toEqual({ pings: 2, cuts: 0 });
  clock.advance(1);
  expect(heard).toEqual({ pings: 2, cuts: 1 });
  clock.advance(600_000);
  expect(heard).toEqual({ pings: 2, cuts: 1 });
});

test("any sign of life is enough, and only one's own counts", () => {
  const { clock, pings, add } = createSockets();
  const alive = add();
  const dead = add();
  for (let round = 0; round < 10; round++) {
    clock.advance(29_000);
    pings.noteSign(alive.socket);
  }
  expect(alive.heard.cuts).toBe(0);
  expect(dead.heard.cuts).toBe(1);
});

test("a socket that goes is not asked any more, and a late sign of it brings it not back", () => {
  const { clock, pings, add } = createSockets();
  const { heard, socket } = add();
  add();
  pings.remove(socket);
  pings.noteSign(socket);
  clock.advance(60_000);
  expect(heard).toEqual({ pings: 0, cuts: 0 });
});

test("without sockets no timer runs", () => {
  const { clock, pings, add } = createSockets();
  expect(clock.waiting()).toBe(0);
  const { socket } = add();
  add();
  expect(clock.waiting()).toBe(1);
  pings.remove(socket);
  expect(clock.waiting()).toBe(1);
  clock.advance(60_000);
  expect(clock.waiting()).toBe(0);
  pings.remove(add().socket);
  expect(clock.waiting()).toBe(0);
});
