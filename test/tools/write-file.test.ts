import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, lstatSync, mkdirSync, readdirSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { createReadFileTool } from "../../src/tools/read-file.ts";
import { createWriteFileTool } from "../../src/tools/write-file.ts";
import { createToolPlace, type ToolPlace } from "../support/tool-place.ts";

const tool = createWriteFileTool();
const held: { place: ToolPlace } = { place: createToolPlace() };
beforeEach(() => {
  held.place[Symbol.dispose]();
  held.place = createToolPlace();
});
afterEach(() => held.place[Symbol.dispose]());
const write = (path: string, content: string) => held.place.run(tool, { path, content });
const readIt = (path: string) => held.place.run(createReadFileTool(), { path });

test("a new file is made with its parent directories, byte for byte", async () => {
  const content = "a\r\nb\n\u{1F642}no end";
  const result = await write("src/deep/new.ts", content);
  expect(result).toEqual({ ok: true, text: "created src/deep/new.ts (15 bytes)" });
  expect(held.place.read("src/deep/new.ts")).toBe(content);
});

test("the modes of new files and directories are those of any program", async () => {
  await write("dir/file", "x");
  held.place.write("dir2/file2", "x");
  const mode = (path: string) => statSync(held.place.at(path)).mode;
  expect(mode("dir")).toBe(mode("dir2"));
  expect(mode("dir/file")).toBe(mode("dir2/file2"));
});

test("an existing file must have been read, and be as it was", async () => {
  held.place.write("a.txt", "old");
  expect(await write("a.txt", "new")).toEqual({
    ok: false,
    text: "a.txt exists and you have not read it; read_file it first, or use edit_file",
  });
  await readIt("a.txt");
  held.place.write("a.txt", "newer");
  expect((await write("a.txt", "new")).text).toContain("changed since you read it");
  expect(held.place.read("a.txt")).toBe("newer");
  await readIt("a.txt");
  expect((await write("a.txt", "new")).ok).toBe(true);
  expect((await write("a.txt", "again")).ok).toBe(true);
  expect(held.place.read("a.txt")).toBe("again");
});

test("an empty file holds nothing to lose, and the same content is no write", async () => {
  held.place.write("empty", "");
  expect((await write("empty", "x")).ok).toBe(true);
  held.place.write("same", "x");
  expect(await write("same", "x")).toEqual({
    ok: true,
    text: "same already has exactly this content",
  });
});

test("mode and link are kept", async () => {
  held.place.write("run.sh", "old");
  chmodSync(held.place.at("run.sh"), 0o755);
  symlinkSync("run.sh", held.place.at("link"));
  await readIt("link");
  expect((await write("link", "new")).text).toStartWith("wrote run.sh");
  expect(statSync(held.place.at("run.sh")).mode & 0o777).toBe(0o755);
  expect(lstatSync(held.place.at("link")).isSymbolicLink()).toBe(true);
  expect(held.place.read("run.sh")).toBe("new");
});

test("CRLF and the byte order mark, which read_file does not show, are kept and said", async () => {
  held.place.write("a.txt", "\uFEFFone\r\ntwo\r\n");
  await readIt("a.txt");
  const result = await write("a.txt", "1\n2\n3");
  expect(result.text).toEndWith("kept CRLF line ends; kept the byte order mark");
  expect(held.place.read("a.txt")).toBe("\uFEFF1\r\n2\r\n3");
  expect((await write("a.txt", "1\n2\n3")).text).toContain("already has exactly this content");
});

test("mixed line ends, and carriage returns in the content, are written as given", async () => {
  held.place.write("mixed", "one\r\ntwo\n");
  await readIt("mixed");
  await write("mixed", "1\n2\n");
  expect(held.place.read("mixed")).toBe("1\n2\n");
  held.place.write("crlf", "one\r\n");
  await readIt("crlf");
  await write("crlf", "1\r\n2\n");
  expect(held.place.read("crlf")).toBe("1\r\n2\n");
});

test("bytes that read_file showed as U+FFFD are not written back as such", async () => {
  held.place.write("latin1", Buffer.from("caf\xe9\n", "latin1"));
  await readIt("latin1");
  const result = await write("latin1", "caf\uFFFD au lait\n");
  expect(result.ok).toBe(false);
  expect(result.text).toContain("use edit_file, which keeps them");
  expect(held.place.bytes("latin1").toString("latin1")).toBe("caf\xe9\n");
});

test("what is no regular file is refused", async () => {
  mkdirSync(held.place.at("dir"));
  Bun.spawnSync(["mkfifo", held.place.at("fifo")]);
  held.place.write("file", "x");
  expect((await write("dir", "x")).text).toContain("dir is a directory");
  expect((await write("fifo", "x")).text).toContain("is a FIFO");
  expect((await write("/dev/null", "x")).text).toContain("is a device");
  expect((await write("file/below", "x")).text).toContain("a part of the path is not a directory");
  expect((await write("x".repeat(300), "x")).text).toContain("the name is too long");
});

test("a link out of the workspace shows in the effects", async () => {
  symlinkSync(held.place.outside, held.place.at("dir"));
  expect(await tool.effects({ path: "dir/new/x", content: "" }, held.place.workspace)).toEqual([
    { kind: "write", path: join(held.place.outside, "new/x") },
  ]);
});

test("a directory that becomes a link after the judging gets no file", async () => {
  const { place } = held;
  const result = await place.runAfter(tool, { path: "dir/new/x", content: "x" }, () =>
    symlinkSync(place.outside, place.at("dir")),
  );
  expect(result.ok).toBe(false);
  expect(readdirSync(place.outside)).toEqual([]);
});

test("when the write fails, the directories made for it go too", async () => {
  const result = await write(`new/deep/${"x".repeat(300)}`, "x");
  expect(result.ok).toBe(false);
  expect(readdirSync(held.place.workspace)).toEqual([]);
});

test("a preview shows the new file, or the difference", async () => {
  const args = { path: "a.txt", content: "one\nzwei\n" };
  const created = await tool.preview?.(args, held.place);
  expect(created?.text).toBe("--- /dev/null\n+++ a.txt\n@@ -0,0 +1,2 @@\n+one\n+zwei\n");
  held.place.write("a.txt", "one\ntwo\n");
  expect(await tool.preview?.(args, held.place)).toEqual({
    ok: false,
    text: expect.stringContaining("you have not read it"),
  });
  await held.place.run(createReadFileTool(), { path: "a.txt" });
  expect((await tool.preview?.(args, held.place))?.text).toContain("-two\n+zwei\n");
  expect(await tool.preview?.({ path: "a.txt", content: "one\ntwo\n" }, held.place)).toEqual({
    ok: false,
    text: "a.txt already has exactly this content",
  });
  const long = await tool.preview?.({ path: "b.txt", content: "line\n".repeat(5000) }, held.place);
  expect(long?.text.split("\n").length).toBeLessThan(210);
  expect(long?.text).toContain("more lines)");
});
