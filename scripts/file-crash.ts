// Must-show 5: kill -9 and a full disk at every file system call of an edit, a session save, a multi_edit and
// a write_file: the old or the new content, mode and link kept, no litter (file-crash-fixture.ts says what
// that means). Needs strace. Usage: bun scripts/file-crash.ts [--every N] [--faults KILL,ENOSPC,EDQUOT,EIO]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { crashOperations } from "./support/file-crash-fixture.ts";
import { buildDriver, type CrashReport, crashOperation } from "./support/file-crash-run.ts";

const { values } = parseArgs({
  options: {
    every: { type: "string", default: "1" },
    faults: { type: "string", default: "KILL,ENOSPC,EDQUOT,EIO" },
  },
});
const everyNth = Math.max(1, Number(values.every));
const driverDirectory = mkdtempSync(join(tmpdir(), "opta-crash-driver-"));
const driver = await buildDriver(driverDirectory);
const reports: CrashReport[] = [];
for (const operation of crashOperations) {
  for (const fault of values.faults.split(",")) {
    const report = await crashOperation(operation, { driver, fault, everyNth });
    reports.push(report);
    console.log(
      `${operation} ${fault}: ${report.pointCount} system calls, ${report.failures.length} failures`,
    );
    for (const failure of report.failures) console.log(`  ${failure}`);
  }
}
rmSync(driverDirectory, { recursive: true });
const tried = reports.reduce((sum, report) => sum + report.pointCount, 0);
const failed = reports.reduce((sum, report) => sum + report.failures.length, 0);
console.log(`${tried - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 && tried > 0 ? 0 : 1;
