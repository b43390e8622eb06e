// File names are bytes. One that is not UTF-8 cannot be named in a tool's arguments, so no file tool can open it;
// it is shown all the same, the same way everywhere, escaped as bash reads it in $'…'.
import { isValidUtf8, toByteString } from "./text-encoding.ts";

/** Follows such a name wherever it is shown. */
export const byteNameNote = " (name is not UTF-8; use run_command)";

/** A name as text; each byte beyond ASCII of one that is not UTF-8 as \\xHH. */
export function fromNameBytes(name: Uint8Array): {
  readonly text: string;
  readonly isUtf8: boolean;
} {
  if (isValidUtf8(name)) return { text: Buffer.from(name).toString(), isUtf8: true };
  const text = toByteString(name).replace(
    /[\x80-\xff]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16)}`,
  );
  return { text, isUtf8: false };
}
