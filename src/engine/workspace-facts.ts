// What the engine reads from a workspace by itself, before any tool runs: the project's instructions and the
// git branch. Both by reading single files; git itself is never started.
import { open, readFile, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";

/** Bytes of project instructions that are sent: they cost prompt on every request. */
export const instructionsCapBytes = 16 * 1024;

const instructionFiles = ["AGENTS.md", "CLAUDE.md"] as const;

/** AGENTS.md, else CLAUDE.md, from the workspace root; cut at a character within the cap and marked as cut. */
export async function readProjectInstructions(
  workspace: string,
): Promise<{ name: string; text: string } | undefined> {
  for (const name of instructionFiles) {
    const bytes = await readHead(join(workspace, name), instructionsCapBytes + 1);
    if (bytes === undefined) continue;
    const text = decodeCapped(bytes).trim();
    if (text !== "") return { name, text };
  }
  return undefined;
}

function decodeCapped(bytes: Uint8Array): string {
  if (bytes.length <= instructionsCapBytes) return new TextDecoder().decode(bytes);
  // `stream: true` drops a character that the cut went through instead of turning it into U+FFFD.
  const kept = new TextDecoder().decode(bytes.subarray(0, instructionsCapBytes), { stream: true });
  return `${kept}\n[cut here: the file is longer than 16 KB]`;
}

async function readHead(path: string, lengthBytes: number): Promise<Uint8Array | undefined> {
  try {
    // A FIFO of that name would block the open for ever.
    if (!(await stat(path)).isFile()) return undefined;
    const file = await open(path);
    try {
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
  const head = await readSmall(join(gitDirectory, "HEAD"));
  return head?.match(/^ref: refs\/heads\/(.+)$/m)?.[1];
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
      const target = (await readSmall(candidate))?.match(/^gitdir: (.+)$/m)?.[1];
      if (target === undefined) return undefined;
      return isAbsolute(target) ? target : resolve(directory, target);
    }
    if (dirname(directory) === directory) return undefined;
  }
}

async function readSmall(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch(() => undefined);
}
