// Server-sent events from bytes, as the HTML standard section 9.2.6 parses them: LF, CRLF or CR, comments,
// fields with or without the space, data over several lines, characters cut anywhere. Knows nothing of
// what the events mean. An event that the stream's end cuts short is dropped, as the standard demands.

export interface SseEvent {
  /** "message" when the server named none. */
  readonly event: string;
  readonly data: string;
}

export interface SseParser {
  /** Feeds bytes as they came; whole events are handed on before it returns. @throws RangeError over the bound. */
  push(bytes: Uint8Array): void;
}

/** An event longer than this is refused: 16 MiB, the largest frame LMX takes itself (contracts/lmx.md row 14). */
const defaultMaxEventChars = 16 * 1024 * 1024;

export function createSseParser(
  onEvent: (event: SseEvent) => void,
  options: {
    readonly maxEventChars?: number;
    /** Told of each comment line, without its colon: a sign of life, and sometimes more. */
    readonly onComment?: (text: string) => void;
  } = {},
): SseParser {
  const { maxEventChars = defaultMaxEventChars, onComment } = options;
  const decoder = new TextDecoder();
  let rest = "";
  let eventName = "";
  let data: string[] = [];
  let dataChars = 0;
  /** The last chunk ended with CR: an LF that follows belongs to it. */
  let skipLineFeed = false;

  const takeLine = (line: string) => {
    if (line === "") {
      if (data.length > 0) {
        onEvent({
          event: eventName || "message",
          data: data.length === 1 ? data[0]! : data.join("\n"),
        });
      }
      eventName = "";
      data = [];
      dataChars = 0;
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return onComment?.(line.slice(1).trim());
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") {
      data.push(value);
      dataChars += value.length;
    } else if (field === "event") eventName = value;
  };

  return {
    push(bytes) {
      let text = decoder.decode(bytes, { stream: true });
      if (text === "") return;
      if (skipLineFeed && text.startsWith("\n")) text = text.slice(1);
      skipLineFeed = text === "" ? false : text.endsWith("\r");
      text = rest + text;
      let start = 0;
      for (
        let at = nextBreak(text, Math.max(0, rest.length));
        at >= 0;
        at = nextBreak(text, start)
      ) {
        takeLine(text.slice(start, at));
        start = at + (text[at] === "\r" && text[at + 1] === "\n" ? 2 : 1);
      }
      rest = text.slice(start);
      if (rest.length + dataChars > maxEventChars) {
        throw new RangeError(`a server-sent event is longer than ${maxEventChars} characters`);
      }
    },
  };
}

/** Where the next line ends. Most servers send LF only, and then CR is looked for in one line only. */
function nextBreak(text: string, from: number): number {
  const lineFeed = text.indexOf("\n", from);
  const line = lineFeed < 0 ? text.slice(from) : text.slice(from, lineFeed);
  const carriageReturn = line.indexOf("\r");
  return carriageReturn < 0 ? lineFeed : from + carriageReturn;
}
