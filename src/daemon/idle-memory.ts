// Memory that a turn needed goes back when it is over. The runtime's own collection timer, which ticks every second for
// ever, is switched off for the daemon (daemonRuntime in store/daemon-place.ts); what runs instead is one collection shortly after a
// turn, and nothing while nothing happens.
import type { EventStream } from "../engine/event-log.ts";

/** After a turn's last event is on its way; under load no more than one collection in this time. */
const settleMs = 100;

/** @returns stops it */
export function freeMemoryAfterTurns(stream: EventStream): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const forget = stream.onAppend(({ kind }) => {
    if (kind !== "session.updated") return;
    timer ??= setTimeout(() => {
      timer = undefined;
      Bun.gc(true);
    }, settleMs);
  });
  return () => {
    forget();
    clearTimeout(timer);
  };
}
