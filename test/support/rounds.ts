// How often a test repeats itself. The promises (design/promises.md) name figures that take minutes: `check` shows a
// short form of each, `check:deep` the whole (scripts/check.ts sets OPTA_TEST_ROUNDS=promised).

export const areRoundsPromised = Bun.env.OPTA_TEST_ROUNDS === "promised";

export function rounds({ usual, promised }: { usual: number; promised: number }): number {
  return areRoundsPromised ? promised : usual;
}

/** Milliseconds; a test whose rounds are many gets its time. */
export function roundsLimitMs(usualMs: number): number {
  return areRoundsPromised ? 1_800_000 : usualMs;
}
