import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  instructionsCapBytes,
  readGitBranch,
  readProjectInstructions,
} from "../../src/engine/workspace-facts.ts";

const root = mkdtempSync(join(tmpdir(), "opta-facts-"));
afterAll(() => rmSync(root, { recursive: true }));

function workspace(name: string, files: Record<string, string | Uint8Array>): string {
  const directory = join(root, name);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(directory, path, ".."), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
  return directory;
}

test("AGENTS.md goes before CLAUDE.md, which serves where there is no other", async () => {
  const both = workspace("both", { "AGENTS.md": "agents\n", "CLAUDE.md": "claude" });
  expect(await readProjectInstructions(both)).toEqual({ name: "AGENTS.md", text: "agents" });
  const one = workspace("one", { "CLAUDE.md": "claude" });
  expect(await readProjectInstructions(one)).toEqual({ name: "CLAUDE.md", text: "claude" });
});

test("without instructions, or with empty ones, there are none", async () => {
  expect(await readProjectInstructions(workspace("none", { a: "" }))).toBeUndefined();
  expect(await readProjectInstructions(workspace("blank", { "AGENTS.md": " \n" }))).toBeUndefined();
});

test("instructions are cut at 16 KB, between characters, and say so", async () => {
  const long = workspace("long", { "AGENTS.md": `a${"é".repeat(instructionsCapBytes)}` });
  const text = (await readProjectInstructions(long))?.text ?? "";
  expect(text).toEndWith("[cut here: the file is longer than 16 KB]");
  expect(text).not.toContain("\uFFFD");
  expect(Buffer.byteLength(text)).toBeLessThan(instructionsCapBytes + 100);
  const exact = workspace("exact", { "AGENTS.md": "x".repeat(instructionsCapBytes) });
  expect((await readProjectInstructions(exact))?.text).toBe("x".repeat(instructionsCapBytes));
});

test("a directory named AGENTS.md is no instructions", async () => {
  expect(
    await readProjectInstructions(workspace("odd", { "AGENTS.md/file": "x" })),
  ).toBeUndefined();
});

test("the branch is read from the repository around the workspace", async () => {
  const repository = workspace("repo", {
    ".git/HEAD": "ref: refs/heads/feature/x\n",
    "sub/file": "",
  });
  expect(await readGitBranch(repository)).toBe("feature/x");
  expect(await readGitBranch(join(repository, "sub"))).toBe("feature/x");
});

test("a worktree's branch is its own; a detached head has none", async () => {
  const tree = workspace("tree", {
    ".git": "gitdir: ../repo/.git/worktrees/tree\n",
    "../repo/.git/worktrees/tree/HEAD": "ref: refs/heads/other\n",
  });
  expect(await readGitBranch(tree)).toBe("other");
  const detached = workspace("detached", { ".git/HEAD": "0123456789abcdef\n" });
  expect(await readGitBranch(detached)).toBeUndefined();
});
