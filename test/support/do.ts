// `opta do` on the built binary against a scripted model server: what most acceptance tests start from.
import type { OptaEvent } from "../../src/protocol/event.ts";
import { opta, startOpta, type OptaOptions, type OptaRun, type StartedOpta } from "./binary.ts";
import type { Place } from "./workspace.ts";

interface Where {
  readonly place: Place;
  readonly port: number;
  readonly options?: OptaOptions;
}

export function optaDo(args: readonly string[], where: Where): Promise<OptaRun> {
  return opta(["do", ...args], optionsOf(where));
}

export function startOptaDo(args: readonly string[], where: Where): Promise<StartedOpta> {
  return startOpta(["do", ...args], optionsOf(where));
}

function optionsOf({ place, port, options = {} }: Where): OptaOptions {
  return {
    cwd: place.workspace,
    home: place.home,
    ...options,
    env: { OPTA_HOST: "127.0.0.1", OPTA_PORT: String(port), ...options.env },
  };
}

/** The events that `-f json` printed. */
export function eventsOf(run: OptaRun): OptaEvent[] {
  return run.stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as OptaEvent);
}
