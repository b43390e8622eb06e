// Who holds a session: the facts a process leaves beside its lock, and the sentence that another one makes of
// them. The facts were written by another process, perhaps of another version, so nothing is taken on trust.
import * as z from "zod";
import { OptaError } from "../protocol/error.ts";

const holderSchema = z.object({
  pid: z.number(),
  /** The command and no arguments: prompts are private. */
  command: z.string().max(40),
  /** ISO 8601. */
  since: z.string(),
});

export type SessionHolder = z.infer<typeof holderSchema>;

const daemonCommand = "opta daemon";

export function describeThisProcess(): SessionHolder {
  const name = process.argv[2];
  const command = name !== undefined && /^[a-z-]{1,20}$/.test(name) ? `opta ${name}` : "opta";
  return { pid: process.pid, command, since: new Date().toISOString() };
}

export function sessionLockedError(sessionId: string, heldBy: unknown): OptaError {
  const holder = holderSchema.safeParse(heldBy);
  if (!holder.success) {
    return new OptaError(
      "session-locked",
      `session ${sessionId} is in use by another process`,
      "Wait until it is done, or work in a new session: leave out --resume.",
    );
  }
  const { pid, command, since } = holder.data;
  const time = clockTime(new Date(since), new Date());
  return new OptaError(
    "session-locked",
    `session ${sessionId} is in use by pid ${pid} (${command.replace(/[^ -~]/g, "")})${time}`,
    command === daemonCommand
      ? `Wait until it is done, or let the daemon do it: opta do --attach --resume ${sessionId} "…"`
      : `Wait until it is done, stop it with \`kill ${pid}\`, or work in a new session: leave out --resume.`,
  );
}

/** ` since 12:03` in local time, with the date when that is not today; empty for what is no time. */
function clockTime(since: Date, now: Date): string {
  if (Number.isNaN(since.getTime())) return "";
  const two = (part: number) => String(part).padStart(2, "0");
  const date = `${since.getFullYear()}-${two(since.getMonth() + 1)}-${two(since.getDate())}`;
  const clock = `${two(since.getHours())}:${two(since.getMinutes())}`;
  return since.toDateString() === now.toDateString()
    ? ` since ${clock}`
    : ` since ${date} ${clock}`;
}
