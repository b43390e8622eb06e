// Events over plain HTTP: a session's stored events as one JSON document, and the two server-sent streams
// (contracts/daemon-v3.md section 2). Long answers are written as they are read from the log, so that a million
// events cost no more memory than a thousand.
import type { EventStream } from "../engine/event-log.ts";
import { type Dialect, toDialect } from "../protocol/dialect.ts";
import { type OptaError, toOptaError } from "../protocol/error.ts";
import type { Followers } from "./followers.ts";

/** Events read at once. */
const batch = 512;
/** Between comments that keep proxies and browsers from giving up. */
const ssePingMs = 15_000;
const healthEveryMs = 25_000;

interface Place {
  readonly sessionId: string;
  readonly afterSeq: number;
  readonly dialect: Dialect;
}

/**
 * `{"events":[…]}`: every stored event behind `afterSeq`. A gap further on ends it with the error's fields beside
 * `events`. @throws OptaError before-retention | ahead-of-head
 */
export function eventsDocument(stream: EventStream, place: Place): Response {
  let cursor = place.afterSeq;
  // The first read says whether the cursor can be followed at all.
  let next = stream.read(place.sessionId, cursor, batch);
  let isFirst = true;
  let ending = "]}";
  const readOn = () => {
    try {
      return stream.read(place.sessionId, cursor, batch);
    } catch (thrown) {
      ending = `],${JSON.stringify(cursorError(toOptaError(thrown))).slice(1)}`;
      return [];
    }
  };
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(encoder.encode('{"events":[')),
    pull(controller) {
      if (next.length === 0) {
        controller.enqueue(encoder.encode(ending));
        controller.close();
        return;
      }
      const texts = next.flatMap(({ text }) => toDialect(text, place.dialect) ?? []);
      if (texts.length > 0) {
        controller.enqueue(encoder.encode(`${isFirst ? "" : ","}${texts.join(",")}`));
        isFirst = false;
      }
      cursor = next.at(-1)?.seq ?? cursor;
      next = readOn();
      // A batch of which the dialect shows nothing: `pull` comes again only after something was written.
      if (texts.length === 0) controller.enqueue(encoder.encode(" "));
    },
  });
  return new Response(body, { headers: { "content-type": "application/json; charset=utf-8" } });
}

/** How long a client stays. */
export interface Stay {
  readonly signal: AbortSignal;
  /** @param end ends the answer. @returns to be called when it is over */
  keep(end: () => void): () => void;
}

/** `: connected`, then an envelope per `data:` line, for as long as the client stays. */
export function eventsStream(followers: Followers, place: Place, stay: Stay): Response {
  return sseAnswer(stay, (write) => {
    write(": connected\n\n");
    const timer = setInterval(() => write(": ping\n\n"), ssePingMs);
    let isFull = false;
    let end = () => {};
    const follower = followers.follow({
      ...place,
      sink: {
        send(texts) {
          isFull = write(texts.map((text) => `data: ${text}\n\n`).join(""));
        },
        isFull: () => isFull,
        refuse(error) {
          write(`data: ${JSON.stringify(cursorError(error))}\n\n`);
          setTimeout(() => end(), 0);
        },
        cut: () => end(),
      },
    });
    return {
      onEnd(finish) {
        end = finish;
      },
      drained() {
        isFull = false;
        follower.resume();
      },
      close() {
        clearInterval(timer);
        follower.stop();
      },
    };
  });
}

/** `data: <health>` at once and every 25 s. */
export function healthStream(health: () => object, stay: Stay): Response {
  return sseAnswer(stay, (write) => {
    const tell = () => write(`data: ${JSON.stringify({ ...health(), ts: Date.now() })}\n\n`);
    tell();
    const timer = setInterval(tell, healthEveryMs);
    return {
      onEnd: () => undefined,
      drained: () => undefined,
      close: () => clearInterval(timer),
    };
  });
}

/** The frame that a client gets whose cursor cannot be followed: never silence, never a silent gap (promises E7). */
export function cursorError({ message, code, hint }: OptaError): object {
  return { error: message, code, ...(hint === undefined ? {} : { hint }) };
}

interface Source {
  /** Gives the source what ends the answer. */
  onEnd(finish: () => void): void;
  drained(): void;
  close(): void;
}

/** @param begin writes until `write` says that the client is behind, and again after `drained` */
function sseAnswer(
  { signal, keep }: Stay,
  begin: (write: (text: string) => boolean) => Source,
): Response {
  const encoder = new TextEncoder();
  let source: Source | undefined;
  let leave = () => {};
  const close = () => {
    leave();
    source?.close();
    source = undefined;
  };
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const finish = () => {
          close();
          try {
            controller.close();
          } catch {
            return; // the client closed it first
          }
        };
        source = begin((text) => {
          try {
            controller.enqueue(encoder.encode(text));
          } catch {
            return true; // gone: nothing more is wanted
          }
          return (controller.desiredSize ?? 0) <= 0;
        });
        source.onEnd(finish);
        leave = keep(finish);
        signal.addEventListener("abort", finish, { once: true });
      },
      pull: () => source?.drained(),
      cancel: close,
    },
    // Bytes that may wait for a slow client.
    { highWaterMark: 256 * 1024, size: (chunk) => chunk?.byteLength ?? 0 },
  );
  return new Response(body, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-cache" },
  });
}
