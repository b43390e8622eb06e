// `opta daemon install` and `uninstall`: whether the daemon runs from login on.
import { stripTerminalText } from "../../base/terminal-text.ts";
import { defineCommand } from "../command.ts";
import type { Io } from "../output/io.ts";

export const install = defineCommand({
  name: "install",
  summary: "run the daemon from login on (launchd, systemd)",
  examples: ["opta daemon install"],
  notes: "PATH is kept as it is now: run it again after your shell's PATH has changed.",
  async run({ io, environment, loadDirectory }) {
    const [{ assertInstallable, installLaunchAgent }, { runServiceCommand }] = await loadLaunch();
    const [{ installedAs }, { stopDaemonProcess }] = await Promise.all([
      import("../../daemon/installed-as.ts"),
      import("../../client/daemon-process.ts"),
    ]);
    const facts = { platform: process.platform, environment, executable: process.execPath };
    // Before anything is stopped for it.
    assertInstallable(facts);
    // The service manager's daemon takes the place of one that was started by hand.
    if (installedAs(environment) === null) {
      const stopped = await stopDaemonProcess(loadDirectory());
      if (stopped !== "not running") io.stderr.write("the running daemon was stopped first\n");
    }
    const installed = await installLaunchAgent({ ...facts, run: runServiceCommand });
    const exitCode = report(installed, io);
    if (exitCode !== 0) io.stderr.write("  until then: opta daemon start\n");
    return exitCode;
  },
});

export const uninstall = defineCommand({
  name: "uninstall",
  summary: "no longer run the daemon from login on",
  examples: ["opta daemon uninstall"],
  async run({ io, environment }) {
    const [{ uninstallLaunchAgent }, { runServiceCommand }] = await loadLaunch();
    const uninstalled = await uninstallLaunchAgent({
      platform: process.platform,
      environment,
      run: runServiceCommand,
    });
    return report(uninstalled, io);
  },
});

function loadLaunch() {
  return Promise.all([
    import("../../daemon/launch-agent.ts"),
    import("../../daemon/launch-command.ts"),
  ]);
}

function report(
  { state, message, next }: { state: string; message: string; next: string | undefined },
  io: Io,
): number {
  io.stdout.write(`${stripTerminalText(message)}\n`);
  if (next !== undefined) io.stderr.write(`  ${stripTerminalText(next)}\n`);
  return state === "file-only" ? 1 : 0;
}
