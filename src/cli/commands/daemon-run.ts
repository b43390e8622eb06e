// `opta daemon run`: the daemon itself, in the foreground, for launchd, systemd and `opta daemon start`.
import { exitCodes, OptaError } from "../../protocol/error.ts";
import { defineCommand } from "../command.ts";

/** sysexits.h EX_SOFTWARE: a supervisor starts it again. */
const defectExitCode = 70;

export const portFlag = {
  type: "integer",
  valueHint: "N",
  minimum: 1,
  maximum: 65_535,
  description: "listen on exactly that port (default: 9999, else a free one)",
} as const;

export const run = defineCommand({
  name: "run",
  summary: "be the daemon, in the foreground (for launchd and systemd)",
  args: { port: portFlag },
  examples: ["opta daemon run", "opta daemon run --port 9999"],
  async run({ args, io, environment, loadDirectory }) {
    const { startDaemon } = await import("../../daemon/daemon.ts");
    let daemon: Awaited<ReturnType<typeof startDaemon>>;
    try {
      daemon = await startDaemon({ root: loadDirectory(), environment, port: args.port });
    } catch (thrown) {
      // launchd would start it again every ten seconds, for as long as the other one lives.
      const byLaunchd = environment.variables["XPC_SERVICE_NAME"] === "app.opta.daemon";
      const isHeld = thrown instanceof OptaError && thrown.code === "daemon-running";
      if (!byLaunchd || !isHeld) throw thrown;
      io.stderr.write(`opta: ${thrown.message}\n`);
      return exitCodes.done.exit;
    }
    const { port } = daemon.state;
    io.stdout.write(`opta daemon on http://127.0.0.1:${port} (pid ${process.pid})\n`);
    return serveUntilStopped(daemon);
  },
});

/** The first signal ends it in good order, a second one at once; what is stored stays stored either way. */
async function serveUntilStopped(daemon: {
  readonly stopped: Promise<void>;
  stop(): void;
  fail(thrown: unknown): Promise<void>;
}): Promise<number> {
  const exit = Promise.withResolvers<number>();
  let signals = 0;
  const onSignal = () => {
    signals += 1;
    if (signals === 1) daemon.stop();
    else exit.resolve(exitCodes.done.exit);
  };
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, onSignal);
  // A terminal that closes is no reason to go.
  process.on("SIGHUP", () => undefined);
  let failing = false;
  const onDefect = (thrown: unknown) => {
    if (failing) return;
    failing = true;
    void daemon.fail(thrown).finally(() => exit.resolve(defectExitCode));
  };
  // In place of the ones that end a command at once: what runs here has to be ended in the log first.
  for (const name of ["uncaughtException", "unhandledRejection"] as const) {
    process.removeAllListeners(name);
    process.on(name, onDefect);
  }
  void daemon.stopped.then(() => {
    if (!failing) exit.resolve(exitCodes.done.exit);
  });
  return exit.promise;
}
