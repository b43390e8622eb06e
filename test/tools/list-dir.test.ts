import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import type { PermissionRule } from "../../src/protocol/permission.ts";
import { createListDirTool } from "../../src/tools/list-dir.ts";
import { runJudged } from "../support/run-judged.ts";
import { createToolPlace, type ToolPlace } from "../support/tool-place.ts";

const tool = createListDirTool();
const held: { place: ToolPlace } = { place: createToolPlace() };
beforeEach(() => {
  held.place[Symbol.dispose]();
  held.place = createToolPlace();
});
afterEach(() => held.place[Symbol.dispose]());
const list = async (args: object = {}) => (await held.place.run(tool, args)).text.split("\n");

test("names come sorted, with their kinds and sizes, hidden ones too", async () => {
  const { place } = held;
  place.write("b.txt", "12345");
  place.write("a/inside.txt", "");
  place.write(".env", "x".repeat(2048));
  symlinkSync("a", place.at("link"));
  Bun.spawnSync(["mkfifo", place.at("pipe")]);
  expect(await list()).toEqual([".env 2.0 KB", "a/", "b.txt 5 bytes", "link@ -> a", "pipe (FIFO)"]);
  expect(await list({ path: "a" })).toEqual(["inside.txt 0 bytes"]);
});

test("names that are not UTF-8 are listed as such, and not entered", async () => {
  const bytes = (text: string) => Buffer.from(held.place.at(text), "latin1");
  mkdirSync(bytes("d\xff"));
  writeFileSync(bytes("d\xff/inside"), "");
  writeFileSync(bytes("caf\xe9"), "");
  held.place.write("café", "");
  for (const recursive of [false, true]) {
    expect(await list({ recursive })).toEqual(
      [
        "café 0 bytes",
        "caf\\xe9 (name is not UTF-8; use run_command)",
        "d\\xff (name is not UTF-8; use run_command)",
      ].toSorted(),
    );
  }
});

test("an empty directory says so; a file and a missing one say what to do", async () => {
  mkdirSync(held.place.at("empty"));
  held.place.write("file", "");
  expect(await list({ path: "empty" })).toEqual(["(empty directory)"]);
  expect(await list({ path: "file" })).toEqual(["file is not a directory; use read_file"]);
  expect(await list({ path: "none" })).toEqual(["none does not exist"]);
});

test("recursively, .git and node_modules, what is ignored, and linked directories are left out", async () => {
  const { place } = held;
  const names = ["src/a.ts", "src/gen/b.ts", "dist/x.js", ".git/config", "node_modules/m/i.js"];
  for (const name of [
    ...names,
    "src/keep.log",
    "src/other.log",
    "sub/local.txt",
    "sub/deep/local.txt",
  ]) {
    place.write(name, "");
  }
  place.write(".gitignore", "dist/\n*.log\n!keep.log\n/src/gen\n");
  place.write("sub/.gitignore", "/local.txt\n");
  symlinkSync("src", place.at("link"));
  expect(await list({ recursive: true })).toEqual([
    ".gitignore 31 bytes",
    "link@ -> src",
    "src/",
    "src/a.ts 0 bytes",
    "src/keep.log 0 bytes",
    "sub/",
    "sub/.gitignore 11 bytes",
    "sub/deep/",
    "sub/deep/local.txt 0 bytes",
  ]);
});

test("rules above the listed directory hold, up to the workspace", async () => {
  held.place.write(".gitignore", "*.log\n/sub/made/\n");
  held.place.write("sub/a.log", "");
  held.place.write("sub/made/x", "");
  held.place.write("sub/b.txt", "");
  expect(await list({ path: "sub", recursive: true })).toEqual(["b.txt 0 bytes"]);
  expect(await list({ path: "sub" })).toEqual(["a.log 0 bytes", "b.txt 0 bytes", "made/"]);
});

test("what a rule denies or asks about is not listed, nor gone into", async () => {
  const { place } = held;
  for (const name of ["private/x", "drafts/x", ".env", "src/private.txt", "src/a.ts"]) {
    place.write(name, "");
  }
  const rules: readonly PermissionRule[] = [
    { decision: "deny", path: "private/**" },
    { decision: "ask", path: "drafts/**" },
    { decision: "deny", path: "**/private.txt" },
  ];
  const shown = async (args: object) =>
    (await runJudged(tool, args, place.context(), rules)).text.split("\n");
  expect(await shown({ recursive: true })).toEqual([".env 0 bytes", "src/", "src/a.ts 0 bytes"]);
  expect(await shown({})).toEqual([".env 0 bytes", "src/"]);
  expect(await shown({ path: "drafts" })).toEqual(["x 0 bytes"]);
});

test("a large tree is cut after 1,000 entries, breadth first, and says so", async () => {
  for (let index = 0; index < 60; index += 1) {
    for (let file = 0; file < 20; file += 1) held.place.write(`a/d${index}/f${file}`, "");
  }
  held.place.write("z/last", "");
  const lines = await list({ recursive: true });
  expect(lines.length).toBe(1001);
  expect(lines).toContain("z/last 0 bytes");
  expect(lines.at(-1)).toBe("(stopped after 1000 entries; list a subdirectory)");
});

test("the root of the file system can be listed", async () => {
  expect(await list({ path: "/" })).toContain("etc/");
});
