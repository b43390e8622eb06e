import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import {
  resolveEntryPath,
  resolveWorkspacePath,
  showPath,
} from "../../src/tools/workspace-path.ts";
import { createToolPlace, type ToolPlace } from "../support/tool-place.ts";

const held: { place: ToolPlace } = { place: createToolPlace() };
beforeEach(() => {
  held.place[Symbol.dispose]();
  held.place = createToolPlace();
});
afterEach(() => held.place[Symbol.dispose]());
const resolved = (path: string) => resolveWorkspacePath(path, held.place.workspace);

test("relative paths start in the workspace, whether or not anything is there", async () => {
  const { at } = held.place;
  expect(await resolved("a/b.ts")).toBe(at("a/b.ts"));
  expect(await resolved("./a/../c")).toBe(at("c"));
  expect(await resolved(".")).toBe(held.place.workspace);
  expect(await resolved("")).toBe(held.place.workspace);
});

test("a path out of the workspace says so", async () => {
  expect(await resolved("../outside/x")).toBe(join(held.place.outside, "x"));
  expect(await resolved("/etc/hostname")).toBe("/etc/hostname");
});

test("~ is the home directory, ~name and a ~ elsewhere are names", async () => {
  expect(await resolved("~/opta-no-such-file")).toBe(join(homedir(), "opta-no-such-file"));
  expect(await resolved("~someone")).toBe(held.place.at("~someone"));
  expect(await resolved("a/~")).toBe(held.place.at("a/~"));
});

test("links are resolved: in directories, at the end, below a missing end, and dangling", async () => {
  const { at, outside } = held.place;
  held.place.write(join(outside, "file"), "x");
  symlinkSync(outside, at("dir"));
  symlinkSync("dir/file", at("file"));
  symlinkSync("../outside/not-yet", at("dangling"));
  symlinkSync("dangling", at("twice"));
  expect(await resolved("dir/file")).toBe(join(outside, "file"));
  expect(await resolved("file")).toBe(join(outside, "file"));
  expect(await resolved("dir/new/deep.ts")).toBe(join(outside, "new/deep.ts"));
  expect(await resolved("dangling")).toBe(join(outside, "not-yet"));
  expect(await resolved("twice/below")).toBe(join(outside, "not-yet/below"));
});

test("an entry's path resolves its directory and leaves the entry", async () => {
  const { at, outside, workspace } = held.place;
  symlinkSync(outside, at("dir"));
  symlinkSync("dir/file", at("link"));
  expect(await resolveEntryPath("link", workspace)).toBe(at("link"));
  expect(await resolveEntryPath("dir/file", workspace)).toBe(join(outside, "file"));
});

test("what cannot be resolved comes back instead of throwing", async () => {
  const { at } = held.place;
  symlinkSync("b", at("a"));
  symlinkSync("a", at("b"));
  expect(await resolved("a")).toStartWith(held.place.workspace);
  expect(await resolved("nul\0byte")).toBe(at("nul\0byte"));
  expect(await resolved("x".repeat(5000))).toBe(at("x".repeat(5000)));
});

test("paths are shown relative inside the workspace and absolute outside", () => {
  mkdirSync(held.place.at("..a"));
  const { workspace } = held.place;
  expect(showPath(join(workspace, "src/a.ts"), workspace)).toBe("src/a.ts");
  expect(showPath(join(workspace, "..a"), workspace)).toBe("..a");
  expect(showPath(workspace, workspace)).toBe(".");
  expect(showPath("/etc/passwd", workspace)).toBe("/etc/passwd");
  expect(showPath(`${workspace}-twin/a`, workspace)).toBe(`${workspace}-twin/a`);
});
