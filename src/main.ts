// Hands the command line to cli/. Asking for the version loads nothing else, so that it costs no more than
// starting the runtime (scripts/bench.ts holds it to that).
import { version } from "./base/version.ts";

const [first, ...others] = process.argv.slice(2);
const asksVersion = first === "--version" || first === "-v" || first === "version";
if (asksVersion && others.length === 0) console.log(`opta ${version}`);
else await import("./cli/run.ts").then(({ run }) => run(process.argv.slice(2)));
