// One request over POST /v1/chat/completions: contracts/lmx.md section 2, rows 7, 9, 10, 15 and 22. An answer
// that is no stream at all (a web page, one JSON document, nothing) is told as what it is.
import type { Clock } from "../../base/clock.ts";
import { createSseParser } from "../../base/sse.ts";
import type { Candidate } from "../route.ts";
import type { Answer, Ending } from "./answer.ts";
import { reasonOfFailure, requestFrom, type Keys } from "./endpoint.ts";
import { decodeSseData, progressOfComment, type Frame } from "./frames.ts";
import { faultFromHttp, type Fault } from "./http-errors.ts";
import type { PromptWait } from "./prompt-wait.ts";
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
  readonly wait: PromptWait;
  readonly clock: Clock;
  readonly timeouts: LmxTimeouts;
  readonly signal: AbortSignal;
}): Promise<Ending> {
  const { server, keys, body, answer, wait, clock, timeouts, signal } = options;
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
  const takeData = (data: string) => {
    if (ending !== undefined) return;
    const frame = decodeSseData(data);
    if (frame.promptProgress !== undefined) wait.progress(frame.promptProgress);
    if (read.take(frame)) {
      watch.token();
      wait.stop();
    }
    ending = read.ending(frame);
  };
  const parser = createSseParser(({ data }) => takeData(data), {
    onComment(text) {
      const progress = progressOfComment(text);
      if (progress !== undefined) wait.progress(progress);
    },
  });
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  let hasHeaders = false;
  wait.watchHost({
    isNew: true,
    onGone: (reason) =>
      end(
        hasHeaders
          ? { kind: "cut", how: "cannot be reached any more" }
          : { kind: "unreachable", reason },
      ),
  });
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
    const type = response.headers.get("content-type") ?? "";
    if (/\bhtml\b|\bapplication\/json\b/i.test(type)) {
      const said = await response.text();
      return ending ?? documentEnding(said, { takeData, answer });
    }
    for await (const chunk of response.body ?? []) {
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
    wait.stop();
    signal.removeEventListener("abort", abort);
  }
}

/**
 * What an answer that is one document says: LM Studio answers 200 with an error for a path it does not know,
 * proxies answer with a page, and a server that ignores `stream` sends the whole completion at once.
 */
function documentEnding(
  text: string,
  { takeData, answer }: { readonly takeData: (data: string) => void; readonly answer: Answer },
): Ending {
  const isPage = text.trimStart().startsWith("<");
  const fault = faultFromHttp({ status: 200, body: text, retryAfter: null });
  const notAnAnswer = (message: string): Ending => ({
    kind: "fault",
    fault: { ...fault, code: "not_an_answer", message },
  });
  if (isPage) {
    const title = fault.message === "HTTP 200" ? "" : ` ("${fault.message}")`;
    return notAnAnswer(`answered with a web page${title} instead of a model's answer`);
  }
  if (text.trim() === "") return { kind: "fault", fault: sentNothing };
  const frame = decodeSseData(text);
  if (frame.fault !== undefined) return { kind: "fault", fault: { ...frame.fault, status: null } };
  takeData(text);
  if (answer.hasBegun() || answer.hasFinishReason()) return { kind: "complete" };
  return notAnAnswer(`answered with something that is no model's answer: ${text.slice(0, 200)}`);
}

const sentNothing: Fault = {
  status: 200,
  code: "empty_answer",
  message: "answered with nothing at all",
  retryAfterMs: null,
};

/** Feeds frames to the answer, but holds back a chunk that may be an error in disguise until the next frame. */
function createFrameReader(answer: Answer) {
  let held: Frame | undefined;
  let events = 0;
  let unreadable = 0;
  const heldFault = (): Ending | undefined =>
    held?.text === undefined ? undefined : { kind: "fault", fault: faultOfDisguise(held.text) };
  return {
    heldFault,
    take(frame: Frame): boolean {
      events += 1;
      if (frame.unreadable) unreadable += 1;
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
      if (events === 0) return { kind: "fault", fault: sentNothing };
      if (unreadable === events) {
        const message = `sent ${events} ${events === 1 ? "event" : "events"}, none of which could be read`;
        return { kind: "fault", fault: { ...sentNothing, code: "not_an_answer", message } };
      }
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
