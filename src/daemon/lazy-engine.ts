// The engine, loaded when somebody first asks for something that needs it: a daemon that only waits stays small.
// Events can be read without it.
import type { Engine } from "../engine/engine.ts";
import type { EventStream } from "../engine/event-log.ts";
import type { OptaError } from "../protocol/error.ts";

/** What the daemon uses of the engine. */
export type LazyEngine = Pick<
  Engine,
  "call" | "denyMalformed" | "isBusy" | "activity" | "close" | "settle"
> & { readonly stream: EventStream };

export interface LazyEngineOptions {
  readonly stream: EventStream;
  readonly load: () => Promise<Engine>;
}

export function createLazyEngine({ stream, load }: LazyEngineOptions): LazyEngine {
  let loaded: Engine | undefined;
  let loading: Promise<Engine> | undefined;
  let closedWith: OptaError | undefined;

  function engine(): Promise<Engine> {
    if (closedWith !== undefined) return Promise.reject(closedWith);
    return (loading ??= load().then((made) => (loaded = made)));
  }

  return {
    stream,
    call: async (operation, params, signal) => (await engine()).call(operation, params, signal),
    denyMalformed: (requestId, why) => loaded?.denyMalformed(requestId, why) ?? false,
    isBusy: (sessionId) => loaded?.isBusy(sessionId) ?? false,
    activity: () => loaded?.activity() ?? { sessions: 0, active: 0, queued: 0 },
    async settle() {
      await (await engine()).settle();
    },
    async close(reason) {
      closedWith = reason;
      await (await loading)?.close(reason);
    },
  };
}
