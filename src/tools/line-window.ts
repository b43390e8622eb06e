// Some lines out of a stream of bytes, in memory bounded by what is shown: a file of gigabytes, or one line of
// gigabytes, costs no more than a screen. Knows nothing of files.

export interface WindowRequest {
  /** 1-based. */
  readonly firstLine: number;
  readonly maxLines: number;
  /** Of the text shown, line numbers included. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

export interface LineWindow {
  /** Without their ends; long ones cut, with a note. */
  readonly lines: readonly string[];
  /** How many lines went by until the window was full or the bytes ended. */
  readonly seenLines: number;
  /** Known when the bytes ended, or were all in one chunk. */
  readonly totalLines: number | undefined;
  /** No line follows the window. */
  readonly isEnd: boolean;
}

/** Longer lines (minified code, data) say little and cost much. */
export const maxLineCharacters = 2000;
/** Up to four bytes a character in UTF-8. */
const keptLineBytes = maxLineCharacters * 4;
/** Other work and a cancel get their turn this often, in chunks. */
const chunksPerTurn = 32;

const lineFeed = 10;

/** @throws what `signal` aborts with */
export async function readLineWindow(
  chunks: Iterable<Uint8Array>,
  request: WindowRequest,
): Promise<LineWindow> {
  const collector = createCollector(request);
  let chunkCount = 0;
  for (const chunk of chunks) {
    const rest = collector.push(chunk);
    if (rest !== undefined) return collector.finishEarly(rest, chunkCount === 0);
    chunkCount += 1;
    if (chunkCount % chunksPerTurn === 0) await Bun.sleep(0);
    request.signal.throwIfAborted();
  }
  return collector.finish();
}

function createCollector({ firstLine, maxLines, maxBytes }: WindowRequest) {
  const lines: string[] = [];
  let shownBytes = 0;
  /** The line that bytes are being added to. */
  let number = 1;
  let kept: Uint8Array[] = [];
  let keptBytes = 0;
  let lineBytes = 0;

  const append = (bytes: Uint8Array) => {
    lineBytes += bytes.length;
    if (number < firstLine || keptBytes >= keptLineBytes) return;
    const part = bytes.slice(0, keptLineBytes - keptBytes);
    kept.push(part);
    keptBytes += part.length;
  };
  /** False when the line is one too many for the window's bytes. */
  const endLine = (): boolean => {
    if (number >= firstLine) {
      const line = showLine(Buffer.concat(kept), lineBytes, number === 1);
      const cost = Buffer.byteLength(line) + String(number).length + 2;
      if (lines.length > 0 && shownBytes + cost > maxBytes) return false;
      lines.push(line);
      shownBytes += cost;
    }
    number += 1;
    kept = [];
    keptBytes = 0;
    lineBytes = 0;
    return true;
  };
  return {
    /** @returns the bytes left over when the window is full, beginning within the line after it */
    push(chunk: Uint8Array): Uint8Array | undefined {
      let from = 0;
      while (from < chunk.length) {
        if (lines.length === maxLines) return chunk.subarray(from);
        const at = chunk.indexOf(lineFeed, from);
        append(chunk.subarray(from, at === -1 ? chunk.length : at));
        if (at === -1) break;
        if (!endLine()) return chunk.subarray(from);
        from = at + 1;
      }
      return undefined;
    },
    finishEarly(rest: Uint8Array, isWhole: boolean): LineWindow {
      const seenLines = number - 1;
      const totalLines = isWhole ? seenLines + countLines(rest) : undefined;
      return { lines, seenLines, totalLines, isEnd: false };
    },
    finish(): LineWindow {
      const isEnd = lineBytes === 0 || endLine();
      const seenLines = number - 1;
      return { lines, seenLines, totalLines: isEnd ? seenLines : seenLines + 1, isEnd };
    },
  };
}

function countLines(bytes: Uint8Array): number {
  let count = bytes.at(-1) === lineFeed || bytes.length === 0 ? 0 : 1;
  for (let at = bytes.indexOf(lineFeed); at !== -1; at = bytes.indexOf(lineFeed, at + 1))
    count += 1;
  return count;
}

/** `bytes` are the first of the line's `lineBytes`. */
function showLine(bytes: Uint8Array, lineBytes: number, isFirst: boolean): string {
  let text = new TextDecoder("utf-8", { ignoreBOM: !isFirst }).decode(bytes);
  if (bytes.length === lineBytes && text.endsWith("\r")) text = text.slice(0, -1);
  if (text.length <= maxLineCharacters) return text;
  const shown = text.slice(0, maxLineCharacters);
  return `${shown}... (line cut; ${lineBytes - Buffer.byteLength(shown)} bytes more)`;
}
