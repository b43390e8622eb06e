// The short form of scripts/file-crash.ts: some of the system calls of each operation, and one operation that
// is not atomic, to prove that the harness would notice.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crashOperations } from "../../scripts/support/file-crash-fixture.ts";
import { buildDriver, crashOperation } from "../../scripts/support/file-crash-run.ts";

const directory = mkdtempSync(join(tmpdir(), "opta-crash-driver-"));
const driver: string[] = [];

beforeAll(async () => {
  driver.push(...(await buildDriver(directory)));
});
afterAll(() => rmSync(directory, { recursive: true }));

const timeoutMs = 60_000;

for (const operation of crashOperations) {
  test(
    `${operation}: a kill or a full disk leaves the old or the new content and no litter`,
    async () => {
      const killed = await crashOperation(operation, { driver, fault: "KILL", everyNth: 7 });
      const full = await crashOperation(operation, { driver, fault: "ENOSPC", everyNth: 5 });
      expect([...killed.failures, ...full.failures]).toEqual([]);
      expect(killed.pointCount).toBeGreaterThan(0);
      expect(full.pointCount).toBeGreaterThan(0);
    },
    timeoutMs,
  );
}

test(
  "a write in place is found out by the same harness",
  async () => {
    const { failures } = await crashOperation("torn", { driver, fault: "KILL", everyNth: 1 });
    expect(failures.join("\n")).toContain("neither the old nor the new bytes");
  },
  timeoutMs,
);
