// After a kill and a restart: asks the new daemon for everything it owes, waits until the old one's commands are gone
// (promises C2), and submits every key once more.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { OptaEvent } from "../../src/protocol/event.ts";
import type { Message } from "../../src/protocol/message.ts";
import { type CrashClient, type CrashSession, plannedCalls } from "./crash-client.ts";
import { endProcess } from "./crash-daemon.ts";
import { inspectSession, unclaimedTurns } from "./crash-inspect.ts";
import { ranFile } from "./crash-plan.ts";

/** Promise C2. */
const survivalLimitMs = 2_000;
const lookMs = 50;

export interface Verification {
  readonly client: CrashClient;
  readonly sessions: readonly CrashSession[];
  /** In the arguments of every process that a tool started. */
  readonly mark: string;
  /** When the daemon was killed (performance.now). */
  readonly killedAtMs: number;
}

/** @returns what is wrong; then the sessions are clean, and turns that were never stored run now */
export async function verify(options: Verification): Promise<readonly string[]> {
  const { client, sessions } = options;
  const problems = [...(await inspectProcesses(options))];
  for (const work of [inspectShown, submitAgain]) {
    for (const session of sessions) {
      const told = await work(session, client).catch((thrown: unknown) => [
        `${session.id}: the daemon failed: ${String(thrown)}`,
      ]);
      problems.push(...told);
    }
  }
  return problems;
}

async function inspectProcesses({ mark, sessions, killedAtMs }: Verification) {
  const hasCommands = sessions.some((session) => plannedCalls(session).length > 0);
  if (!hasCommands) return [];
  for (;;) {
    const lateMs = performance.now() - killedAtMs;
    const left = await processesWith(mark);
    if (left.length === 0) return [];
    if (lateMs > survivalLimitMs) {
      for (const { pid } of left) endProcess(pid);
      return [`processes outlived the daemon: ${left.map(({ args }) => args).join("; ")}`];
    }
    await Bun.sleep(lookMs);
  }
}

/** Running processes, zombies apart, with `mark` in their arguments. */
async function processesWith(mark: string) {
  const ps = Bun.spawn(["ps", "-axww", "-o", "pid=,stat=,args="], { stdout: "pipe" });
  return (await ps.stdout.text()).split("\n").flatMap((row) => {
    const [, pid = "", state = "", args = ""] = /^ *(\d+) +(\S+) +(.*)$/.exec(row) ?? [];
    return args.includes(mark) && !state.startsWith("Z") ? [{ pid: Number(pid), args }] : [];
  });
}

async function inspectShown(
  session: CrashSession,
  client: CrashClient,
): Promise<readonly string[]> {
  const texts = await client.events(session);
  const messages = (await client.messages(session)) as readonly Message[] | undefined;
  const ran = readIfThere(join(session.workspace, ranFile))?.trimEnd().split("\n") ?? [];
  const problems = inspectSession(session, { texts, messages, ran, read: readIfThere });
  session.isDirty = false;
  session.complaints.length = 0;
  // What is stored now was seen by us: the next daemon owes it as well.
  for (const [index, text] of texts.entries()) session.observed.set(index + 1, text);
  return problems;
}

/** The same key gives the same turn; every turn that was stored belongs to one of the keys. */
async function submitAgain(session: CrashSession, client: CrashClient): Promise<readonly string[]> {
  if (!session.isAccepted) {
    session.isDirty = true;
    await client.create(session);
  }
  for (const submission of session.submissions) {
    if (submission.turnId === undefined) session.isDirty = true;
    await client.submit(session, submission);
  }
  const stored = [...session.observed.values()].map((text) => JSON.parse(text) as OptaEvent);
  const unclaimed = unclaimedTurns(session, stored);
  const changed = session.complaints.splice(0);
  return [
    ...changed,
    ...unclaimed.map((turnId) => `${session.id}: turn ${turnId} was stored for no key`),
  ];
}

function readIfThere(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}
