// Running a service manager's program (launchctl, systemctl): its exit code and what it said.
import { errnoOf } from "../base/storage-error.ts";

export interface ServiceCommandResult {
  /** 127: there is no such program. */
  readonly exitCode: number;
  readonly stderr: string;
}

/** Never rejects because of the program. Injected wherever it is used: tests leave the machine's services alone. */
export type RunServiceCommand = (argv: readonly string[]) => Promise<ServiceCommandResult>;

/** Both wait for a daemon that stops, 20 s at most. */
const timeoutMs = 30_000;
const notFound = 127;

/** Inherits the environment: systemctl finds the user's bus by it. */
export const runServiceCommand: RunServiceCommand = async (argv) => {
  try {
    const child = Bun.spawn([...argv], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
      timeout: timeoutMs,
    });
    const stderr = await child.stderr.text();
    return { exitCode: await child.exited, stderr };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return { exitCode: notFound, stderr: "" };
    throw error;
  }
};
