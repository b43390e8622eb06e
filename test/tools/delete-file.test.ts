import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readdirSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { createDeleteFileTool } from "../../src/tools/delete-file.ts";
import { createReadFileTool } from "../../src/tools/read-file.ts";
import { createToolPlace, type ToolPlace } from "../support/tool-place.ts";

const tool = createDeleteFileTool();
const held: { place: ToolPlace } = { place: createToolPlace() };
beforeEach(() => {
  held.place[Symbol.dispose]();
  held.place = createToolPlace();
});
afterEach(() => held.place[Symbol.dispose]());
const remove = (path: string) => held.place.run(tool, { path });

test("a file goes, and its stamp with it", async () => {
  held.place.write("a.txt", "x");
  await held.place.run(createReadFileTool(), { path: "a.txt" });
  expect(await remove("a.txt")).toEqual({ ok: true, text: "deleted a.txt" });
  expect(readdirSync(held.place.workspace)).toEqual([]);
  expect(held.place.files.size).toBe(0);
});

test("of a link the link goes and its target stays, dangling ones too", async () => {
  const victim = held.place.write(join(held.place.outside, "file"), "x");
  symlinkSync(victim, held.place.at("link"));
  symlinkSync("nowhere", held.place.at("dangling"));
  expect(await remove("link")).toEqual({ ok: true, text: "deleted the symbolic link link" });
  expect((await remove("dangling")).ok).toBe(true);
  expect(existsSync(victim)).toBe(true);
  expect(readdirSync(held.place.workspace)).toEqual([]);
});

test("effects name the link itself, in its resolved directory", async () => {
  symlinkSync(held.place.outside, held.place.at("dir"));
  symlinkSync("nowhere", held.place.at("link"));
  const effectOf = (path: string) => tool.effects({ path }, held.place.workspace);
  expect(await effectOf("link")).toEqual([{ kind: "delete", path: held.place.at("link") }]);
  expect(await effectOf("dir/x")).toEqual([
    { kind: "delete", path: join(held.place.outside, "x") },
  ]);
});

test("directories, FIFOs, missing files and files that changed since read are refused", async () => {
  const { place } = held;
  place.write("dir/file", "x");
  Bun.spawnSync(["mkfifo", place.at("fifo")]);
  place.write("read.txt", "x");
  await place.run(createReadFileTool(), { path: "read.txt" });
  place.write("read.txt", "more by the user");
  expect((await remove("dir")).text).toContain("dir is a directory");
  expect((await remove(".")).text).toContain("is a directory");
  expect((await remove("fifo")).text).toContain("not a regular file");
  expect((await remove("missing")).text).toBe("missing does not exist");
  expect((await remove("missing/deep")).text).toBe("missing/deep does not exist");
  expect((await remove("read.txt")).text).toContain("changed since you read it");
  for (const path of ["dir", "fifo", "missing", "read.txt"])
    expect((await tool.preview?.({ path }, place))?.ok).toBe(false);
  place.write("fine", "x");
  expect(await tool.preview?.({ path: "fine" }, place)).toBeUndefined();
  expect(readdirSync(place.workspace).toSorted()).toEqual(["dir", "fifo", "fine", "read.txt"]);
});

test("a directory that becomes a link after the judging protects what is behind it", async () => {
  const { place } = held;
  place.write("dir/file", "x");
  const victim = place.write(join(place.outside, "file"), "x");
  const result = await place.runAfter(tool, { path: "dir/file" }, () => {
    renameSync(place.at("dir"), place.at("away"));
    symlinkSync(place.outside, place.at("dir"));
  });
  expect(result.ok).toBe(false);
  expect(existsSync(victim)).toBe(true);
});
