// How fast the reader of text tool calls lets plain text through, against the same loop with a reader that
// does nothing: decode a frame as the server sent it, push its text, hand on what comes out. Word-sized
// chunks, as tokens come; both in turns in one process, the fastest round of each, so that a busy machine
// does not decide.
import { decodeSocketFrame } from "../../src/providers/lmx/frames.ts";
import type { ToolSchema } from "../../src/providers/provider.ts";
import { createKnownTools } from "../../src/providers/text-calls/known-tools.ts";
import { createTextReader, type ReaderEvent } from "../../src/providers/text-calls/text-reader.ts";

const chunkChars = 5;
const lines = 1_000;
const rounds = 60;
const line =
  "The quick brown fox jumps over the lazy dog, and then it sits down for a while to rest.\n";

const tool: ToolSchema = {
  type: "function",
  function: { name: "read_file", description: "", parameters: { type: "object", properties: {} } },
};

export interface ReaderSpeed {
  /** Megabytes of plain text a second through the reader alone. */
  readonly mbPerSecond: number;
  /** Time of the frame loop with the reader, as a multiple of the same loop without. */
  readonly ratio: number;
}

type Emit = (event: ReaderEvent) => void;
type CreateReader = (emit: Emit) => { push(text: string): void };

const passThrough: CreateReader = (emit) => ({ push: (text) => emit({ type: "text", text }) });
const textReader: CreateReader = (emit) =>
  createTextReader({ tools: createKnownTools([tool]), emit });

export function measureReaderSpeed(): ReaderSpeed {
  const text = line.repeat(lines);
  const frames = Array.from({ length: Math.ceil(text.length / chunkChars) }, (_, index) =>
    JSON.stringify({
      type: "chat.token",
      request_id: "chatcmpl-1",
      content: text.slice(index * chunkChars, (index + 1) * chunkChars),
    }),
  );
  const chunks = frames.map((frame) => decodeSocketFrame(frame).text ?? "");
  const fastest = { alone: Infinity, reader: Infinity, passThrough: Infinity };
  const keepFastest = (key: keyof typeof fastest, ms: number) => {
    fastest[key] = Math.min(fastest[key], ms);
  };
  for (let round = 0; round < rounds; round += 1) {
    keepFastest("passThrough", timeFrames(frames, passThrough, text.length));
    keepFastest("reader", timeFrames(frames, textReader, text.length));
    keepFastest("alone", timeChunks(chunks, text.length));
  }
  return {
    mbPerSecond: text.length / fastest.alone / 1_000,
    ratio: fastest.reader / fastest.passThrough,
  };
}

function timeFrames(frames: readonly string[], create: CreateReader, chars: number): number {
  return timePushes(create, chars, (push) => {
    for (const frame of frames) push(decodeSocketFrame(frame).text ?? "");
  });
}

function timeChunks(chunks: readonly string[], chars: number): number {
  return timePushes(textReader, chars, (push) => {
    for (const chunk of chunks) push(chunk);
  });
}

/** Milliseconds; all of the text must have come out. */
function timePushes(
  create: CreateReader,
  chars: number,
  run: (push: (text: string) => void) => void,
): number {
  let seen = 0;
  const reader = create((event) => {
    if (event.type === "text") seen += event.text.length;
  });
  const startedMs = performance.now();
  run((text) => reader.push(text));
  const elapsedMs = performance.now() - startedMs;
  if (seen !== chars) throw new Error(`${seen} of ${chars} characters came out`);
  return elapsedMs;
}
