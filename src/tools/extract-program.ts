// A program that is embedded in our executable, as a file that the system can run. The file's name is its hash,
// and its bytes are checked before use, so that neither an older version nor a planted file is ever run.
import { chmodSync, lstatSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createId } from "../base/ids.ts";
import type { EmbeddedProgram } from "./embedded-ripgrep.ts";

/**
 * The path of an executable copy in `cacheDirectory` (made on demand, 0700; the file 0700): extracted when it is
 * not there or not the right one, by temporary file and rename, so that processes may race.
 * @throws a system error when the directory cannot be written; Error when what was embedded is damaged
 */
export async function extractProgram(
  program: EmbeddedProgram,
  { name, cacheDirectory }: { readonly name: string; readonly cacheDirectory: string },
): Promise<string> {
  mkdirSync(cacheDirectory, { recursive: true, mode: 0o700 });
  chmodSync(cacheDirectory, 0o700);
  const path = join(cacheDirectory, `${name}-${program.sha256.slice(0, 16)}`);
  if (isIntact(path, program.sha256)) return path;
  const bytes = await Bun.file(program.path).bytes();
  if (sha256(bytes) !== program.sha256) throw new Error(`the embedded ${name} is damaged`);
  const temporary = `${path}.${createId()}`;
  writeFileSync(temporary, bytes, { mode: 0o700, flag: "wx" });
  renameSync(temporary, path);
  return path;
}

function isIntact(path: string, hash: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  // A link, or a file that others may write, is replaced whatever it holds.
  if (!stat?.isFile() || (stat.mode & 0o777) !== 0o700) return false;
  return sha256(readFileSync(path)) === hash;
}

const sha256 = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
