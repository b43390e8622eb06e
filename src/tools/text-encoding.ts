// What a file's bytes are, and text in and out of them without losing one. Edits work on "byte strings": one
// character per byte (latin1), so that bytes which are not UTF-8 pass through untouched (promises F2).
import { formatBytes } from "./output-spill.ts";

/** One character per byte. */
export type ByteString = string;

export type ContentKind =
  | { readonly kind: "text" }
  /** `reason` completes "PATH ...": "is UTF-16 ...". */
  | { readonly kind: "refused"; readonly reason: string };

/** UTF-8's byte order mark, as a byte string. */
export const byteOrderMark: ByteString = "\xEF\xBB\xBF";

/** Where git looks for a NUL byte, too, to tell binary from text. */
const sniffedBytes = 8000;

export function contentKind(bytes: Uint8Array): ContentKind {
  if (startsWith(bytes, [0xff, 0xfe]) || startsWith(bytes, [0xfe, 0xff])) {
    return refused("is UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)");
  }
  if (bytes.subarray(0, sniffedBytes).includes(0)) {
    return refused(`is a binary file of ${formatBytes(bytes.length)}`);
  }
  return { kind: "text" };
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  return prefix.every((byte, index) => bytes[index] === byte);
}

function refused(reason: string): ContentKind {
  return { kind: "refused", reason };
}

export function toByteString(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

export function fromByteString(content: ByteString): Uint8Array {
  return Buffer.from(content, "latin1");
}

/** Text of a model as the bytes it has in UTF-8. */
export function encodeText(text: string): ByteString {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** For reading only: bytes that are not UTF-8 show as U+FFFD. */
export function decodeText(content: ByteString): string {
  return Buffer.from(content, "latin1").toString("utf8");
}

export function isValidUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    // The only failure it has.
    return false;
  }
}

/** "crlf" only when every line ends so; a file without line ends is "lf". */
export function lineEnds(content: ByteString): "lf" | "crlf" | "mixed" {
  const all = count(content, "\n");
  const crlf = count(content, "\r\n");
  if (crlf === 0) return "lf";
  return crlf === all ? "crlf" : "mixed";
}

function count(content: string, part: string): number {
  let found = 0;
  for (let at = content.indexOf(part); at !== -1; at = content.indexOf(part, at + part.length)) {
    found += 1;
  }
  return found;
}
