// One request over POST /v1/chat/completions: contracts/lmx.md section 2, rows 7, 9, 10, 15 and 22.
import type { Clock } from "../../base/clock.ts";
import { createSseParser } from "../../base/sse.ts";
import type { Candidate } from "../route.ts";
import type { Answer, Ending } from "./answer.ts";
import { reasonOfFailure, requestFrom, type Keys } from "./endpoint.ts";
import { decodeSseData, type Frame } from "./frames.ts";
import { faultFromHttp } from "./http-errors.ts";
import { watchSilence } from "./silence.ts";
import type { LmxTimeouts } from "./timeouts.ts";

/** LMX writes a failure in the middle of a stream as text, then finishes with "stop" (row 7). */
const disguisedError = "\n\n[Error: ";

/** Sends the request and feeds its answer. Never rejects. */
export async function askOverSse(options: {
  readonly server: Candidate;
  readonly keys: Keys;
  readonly body: string;
  readonly answer: Answer;
  readonly clock: Clock;
  readonly timeouts: LmxTimeouts;
  readonly signal: AbortSignal;
}): Promise<Ending> {
  const { server, keys, body, answer, clock, timeouts, signal } = options;
  const controller = new AbortController();
  let ending: Ending | undefined;
  const end = (reached: Ending) => {
    ending ??= reached;
    controller.abort();
  };
  const abort = () => end({ kind: "aborted" });
  const watch = watchSilence({
    clock,
    timeouts,
    onSilent: (afterMs) => end({ kind: "silent", afterMs }),
  });
  const read = createFrameReader(answer);
  const parser = createSseParser(({ data }) => {
    if (ending !== undefined) return;
    const frame = decodeSseData(data);
    if (read.take(frame)) watch.token();
    ending = read.ending(frame);
  });
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  let hasHeaders = false;
  try {
    const response = await requestFrom(server, "/v1/chat/completions", {
      keys,
      body,
      accept: "text/event-stream",
      signal: controller.signal,
    });
    hasHeaders = true;
    if (!response.ok) {
      const retryAfter = response.headers.get("retry-after");
      const said = await response.text();
      return (
        ending ?? {
          kind: "fault",
          fault: faultFromHttp({ status: response.status, body: said, retryAfter }),
        }
      );
    }
    for await (const chunk of response.body ?? []) {
      watch.alive();
      parser.push(chunk);
      if (ending !== undefined) break;
    }
    return ending ?? read.endingAtEnd();
  } catch (thrown) {
    if (ending !== undefined) return ending;
    if (!hasHeaders) return { kind: "unreachable", reason: reasonOfFailure(thrown) };
    const how =
      thrown instanceof RangeError ? "sent an event larger than 16 MiB" : "broke the connection";
    return read.heldFault() ?? { kind: "cut", how };
  } finally {
    watch.stop();
    signal.removeEventListener("abort", abort);
  }
}

/** Feeds frames to the answer, but holds back a chunk that may be an error in disguise until the next frame. */
function createFrameReader(answer: Answer) {
  let held: Frame | undefined;
  const heldFault = (): Ending | undefined =>
    held?.text === undefined ? undefined : { kind: "fault", fault: faultOfDisguise(held.text) };
  return {
    heldFault,
    take(frame: Frame): boolean {
      if (frame.text?.startsWith(disguisedError) && frame.toolCalls === undefined) {
        if (held !== undefined) answer.take(held);
        held = frame;
        return true;
      }
      const continues =
        frame.text !== undefined || frame.toolCalls !== undefined || frame.thinking !== undefined;
      if (held !== undefined && continues) {
        answer.take(held);
        held = undefined;
      }
      return answer.take(frame);
    },
    /** What the frame just taken ends with, if it ends the answer. */
    ending(frame: Frame): Ending | undefined {
      if (frame.fault !== undefined) return { kind: "fault", fault: frame.fault };
      if (held !== undefined && (frame.finishReason !== undefined || frame.done))
        return heldFault();
      return frame.done ? { kind: "complete" } : undefined;
    },
    /** Row 22: [DONE] may be missing, but then a finish_reason must have come. */
    endingAtEnd(): Ending {
      const finished: Ending = answer.hasFinishReason()
        ? { kind: "complete" }
        : { kind: "cut", how: "ended the stream" };
      return heldFault() ?? finished;
    },
  };
}

function faultOfDisguise(text: string) {
  const message = text.slice(disguisedError.length).trim().replace(/\]$/, "");
  return { status: null, code: null, message, retryAfterMs: null };
}
