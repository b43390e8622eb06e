// The short form of scripts/turn-crash.ts: some of the system calls of a turn on the built binary.
import { expect, test } from "bun:test";
import { crashTurn } from "../../scripts/support/turn-crash-run.ts";
import { builtOpta } from "../support/binary.ts";

for (const fault of ["KILL", "ENOSPC"]) {
  test(`${fault} in the middle of a turn leaves whole files, and the next turn leaves no litter`, async () => {
    const executable = await builtOpta();
    const report = await crashTurn({ executable, fault, everyNth: 8 });
    expect(report.failures).toEqual([]);
    expect(report.pointCount).toBeGreaterThan(5);
  }, 120_000);
}
