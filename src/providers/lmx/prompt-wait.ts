// The visible wait for the first token: "reading the prompt, 38 s (12,400 tokens estimated)" every second, with
// the server's own count and rate where it tells them. Nothing is said within the first second, which is when
// most answers begin. While it lasts the host is looked at now and then: see reachability.ts.
import type { Clock } from "../../base/clock.ts";
import type { ProviderEvent } from "../provider.ts";
import type { Candidate } from "../route.ts";
import type { PromptProgress } from "./frames.ts";
import { watchReachability } from "./reachability.ts";
import type { LmxTimeouts } from "./timeouts.ts";

export interface PromptWait {
  /** What the server says of its reading. */
  progress(progress: PromptProgress): void;
  /** `isNew`: nothing shows yet that the host is there at all. */
  watchHost(watch: { readonly isNew: boolean; readonly onGone: (reason: string) => void }): void;
  /** The first token came, or nothing will come any more. */
  stop(): void;
}

/** Characters of a request's JSON per token: code and prose of the usual tokenizers lie around it. */
const charsPerToken = 3.5;

/** Stopping again, as every token does, costs a call. */
const doNothing = () => undefined;

export function startPromptWait(options: {
  readonly emit: (event: ProviderEvent) => void;
  /** The length of the request's body: messages and tools. */
  readonly requestChars: number;
  readonly server: Candidate;
  readonly clock: Clock;
  readonly timeouts: LmxTimeouts;
}): PromptWait {
  const { emit, requestChars, server, clock, timeouts } = options;
  const everyMs = timeouts.waitNoteMs;
  const startedMs = clock.nowMs();
  let latest: PromptProgress | undefined;
  const show = () => {
    const elapsedMs = clock.nowMs() - startedMs;
    const size = latest === undefined ? estimate(requestChars) : measured(latest, elapsedMs);
    const seconds = Math.floor(elapsedMs / 1000);
    emit({
      type: "progress",
      phase: "reading",
      message: `reading the prompt, ${seconds} s (${size})`,
    });
    takeBack = clock.after(everyMs, show);
  };
  let takeBack: () => void = clock.after(everyMs, show);
  let stopHost: () => void = doNothing;
  return {
    progress(progress) {
      latest = progress;
    },
    watchHost(watch) {
      stopHost = watchReachability({ server, clock, timeouts, ...watch }).stop;
    },
    stop() {
      stopHost();
      takeBack();
      takeBack = doNothing;
    },
  };
}

function estimate(chars: number): string {
  const tokens = chars / charsPerToken;
  const rounded = tokens < 1000 ? Math.ceil(tokens / 10) * 10 : Math.round(tokens / 100) * 100;
  return `${rounded.toLocaleString("en-US")} tokens estimated`;
}

/** The rate counts what was read now, not what the server had in its cache. */
function measured({ processed, total, cached }: PromptProgress, elapsedMs: number): string {
  const counts = `${processed.toLocaleString("en-US")} of ${total.toLocaleString("en-US")} tokens`;
  const rate = Math.round(((processed - cached) / elapsedMs) * 1000);
  return rate > 0 ? `${counts}, ${rate.toLocaleString("en-US")} tokens/s` : counts;
}
