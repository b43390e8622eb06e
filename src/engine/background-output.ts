// What one background process printed, as numbered text: told as events up to a limit, its end kept for who asks later.
// Knows no process and no session.
import type { BackgroundChunk } from "../protocol/background.ts";

export type OutputStream = BackgroundChunk["stream"];

/** Bytes of one event's text, about: a client shows it in one piece. */
const maxChunkBytes = 64 * 1024;
/** The end of the output, which can be asked for. */
const keptOutputBytes = 1024 * 1024;
/** Events are stored for ever: a process that prints without end must not fill the disk. Its last output is kept still. */
const toldOutputBytes = 4 * 1024 * 1024;
/** What a chunk costs beside its text, in memory or as an event: output byte by byte is bounded as well. */
const chunkCostBytes = 128;

export interface BackgroundOutput {
  write(stream: OutputStream, bytes: Uint8Array): void;
  /** Passes on what was still incomplete. */
  end(): void;
  /** What is kept, oldest first. */
  chunks(): readonly BackgroundChunk[];
}

/** Both outputs of one process as numbered text: all of it told, up to a limit or a refusal, and the end kept. */
export function createBackgroundOutput({
  now,
  tell,
}: {
  readonly now: () => Date;
  readonly tell: (chunk: BackgroundChunk) => boolean;
}): BackgroundOutput {
  // A character may be split between two reads of a stream.
  const createDecoder = () => new TextDecoder("utf-8", { ignoreBOM: true });
  const decoders = { stdout: createDecoder(), stderr: createDecoder() };
  const kept: BackgroundChunk[] = [];
  let lastSeq = 0;
  let keptBytes = 0;
  let untoldBytes = toldOutputBytes;

  function add(stream: OutputStream, text: string): void {
    if (text === "") return;
    const chunk: BackgroundChunk = { seq: ++lastSeq, ts: now().toISOString(), stream, text };
    kept.push(chunk);
    keptBytes += costOf(chunk);
    while (keptBytes > keptOutputBytes) {
      const oldest = kept.shift();
      if (oldest === undefined) break;
      keptBytes -= costOf(oldest);
    }
    if (untoldBytes <= 0) return;
    untoldBytes = tell(chunk) ? untoldBytes - costOf(chunk) : 0;
  }

  return {
    write(stream, bytes) {
      for (let start = 0; start < bytes.length; start += maxChunkBytes) {
        const piece = bytes.subarray(start, start + maxChunkBytes);
        add(stream, decoders[stream].decode(piece, { stream: true }));
      }
    },
    end() {
      for (const stream of ["stdout", "stderr"] as const) add(stream, decoders[stream].decode());
    },
    chunks: () => kept,
  };
}

const costOf = ({ text }: BackgroundChunk) => Buffer.byteLength(text) + chunkCostBytes;
