// Whether what a search by path reports is so in the place that was judged. ripgrep opens files by their paths:
// while it runs, somebody can swap a directory for a link and back, and it reads elsewhere. So a name is shown
// only when its directory, held open at its path, has it, and a line only when that very file holds its bytes.
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import { type HeldDirectory, holdDirectory } from "../base/held-directory.ts";
import { errnoOf } from "../base/storage-error.ts";

export interface FoundPlace {
  /** The file's directory: absolute, links resolved. */
  readonly directory: string;
  readonly name: Uint8Array;
}

export interface PlaceCheck {
  /** The file is there, no link on the way. */
  hasFile(place: FoundPlace): boolean;
  /** It holds `text`, after what was found in it before: to be asked file by file, from top to bottom. */
  hasText(place: FoundPlace, text: Uint8Array): boolean;
  close(): void;
}

export function createPlaceCheck(): PlaceCheck {
  let held: { readonly path: string; readonly directory: HeldDirectory | undefined } | undefined;
  let reading: { readonly key: string; readonly file: TextFinder | undefined } | undefined;
  const pathOf = ({ directory, name }: FoundPlace): Buffer | undefined => {
    if (held?.path !== directory) {
      held?.directory?.close();
      held = { path: directory, directory: holdInPlace(directory) };
    }
    return held.directory && Buffer.concat([Buffer.from(held.directory.at("")), name]);
  };
  return {
    hasFile(place) {
      const path = pathOf(place);
      return path !== undefined && lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
    },
    hasText(place, text) {
      const key = `${place.directory}/${Buffer.from(place.name).toString("latin1")}`;
      if (reading?.key !== key) {
        reading?.file?.close();
        const path = pathOf(place);
        reading = { key, file: path && openFinder(path) };
      }
      return reading.file?.find(text) ?? false;
    },
    close() {
      held?.directory?.close();
      reading?.file?.close();
    },
  };
}

/** Undefined for what is no directory, cannot be read, or is not at its path any more. */
export function holdInPlace(path: string): HeldDirectory | undefined {
  try {
    const directory = holdDirectory(path);
    if (directory.currentPath() === path) return directory;
    directory.close();
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
  return undefined;
}

/** Opens a regular file, never through a link; undefined for anything else, or what cannot be read. */
export function openInPlace(path: Buffer): number | undefined {
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const file = openSync(path, flags);
    if (fstatSync(file).isFile()) return file;
    closeSync(file);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
  return undefined;
}

interface TextFinder {
  find(text: Uint8Array): boolean;
  close(): void;
}

const chunkBytes = 256 * 1024;

/** Reads on until the text comes; a file of any size costs one chunk of memory. */
function openFinder(path: Buffer): TextFinder | undefined {
  const file = openInPlace(path);
  if (file === undefined) return undefined;
  const chunk = Buffer.alloc(chunkBytes);
  const readOn = () => toUtf8(chunk.subarray(0, readChunk(file, chunk)));
  // ripgrep tells UTF-16 by its mark and shows it as UTF-8.
  let decoder: TextDecoder | undefined;
  const toUtf8 = (bytes: Buffer) =>
    decoder === undefined
      ? Buffer.from(bytes)
      : Buffer.from(decoder.decode(bytes, { stream: true }));
  let ahead: Buffer = readOn();
  const mark = ahead.subarray(0, 2).toString("hex");
  if (mark === "fffe" || mark === "feff") {
    decoder = new TextDecoder(mark === "fffe" ? "utf-16le" : "utf-16be");
    ahead = toUtf8(ahead);
  }
  return {
    find(text) {
      for (;;) {
        const at = ahead.indexOf(text);
        if (at !== -1) {
          ahead = ahead.subarray(at + text.length);
          return true;
        }
        const more = readOn();
        if (more.length === 0) return false;
        ahead = Buffer.concat([ahead.subarray(Math.max(0, ahead.length - text.length)), more]);
      }
    },
    close: () => closeSync(file),
  };
}

/** Bytes read; 0 at the end, and where the disk fails: what cannot be read cannot be confirmed. */
function readChunk(file: number, chunk: Buffer): number {
  try {
    return readSync(file, chunk);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return 0;
  }
}
