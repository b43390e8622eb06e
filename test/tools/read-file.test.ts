import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { createReadFileTool } from "../../src/tools/read-file.ts";
import { createToolPlace, type ToolPlace } from "../support/tool-place.ts";

const tool = createReadFileTool();
const held: { place: ToolPlace } = { place: createToolPlace() };
beforeEach(() => {
  held.place[Symbol.dispose]();
  held.place = createToolPlace();
});
afterEach(() => held.place[Symbol.dispose]());
const read = (args: object) => held.place.run(tool, args);

test("lines come numbered from 1, and a whole file without further words", async () => {
  held.place.write("a.txt", "one\n  two\n\nfour\n");
  expect(await read({ path: "a.txt" })).toEqual({ ok: true, text: "1:one\n2:  two\n3:\n4:four" });
});

test("offset and limit choose lines, and the result says how to read on", async () => {
  held.place.write("a.txt", "1\n2\n3\n4\n5\n");
  expect((await read({ path: "a.txt", offset: 2, limit: 2 })).text).toBe(
    "2:2\n3:3\n(lines 2-3 of 5; read on with offset=4)",
  );
  expect((await read({ path: "a.txt", offset: "5" })).text).toBe(
    "5:5\n(lines 5-5 of 5; the end of the file)",
  );
  expect((await read({ path: "a.txt", offset: 0, limit: 0 })).text).toStartWith("1:1\n(lines 1-1");
});

test("an offset past the end is refused with the number of lines", async () => {
  held.place.write("a.txt", "1\n2\n");
  const { ok, text } = await read({ path: "a.txt", offset: 9 });
  expect({ ok, text }).toEqual({ ok: false, text: "offset 9 is past the end: a.txt has 2 lines" });
});

test("an empty file says that it is empty", async () => {
  held.place.write("a.txt", "");
  expect(await read({ path: "a.txt" })).toEqual({ ok: true, text: "(the file is empty)" });
});

test("at most 2,000 lines and 50 KB are shown", async () => {
  held.place.write("lines", "x\n".repeat(5000));
  const lines = await read({ path: "lines", limit: 100_000 });
  expect(lines.text).toEndWith("(lines 1-2000 of 5000; read on with offset=2001)");
  held.place.write("bytes", `${"y".repeat(99)}\n`.repeat(1500));
  const bytes = await read({ path: "bytes" });
  expect(Buffer.byteLength(bytes.text)).toBeLessThan(51 * 1024);
  expect(bytes.text).toContain("of 1500; read on with offset=");
});

test("a file of gigabytes is read without being loaded, and leaves no stamp", async () => {
  const path = held.place.write("huge.log", `${"first line\n".repeat(30_000)}`);
  truncateSync(path, 3 * 1024 ** 3);
  const before = process.memoryUsage().rss;
  const { ok, text } = await read({ path: "huge.log", offset: 29_999, limit: 2 });
  expect(ok).toBe(true);
  expect(text).toBe(
    "29999:first line\n30000:first line\n(lines 29999-30000; read on with offset=30001)",
  );
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
  expect(held.place.files.size).toBe(0);
});

test("what was read is stamped under its resolved path", async () => {
  const path = held.place.write("real.txt", "hello");
  symlinkSync("real.txt", held.place.at("link.txt"));
  await read({ path: "link.txt" });
  expect([...held.place.files.keys()]).toEqual([path]);
  expect(held.place.files.get(path)).toMatchObject({ sizeBytes: 5, hash: Bun.hash("hello") });
});

test("bytes that are not UTF-8 are shown as such, with a note", async () => {
  held.place.write("latin1.txt", Buffer.from("caf\xe9\n", "latin1"));
  const { text } = await read({ path: "latin1.txt" });
  expect(text).toStartWith("1:caf\uFFFD\n(bytes that are not UTF-8");
});

test("the device nodes, FIFOs, directories and binaries of this world are refused in words", async () => {
  const { place } = held;
  Bun.spawnSync(["mkfifo", place.at("fifo")]);
  mkdirSync(place.at("dir"));
  place.write("image.png", new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 1]));
  place.write("utf16.txt", Buffer.from("\uFEFFhello", "utf16le"));
  symlinkSync("nowhere", place.at("dangling"));
  symlinkSync("loop", place.at("loop"));
  const cases = {
    fifo: "fifo is a FIFO, not a regular file",
    "/dev/null": "/dev/null is a device, not a regular file",
    "/dev/zero": "/dev/zero is a device, not a regular file",
    dir: "dir is a directory; use list_dir",
    "image.png": "image.png is a binary file of 8 bytes",
    "utf16.txt": "utf16.txt is UTF-16; convert it",
    dangling: "nowhere does not exist",
    missing: "missing does not exist",
    "missing/deep": "missing/deep does not exist",
    "image.png/below": "a part of the path is not a directory",
    loop: "loop is a symbolic link that leads nowhere",
    "nul\0": "NUL character",
  };
  for (const [path, words] of Object.entries(cases)) {
    const result = await read({ path });
    expect(result.ok).toBe(false);
    expect(result.text).toContain(words);
  }
  expect(place.files.size).toBe(0);
});

test("files that claim no size are read to their end", async () => {
  const { ok, text } = await read({ path: "/proc/self/status", limit: 1 });
  expect(ok).toBe(true);
  expect(text).toStartWith("1:Name:");
});

test("effects name the file behind a link", async () => {
  symlinkSync(held.place.outside, held.place.at("dir"));
  expect(await tool.effects({ path: "dir/x" }, held.place.workspace)).toEqual([
    { kind: "read", path: join(held.place.outside, "x") },
  ]);
});
