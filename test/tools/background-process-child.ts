// Starts each command of its arguments as a background process in its current directory, ends the first with a long
// grace once it has printed something, and waits: what a test kills to see what is left.
import { createBackgroundStarter } from "../../src/tools/background-process.ts";

const start = createBackgroundStarter({ environment: { PATH: "/usr/bin:/bin" } });
for (const [index, command] of process.argv.slice(2).entries()) {
  const child = start({
    command,
    directory: process.cwd(),
    path: undefined,
    onOutput() {
      if (index === 0) void child.end({ signal: "SIGTERM", graceMs: 60_000 });
    },
  });
}
setInterval(() => undefined, 60_000);
