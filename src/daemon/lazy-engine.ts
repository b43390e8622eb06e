// The engine, loaded when somebody first asks for something that needs it: a daemon that only waits stays small.
// Events can be read without it.
import type { Engine } from "../engine/engine.ts";
import type { EventStream } from "../engine/event-log.ts";
import type { OptaError } from "../protocol/error.ts";
import { operationRoutes } from "../protocol/operation-routes.ts";

/** What the daemon uses of the engine. */
export type LazyEngine = Pick<
  Engine,
  "call" | "denyMalformed" | "isBusy" | "activity" | "close"
> & { readonly stream: EventStream };

export interface LazyEngineOptions {
  readonly stream: EventStream;
  readonly load: () => Promise<Engine>;
}

export function createLazyEngine({ stream, load }: LazyEngineOptions): LazyEngine {
  let loaded: Engine | undefined;
  let loading: Promise<Engine> | undefined;
  let closedWith: OptaError | undefined;
  const nextPass = createPasses();

  function engine(): Promise<Engine> {
    if (closedWith !== undefined) return Promise.reject(closedWith);
    return (loading ??= load().then((made) => (loaded = made)));
  }

  return {
    stream,
    async call(operation, params, signal) {
      // What changes something waits for the disk in one go: of many that come at once, others must not wait for all.
      if (operationRoutes[operation].method !== "GET") await nextPass();
      return (await engine()).call(operation, params, signal);
    },
    denyMalformed: (requestId, why) => loaded?.denyMalformed(requestId, why) ?? false,
    isBusy: (sessionId) => loaded?.isBusy(sessionId) ?? false,
    activity: () => loaded?.activity() ?? { sessions: 0, active: 0, queued: 0 },
    async close(reason) {
      closedWith = reason;
      await (await loading)?.close(reason);
    },
  };
}

/** Lets one caller on per pass of the event loop, in the order of their calls. */
function createPasses(): () => Promise<void> {
  let last = Promise.resolve();
  return () => {
    last = last.then(() => new Promise((resolve) => setImmediate(resolve)));
    return last;
  };
}
