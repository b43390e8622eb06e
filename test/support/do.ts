// `opta do` on the built binary against a scripted model server: what most acceptance tests start from. With
// OPTA_TEST_MODE=attached (a step of its own in scripts/check.ts) a daemon does the work, and the same tests must hold.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { OptaEvent } from "../../src/protocol/event.ts";
import { opta, startOpta, type OptaOptions, type OptaRun, type StartedOpta } from "./binary.ts";
import type { Place } from "./workspace.ts";

interface Where {
  readonly place: Place;
  readonly port: number;
  readonly options?: OptaOptions;
}

export async function optaDo(args: readonly string[], where: Where): Promise<OptaRun> {
  const prepared = await prepare(args, where);
  const run = await opta(prepared.words, prepared.options);
  if (prepared.attached) await untilAtRest(where.place);
  return run;
}

export async function startOptaDo(args: readonly string[], where: Where): Promise<StartedOpta> {
  const { words, options } = await prepare(args, where);
  return startOpta(words, options);
}

export const isAttachedMode = process.env["OPTA_TEST_MODE"] === "attached";

interface Prepared {
  readonly words: readonly string[];
  readonly options: OptaOptions;
  readonly attached: boolean;
}

/** Flags that choose another server than the daemon's: such a run works in its own process by design. */
const ownServerFlags = ["--device", "--provider", "--embedded", "--attach"];

async function prepare(args: readonly string[], where: Where): Promise<Prepared> {
  const options = optionsOf(where);
  const attached = isAttachedMode && !args.some(choosesServer);
  if (attached) await startDaemonFor(where.place, options);
  return { words: ["do", ...(attached ? ["--attach"] : []), ...args], options, attached };
}

function choosesServer(word: string): boolean {
  return ownServerFlags.some((flag) => word === flag || word.startsWith(`${flag}=`));
}

function optionsOf({ place, port, options = {} }: Where): OptaOptions {
  return {
    cwd: place.workspace,
    home: place.home,
    ...options,
    env: { OPTA_HOST: "127.0.0.1", OPTA_PORT: String(port), ...options.env },
  };
}

/** Home -> the environment of its daemon; another environment needs another daemon. */
const daemons = new Map<string, string>();

async function startDaemonFor(place: Place, { env = {}, home = place.home }: OptaOptions) {
  const environment = JSON.stringify(env);
  const command = daemons.get(home) === environment ? "start" : "restart";
  daemons.set(home, environment);
  const started = await opta(["daemon", command], { env, home });
  // Settings that cannot be read are the test's own matter: `do` tells of them.
  if (started.exitCode !== 0 && started.exitCode !== 2) throw new Error(started.stderr);
}

/** A session's lock is given back a moment after its last event. */
async function untilAtRest(place: Place): Promise<void> {
  const sessions = join(place.home, ".config/opta/sessions");
  const giveUpAt = Date.now() + 5_000;
  while (Date.now() < giveUpAt) {
    const names = existsSync(sessions) ? readdirSync(sessions) : [];
    if (!names.some((name) => existsSync(join(sessions, name, "holder.json")))) return;
    await Bun.sleep(5);
  }
}

/** The events that `-f json` printed. */
export function eventsOf(run: OptaRun): OptaEvent[] {
  return run.stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as OptaEvent);
}
