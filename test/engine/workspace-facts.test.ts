import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  instructionsCapBytes,
  readGitBranch,
  readProjectInstructions,
} from "../../src/engine/workspace-facts.ts";

const root = realpathSync(mkdtempSync(join(tmpdir(), "opta-facts-")));
afterAll(() => rmSync(root, { recursive: true }));

function workspace(name: string, files: Record<string, string | Uint8Array>): string {
  const directory = join(root, name);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(directory, path, ".."), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
  return directory;
}

const anything = () => undefined;
const found = async (directory: string) =>
  (await readProjectInstructions(directory, anything)).found;

test("AGENTS.md goes before CLAUDE.md, which serves where there is no other", async () => {
  const both = workspace("both", { "AGENTS.md": "agents\n", "CLAUDE.md": "claude" });
  expect(await found(both)).toEqual({ name: "AGENTS.md", text: "agents" });
  const one = workspace("one", { "CLAUDE.md": "claude" });
  expect(await found(one)).toEqual({ name: "CLAUDE.md", text: "claude" });
});

test("without instructions, or with empty ones, there are none", async () => {
  expect(await found(workspace("none", { a: "" }))).toBeUndefined();
  expect(await found(workspace("blank", { "AGENTS.md": " \n" }))).toBeUndefined();
});

test("instructions are cut at 16 KB, between characters, and say so", async () => {
  const long = workspace("long", { "AGENTS.md": `a${"é".repeat(instructionsCapBytes)}` });
  const text = (await found(long))?.text ?? "";
  expect(text).toEndWith("[cut here: the file is longer than 16 KB]");
  expect(text).not.toContain("\uFFFD");
  expect(Buffer.byteLength(text)).toBeLessThan(instructionsCapBytes + 100);
  const exact = workspace("exact", { "AGENTS.md": "x".repeat(instructionsCapBytes) });
  expect((await found(exact))?.text).toBe("x".repeat(instructionsCapBytes));
});

test("a directory named AGENTS.md is no instructions", async () => {
  expect(await found(workspace("odd", { "AGENTS.md/file": "x" }))).toBeUndefined();
});

test("what is behind a link is asked about by the path where it really lies, and left out when it may not be read", async () => {
  const linked = workspace("linked", { "CLAUDE.md": "claude", "sub/agents.md": "linked" });
  symlinkSync("sub/agents.md", join(linked, "AGENTS.md"));
  const asked: string[] = [];
  const whyNot = (path: string) => {
    asked.push(path);
    return path.endsWith("agents.md") ? "not that one" : undefined;
  };
  expect(await readProjectInstructions(linked, whyNot)).toEqual({
    found: { name: "CLAUDE.md", text: "claude" },
    leftOut: [{ name: "AGENTS.md", reason: "not that one" }],
  });
  expect(asked).toEqual([join(linked, "sub/agents.md"), join(linked, "CLAUDE.md")]);
  expect(await found(linked)).toEqual({ name: "AGENTS.md", text: "linked" });
});

test("a link that appears after the path was judged is not followed", async () => {
  const swapped = workspace("swapped", { "AGENTS.md": "judged", "dir/x": "" });
  writeFileSync(join(root, "elsewhere.md"), "secret");
  const swap = (path: string) => {
    rmSync(path);
    symlinkSync(join(root, "elsewhere.md"), path);
    return undefined;
  };
  expect((await readProjectInstructions(swapped, swap)).found).toBeUndefined();
});

test("links that lead nowhere, to devices or to themselves are no instructions", async () => {
  for (const [index, target] of ["gone", "/dev/zero", "AGENTS.md"].entries()) {
    const odd = workspace(`link-${index}`, { x: "" });
    symlinkSync(target, join(odd, "AGENTS.md"));
    expect(await readProjectInstructions(odd, anything)).toEqual({ found: undefined, leftOut: [] });
  }
});

test("a branch is not read from what could block or never ends", async () => {
  const pipe = workspace("pipe", { ".git/x": "" });
  Bun.spawnSync(["mkfifo", join(pipe, ".git/HEAD")]);
  expect(await readGitBranch(pipe)).toBeUndefined();
  const pipeFile = workspace("pipe-file", { x: "" });
  Bun.spawnSync(["mkfifo", join(pipeFile, ".git")]);
  expect(await readGitBranch(pipeFile)).toBeUndefined();
  const endless = workspace("endless", { ".git/x": "" });
  symlinkSync("/dev/zero", join(endless, ".git/HEAD"));
  expect(await readGitBranch(endless)).toBeUndefined();
  const long = workspace("long-head", { ".git/HEAD": `${" ".repeat(1 << 20)}\nref: refs/heads/x` });
  expect(await readGitBranch(long)).toBeUndefined();
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
