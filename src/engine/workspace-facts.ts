// What the engine reads from a workspace by itself, before any tool runs: the project's instructions and the
// git branch. Both by reading single files; git itself is never started. A repository decides what lies there,
// so nothing is read that could block, go on for ever, or that the user would be asked about.
import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { pathOfOpenFile } from "../base/held-directory.ts";
import { resolveLinks } from "../base/resolve-links.ts";

/** Bytes of project instructions that are sent: they cost prompt on every request. */
export const instructionsCapBytes = 16 * 1024;

const instructionFiles = ["AGENTS.md", "CLAUDE.md"] as const;

export interface ProjectInstructions {
  readonly found: { readonly name: string; readonly text: string } | undefined;
  /** Files of that name which are there and may not be read, with the reason. */
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * AGENTS.md, else CLAUDE.md, from the workspace root; cut at a character within the cap and marked as cut.
 * @param whyNot why the file at this path, links resolved, may not be read; undefined when it may
 */
export async function readProjectInstructions(
  workspace: string,
  whyNot: (path: string) => string | undefined,
): Promise<ProjectInstructions> {
  const leftOut: { name: string; reason: string }[] = [];
  for (const name of instructionFiles) {
    const path = resolveLinks(join(workspace, name));
    if (!(await isFile(path))) continue;
    const reason = whyNot(path);
    if (reason !== undefined) {
      leftOut.push({ name, reason });
      continue;
    }
    const bytes = await readHead(path, instructionsCapBytes + 1, { followLinks: false });
    const text = bytes === undefined ? "" : decodeCapped(bytes).trim();
    if (text !== "") return { found: { name, text }, leftOut };
  }
  return { found: undefined, leftOut };
}

function decodeCapped(bytes: Uint8Array): string {
  if (bytes.length <= instructionsCapBytes) return new TextDecoder().decode(bytes);
  // `stream: true` drops a character that the cut went through instead of turning it into U+FFFD.
  const kept = new TextDecoder().decode(bytes.subarray(0, instructionsCapBytes), { stream: true });
  return `${kept}\n[cut here: the file is longer than 16 KB]`;
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/**
 * The first bytes of a regular file; undefined for anything else, and where it cannot be read. Without
 * followLinks `path` is a resolved one, and a link that has appeared on it since leads nowhere.
 */
async function readHead(
  path: string,
  lengthBytes: number,
  { followLinks }: { readonly followLinks: boolean },
): Promise<Uint8Array | undefined> {
  try {
    // Opening a device can act on it.
    if (!(await isFile(path))) return undefined;
    // Should it have become a FIFO meanwhile, opening that does not wait for a writer.
    const noFollow = followLinks ? 0 : constants.O_NOFOLLOW;
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | noFollow);
    try {
      if (!(await file.stat()).isFile()) return undefined;
      if (!followLinks && pathOfOpenFile(file.fd, path) !== path) return undefined;
      const buffer = new Uint8Array(lengthBytes);
      const { bytesRead } = await file.read(buffer, 0, lengthBytes, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

/** The checked-out branch, or undefined outside a repository and on a detached head. */
export async function readGitBranch(workspace: string): Promise<string | undefined> {
  const gitDirectory = await findGitDirectory(workspace);
  if (gitDirectory === undefined) return undefined;
  const head = await readGitFile(join(gitDirectory, "HEAD"));
  return head?.match(/^ref: refs\/heads\/([^\p{Cc} ]{1,255})$/mu)?.[1];
}

async function findGitDirectory(start: string): Promise<string | undefined> {
  for (let directory = start; ; directory = dirname(directory)) {
    const candidate = join(directory, ".git");
    const kind = await stat(candidate).then(
      (found) => (found.isDirectory() ? "directory" : "file"),
      () => undefined,
    );
    if (kind === "directory") return candidate;
    if (kind === "file") {
      // A worktree or submodule: the file says where the real one is.
      const target = (await readGitFile(candidate))?.match(/^gitdir: (.+)$/m)?.[1];
      if (target === undefined) return undefined;
      return isAbsolute(target) ? target : resolve(directory, target);
    }
    if (dirname(directory) === directory) return undefined;
  }
}

/** HEAD and a .git file hold one line: a name, or a path. */
const gitFileCapBytes = 8 * 1024;

async function readGitFile(path: string): Promise<string | undefined> {
  const bytes = await readHead(path, gitFileCapBytes, { followLinks: true });
  return bytes && new TextDecoder().decode(bytes);
}
