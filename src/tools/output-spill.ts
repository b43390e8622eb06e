// The file that takes an output too long for the model. Writes are synchronous on purpose: a fast program is
// slowed to the speed of the disk instead of filling memory. Knows nothing of heads, tails and limits of text.
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createId } from "../base/ids.ts";
import type { ToolContext } from "./tool.ts";

/** A program that never stops printing must not fill the disk. */
export const spillLimitBytes = 64 * 1024 * 1024;

export interface SpillPlace {
  readonly context: Pick<ToolContext, "outputDirectory" | "callId">;
  /** Part of the file's name: `command`, `matches`. */
  readonly name: string;
}

export interface Spill {
  /** Makes the file on first use. Never throws: a failure is kept for `note`. */
  write(bytes: Uint8Array): void;
  isOpen(): boolean;
  /** Where the output is; undefined when nothing could be kept. */
  path(): string | undefined;
  /** What is missing from the file and why; empty when all of it is there. */
  note(): string;
  close(): void;
}

/** A file `<callId>-<name>-<random>.txt`, 0600, in `context.outputDirectory`, 0700; nothing exists before the first write. */
export function createSpill({ context, name }: SpillPlace): Spill {
  let file: { readonly descriptor: number; readonly path: string } | undefined;
  let failure: string | undefined;
  let writtenBytes = 0;
  let lostBytes = 0;

  const open = () => {
    mkdirSync(context.outputDirectory, { recursive: true, mode: 0o700 });
    // The call's id comes from a model server: it must not choose a path.
    const id = context.callId.replace(/[^A-Za-z0-9_-]/g, "").slice(0, 40);
    const path = join(context.outputDirectory, `${id}-${name}-${createId().slice(0, 6)}.txt`);
    return { descriptor: openSync(path, "wx", 0o600), path };
  };

  return {
    write(bytes) {
      const room = failure === undefined ? spillLimitBytes - writtenBytes : 0;
      const kept = bytes.subarray(0, room);
      lostBytes += bytes.length - kept.length;
      let offset = 0;
      try {
        if (failure === undefined) file ??= open();
        while (file !== undefined && offset < kept.length)
          offset += writeSync(file.descriptor, kept, offset, kept.length - offset);
      } catch (thrown) {
        failure = thrown instanceof Error ? thrown.message : String(thrown);
      }
      writtenBytes += offset;
      lostBytes += kept.length - offset;
    },
    isOpen: () => file !== undefined || failure !== undefined,
    path: () => (writtenBytes > 0 ? file?.path : undefined),
    note() {
      if (lostBytes === 0) return "";
      const kept = `only its first ${formatBytes(writtenBytes)} were kept`;
      return failure === undefined ? kept : `${kept}: ${failure}`;
    },
    close() {
      if (file === undefined) return;
      closeSync(file.descriptor);
    },
  };
}

/** 1,536 -> "1.5 KB": sizes for reading, in powers of 1024. */
export function formatBytes(sizeBytes: number): string {
  if (sizeBytes < 1024) return `${sizeBytes} bytes`;
  if (sizeBytes < 1024 * 1024) return `${(sizeBytes / 1024).toFixed(1)} KB`;
  return `${(sizeBytes / (1024 * 1024)).toFixed(1)} MB`;
}
