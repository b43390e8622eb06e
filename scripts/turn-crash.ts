// Must-show 5 on the built binary: a whole turn of `opta do` that edits a file, cut by kill -9 and by a full disk
// at every system call with which its main thread changes files. What is left must be whole: the old or the
// new file, its mode and link, a session that can be continued, and no temporary file once opta ran again.
// Usage: bun scripts/turn-crash.ts [--every N] [--faults KILL,ENOSPC]. Needs strace and dist/opta.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { crashTurn } from "./support/turn-crash-run.ts";

const { values } = parseArgs({
  options: {
    every: { type: "string", default: "1" },
    faults: { type: "string", default: "KILL,ENOSPC" },
  },
});
const executable = join(import.meta.dir, "../dist/opta");
let tried = 0;
let failed = 0;
for (const fault of values.faults.split(",")) {
  const report = await crashTurn({
    executable,
    fault,
    everyNth: Math.max(1, Number(values.every)),
  });
  tried += report.pointCount;
  failed += report.failures.length;
  console.log(`do ${fault}: ${report.pointCount} system calls, ${report.failures.length} failures`);
  for (const failure of report.failures) console.log(`  ${failure}`);
}
console.log(`${tried - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 && tried > 0 ? 0 : 1;
