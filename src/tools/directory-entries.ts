// What is in a held directory, names that are not UTF-8 included. Bun gives those as U+FFFD unless asked for
// bytes, and then knows no kinds: so every entry is looked at.
import { lstatSync, readdirSync, type Stats } from "node:fs";
import type { HeldDirectory } from "../base/held-directory.ts";
import { fromNameBytes } from "./byte-name.ts";

export interface DirectoryEntry {
  /** Escaped when it is not UTF-8. */
  readonly name: string;
  readonly isUtf8: boolean;
  /** Of the entry itself: links are not followed. */
  readonly stat: Stats;
  /** By which it is found while the directory is held. */
  readonly path: Buffer;
}

/** In no order, without what vanished meanwhile. @throws what readdir(3) and lstat(2) throw */
export function readEntries(directory: HeldDirectory): readonly DirectoryEntry[] {
  return readdirSync(directory.at("."), { encoding: "buffer" }).flatMap((bytes) => {
    const path = Buffer.concat([Buffer.from(directory.at("")), bytes]);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    const { text: name, isUtf8 } = fromNameBytes(bytes);
    return stat === undefined ? [] : [{ name, isUtf8, stat, path }];
  });
}
